//! The programs that a prediction can speak for.

use serde::{Deserialize, Serialize};

use crate::device::options::Layout;
use crate::plan::Precision;
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
    /// TensorFlow from 1.15 on, as tf_cnn_benchmarks drives it.
    Tensorflow,
    /// TensorFlow 1.4 to 1.12.
    #[serde(rename = "tensorflow-2018")]
    Tensorflow2018,
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
    Tensorflow2018 = "tensorflow-2018",
    TensorflowXla = "tensorflow-xla",
    Torch7 = "torch7",
});

impl Program {
    /// Its memory order on tensor cores. TensorFlow takes channels last for elements of 16 bits (its layout pass; tests of
    /// tensorflow/compiler/mlir say from compute capability 7.0 on); the others but layertime stay with NCHW.
    pub fn layout(self, precision: Precision) -> Layout {
        let half = precision.element_bytes() == 2;
        match self {
            Program::Layertime => Layout::of(precision),
            Program::Tensorflow | Program::TensorflowXla if half => Layout::Nhwc,
            Program::Caffe
            | Program::Mxnet
            | Program::Ngc
            | Program::Pytorch
            | Program::PytorchEager
            | Program::Tensorflow
            | Program::Tensorflow2018
            | Program::TensorflowXla
            | Program::Torch7 => Layout::Nchw,
        }
    }

    /// Tells if batch normalisation does the ReLU and the sum behind it in its own pass. cuDNN can, with channels last and 16-bit
    /// elements (`CUDNN_BATCHNORM_OPS_BN_ADD_ACTIVATION`).
    pub fn fuses(self) -> bool {
        matches!(self, Program::Ngc | Program::Tensorflow | Program::TensorflowXla)
    }

    /// Tells if its convolutions may run algorithms with fewer operations than the direct count.
    pub fn takes_shortcuts(self) -> bool {
        self != Program::Caffe
    }
}
