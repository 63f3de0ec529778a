//! Momentum SGD over a layer's weights and biases in one pass. Master weights and momentum are f32; under f16 and bf16 the same
//! pass writes the copy that the layers read.

use crate::device::Training;
use crate::device::cuda::driver::{Argument, CallError, Element, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;

/// The update's kernels and constants.
pub struct Sgd {
    /// For layers whose gradients are f32.
    single: Kernel,
    /// For those of the run's storage type.
    mixed: Kernel,
    /// Bytes of a gradient of the run's storage type.
    mixed_bytes: usize,
    rate: f32,
    momentum: f32,
    decay: f32,
}

/// A layer's parameters in device memory.
#[derive(Clone, Copy)]
pub struct Update {
    /// Master parameters, f32.
    pub master: u64,
    /// Momentum, f32.
    pub momentum: u64,
    /// Gradients.
    pub gradient: u64,
    /// The copy in the run's storage type, where there is one.
    pub copy: Option<u64>,
    /// Weights and biases together.
    pub elements: u32,
    /// The state of loss scaling, or zero.
    pub loss_scale: u64,
}

impl Sgd {
    /// With the constants of a training.
    pub fn new(training: &Training, gpu: &SharedGpu) -> Result<Sgd, Failure> {
        Ok(Sgd {
            single: gpu.kernel_for("sgd", Element::F32)?,
            mixed: gpu.kernel("sgd")?,
            mixed_bytes: gpu.arithmetic.element().bytes(),
            rate: training.learning_rate,
            momentum: training.momentum,
            decay: training.weight_decay,
        })
    }

    /// Enqueues the update of a layer.
    pub fn update(&self, handles: &Handles, update: Update) -> Result<(), CallError> {
        let Update { master, momentum, gradient, copy, elements, loss_scale } = update;
        let (rate, factor, decay) = (self.rate, self.momentum, self.decay);
        let grid = |gradient_bytes| Grid::streaming(elements, gradient_bytes);
        match copy {
            None => {
                let arguments: [&dyn Argument; 8] =
                    [&master, &momentum, &gradient, &loss_scale, &rate, &factor, &decay, &elements];
                self.single.launch(&handles.stream, grid(size_of::<f32>()), &arguments)
            }
            Some(copy) => {
                let arguments: [&dyn Argument; 9] =
                    [&master, &momentum, &copy, &gradient, &loss_scale, &rate, &factor, &decay, &elements];
                self.mixed.launch(&handles.stream, grid(self.mixed_bytes), &arguments)
            }
        }
    }
}
