//! Rectified linear units with learnt slopes, by own kernels.

use super::channels::{Channels, Sums};
use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cuda::driver::{Argument, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::Shape;

/// PReLU.
pub struct PReluOp {
    bend: Kernel,
    gradients: Sums,
    shape: Channels,
    grid: Grid,
}

impl PReluOp {
    /// Of inputs with this shape.
    pub fn new(prelu: &kind::PRelu, shape: Shape, gpu: &SharedGpu) -> Result<PReluOp, Failure> {
        // All elements are of one channel where they share the slope.
        let shape = match prelu.shared {
            true => Channels::new(Shape { n: 1, c: 1, h: shape.elements(), w: 1 }, false),
            false => Channels::new(shape, gpu.arithmetic.nhwc()),
        };
        let (slice, total) = (gpu.kernel("prelu_backward_weights")?, gpu.kernel_named("bias_gradient_total_f32")?);
        let element = gpu.arithmetic.element();
        let gradients = Sums::new(shape, element, [slice, total], 1)?;
        Ok(PReluOp { bend: gpu.kernel("prelu")?, gradients, shape, grid: shape.grid(element) })
    }

    fn bend(&self, handles: &Handles, [x, values, to, slopes]: [u64; 4], accumulate: bool) -> Result<(), CallError> {
        let (accumulate, elements) = (u32::from(accumulate), self.shape.elements());
        let arguments: [&dyn Argument; 7] = [&x, &values, &to, &slopes, &self.shape, &accumulate, &elements];
        self.bend.launch(&handles.stream, self.grid, &arguments)
    }
}

impl Operation for PReluOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        self.bend(handles, [at.x(), at.x(), at.output, at.parameters.weights], false)
    }

    fn backward_weights(&self, handles: &Handles, at: &BackwardWeights) -> Result<(), CallError> {
        self.gradients.launch(handles, &[at.x, at.dy], &[at.parameters.weight_gradients])
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        self.bend(handles, [at.x, at.dy, at.dx, at.parameters.weights], at.accumulate)
    }

    fn bytes(&self) -> usize {
        self.gradients.bytes()
    }
}
