//! Softmax and mean cross-entropy, by own kernels: cuDNN's softmax would round the probabilities to half precision, and has no loss.

use super::call::Fault;
use super::gpu::Gpu;
use super::memory::Buffer;
use super::modules::{Argument, Grid, Kernel};
use super::queue::Queue;
use crate::device::DeviceError;
use crate::plan::Shape;

pub struct SoftmaxLoss {
    forward: Kernel,
    backward: Kernel,
    images: u32,
    classes: u32,
    /// One class per image, i32.
    labels: Buffer,
    /// f32 in every precision.
    probabilities: Buffer,
    /// Each image's loss, f32.
    losses: Buffer,
}

impl SoftmaxLoss {
    pub fn new(shape: Shape, gpu: &Gpu) -> Result<SoftmaxLoss, DeviceError> {
        Ok(SoftmaxLoss {
            forward: gpu.kernel("softmax_loss_forward")?,
            backward: gpu.kernel("softmax_loss_backward")?,
            images: shape.n as u32,
            classes: shape.image_elements() as u32,
            labels: Buffer::new(size_of::<i32>() * shape.n)?,
            probabilities: Buffer::new(size_of::<f32>() * shape.elements())?,
            losses: Buffer::new(size_of::<f32>() * shape.n)?,
        })
    }

    pub fn forward(&self, queue: &Queue, x: u64) -> Result<(), Fault> {
        let [labels, probabilities, losses] = [&self.labels, &self.probabilities, &self.losses].map(Buffer::address);
        let arguments: [&dyn Argument; 5] = [&x, &labels, &probabilities, &losses, &self.classes];
        self.forward.launch(&queue.stream, Grid::of_blocks(self.images), &arguments)
    }

    /// Nobody came to this gradient before: the loss is the last layer. `loss_scale` is an address or zero.
    pub fn backward_data(&self, queue: &Queue, dx: u64, loss_scale: u64) -> Result<(), Fault> {
        let [labels, probabilities] = [&self.labels, &self.probabilities].map(Buffer::address);
        let arguments: [&dyn Argument; 5] = [&probabilities, &labels, &dx, &loss_scale, &self.classes];
        self.backward.launch(&queue.stream, Grid::of_blocks(self.images), &arguments)
    }

    pub fn labels(&self) -> &Buffer {
        &self.labels
    }

    pub fn probabilities(&self) -> &Buffer {
        &self.probabilities
    }

    pub fn losses(&self) -> &Buffer {
        &self.losses
    }

    pub fn bytes(&self) -> usize {
        self.labels.bytes() + self.probabilities.bytes() + self.losses.bytes()
    }
}
