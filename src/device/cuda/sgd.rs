//! Momentum SGD over a layer's weights and biases in one pass. Master weights and momentum are f32; under f16 and bf16 the same
//! pass writes the copy that the layers read.

use super::call::Fault;
use super::element::Element;
use super::gpu::Gpu;
use super::modules::{Argument, Grid, Kernel};
use super::queue::Queue;
use crate::device::{DeviceError, Training};

pub struct Sgd {
    /// For layers whose gradients are f32.
    single: Kernel,
    /// For those of the run's storage type.
    mixed: Kernel,
    rate: f32,
    momentum: f32,
    decay: f32,
}

/// A layer's parameters in device memory.
#[derive(Clone, Copy)]
pub struct Update {
    pub master: u64,
    pub momentum: u64,
    pub gradient: u64,
    /// The copy in the run's storage type, where there is one.
    pub copy: Option<u64>,
    pub elements: u32,
    /// An address, or zero.
    pub loss_scale: u64,
}

impl Sgd {
    pub fn new(training: &Training, gpu: &Gpu) -> Result<Sgd, DeviceError> {
        Ok(Sgd {
            single: gpu.kernel_for("sgd", Element::F32)?,
            mixed: gpu.kernel("sgd")?,
            rate: training.learning_rate,
            momentum: training.momentum,
            decay: training.weight_decay,
        })
    }

    pub fn update(&self, queue: &Queue, update: Update) -> Result<(), Fault> {
        let Update { master, momentum, gradient, copy, elements, loss_scale } = update;
        let (rate, factor, decay) = (self.rate, self.momentum, self.decay);
        let grid = Grid::over(elements);
        match copy {
            None => {
                let arguments: [&dyn Argument; 8] =
                    [&master, &momentum, &gradient, &loss_scale, &rate, &factor, &decay, &elements];
                self.single.launch(&queue.stream, grid, &arguments)
            }
            Some(copy) => {
                let arguments: [&dyn Argument; 9] =
                    [&master, &momentum, &copy, &gradient, &loss_scale, &rate, &factor, &decay, &elements];
                self.mixed.launch(&queue.stream, grid, &arguments)
            }
        }
    }
}
