//! The programs that a prediction can speak for.

use serde::{Deserialize, Serialize};

use crate::words::words;

/// Whose training step is predicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Program {
    /// layertime's own: the library's kernels and nothing else.
    #[default]
    Layertime,
    /// Caffe with cuDNN 4, which had no Winograd yet, and whose FFT asks for more scratch than Caffe gives.
    Caffe,
    /// MXNet, symbolic.
    Mxnet,
    /// The frameworks in NVIDIA's containers, with their own input.
    Ngc,
    /// PyTorch, without an update.
    Pytorch,
    /// Single layers in PyTorch, one at a time.
    PytorchEager,
    /// TensorFlow, as tf_cnn_benchmarks drives it.
    Tensorflow,
    /// The same with XLA.
    TensorflowXla,
    /// Torch7.
    Torch7,
}

words!(Program {
    Layertime = "layertime",
    Caffe = "caffe",
    Mxnet = "mxnet",
    Ngc = "ngc",
    Pytorch = "pytorch",
    PytorchEager = "pytorch-eager",
    Tensorflow = "tensorflow",
    TensorflowXla = "tensorflow-xla",
    Torch7 = "torch7",
});

impl Program {
    /// Tells if its convolutions may run algorithms with fewer operations than the direct count.
    pub fn takes_shortcuts(self) -> bool {
        self != Program::Caffe
    }
}
