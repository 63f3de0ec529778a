//! Softmax and mean cross-entropy, by own kernels: cuDNN's softmax would round the probabilities to half precision, and has no loss.

use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::Shape;

/// Softmax and mean cross-entropy.
pub struct SoftmaxLossOp {
    forward: Kernel,
    backward: Kernel,
    images: u32,
    classes: u32,
    /// Factor of the gradient.
    weight: f32,
    buffers: LossBuffers,
}

/// The loss's own memory.
pub struct LossBuffers {
    /// One class per image, i32.
    pub labels: Buffer,
    /// Softmax of the input, f32 in every precision.
    pub probabilities: Buffer,
    /// Each image's loss, f32.
    pub losses: Buffer,
}

impl SoftmaxLossOp {
    /// Of logits with this shape.
    pub fn new(loss: &kind::SoftmaxLoss, shape: Shape, gpu: &SharedGpu) -> Result<SoftmaxLossOp, Failure> {
        Ok(SoftmaxLossOp {
            forward: gpu.kernel("softmax_loss_forward")?,
            backward: gpu.kernel("softmax_loss_backward")?,
            images: shape.n as u32,
            classes: shape.image_elements() as u32,
            weight: loss.loss_weight,
            buffers: LossBuffers {
                labels: Buffer::new(size_of::<i32>() * shape.n)?,
                probabilities: Buffer::new(size_of::<f32>() * shape.elements())?,
                losses: Buffer::new(size_of::<f32>() * shape.n)?,
            },
        })
    }
}

impl Operation for SoftmaxLossOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let LossBuffers { labels, probabilities, losses } = &self.buffers;
        let [labels, probabilities, losses] = [labels, probabilities, losses].map(Buffer::address);
        let arguments: [&dyn Argument; 5] = [&at.x(), &labels, &probabilities, &losses, &self.classes];
        self.forward.launch(&handles.stream, Grid::of_blocks(self.images), &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let [labels, probabilities] = [&self.buffers.labels, &self.buffers.probabilities].map(Buffer::address);
        let (weight, accumulate) = (&self.weight, u32::from(at.accumulate));
        let arguments: [&dyn Argument; 7] =
            [&probabilities, &labels, &at.dx, &at.loss_scale, weight, &self.classes, &accumulate];
        self.backward.launch(&handles.stream, Grid::of_blocks(self.images), &arguments)
    }

    fn loss(&self) -> Option<&LossBuffers> {
        Some(&self.buffers)
    }

    fn bytes(&self) -> usize {
        let LossBuffers { labels, probabilities, losses } = &self.buffers;
        labels.bytes() + probabilities.bytes() + losses.bytes()
    }
}
