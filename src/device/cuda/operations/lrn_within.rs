//! Local response normalisation within each channel, by own kernels: cuDNN's divisive normalisation divides by another sum.

use super::divisor::Divisor;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::Shape;

/// As `kernels/lrn_within.cu` declares it.
#[derive(Clone, Copy)]
#[repr(C)]
struct WithinShape {
    height: Divisor,
    width: Divisor,
    /// Elements from a pixel to its neighbour.
    inner: Divisor,
    size: u32,
    alpha: f32,
    beta: f32,
    k: f32,
}

impl Argument for WithinShape {}

/// Local response normalisation within each channel.
pub struct LrnWithinOp {
    forward: Kernel,
    backward: Kernel,
    shape: WithinShape,
    elements: u32,
    /// k + alpha/size² · Σ x² of each element, f32, for the way back.
    scale: Buffer,
}

impl LrnWithinOp {
    /// Of inputs with this shape.
    pub fn new(lrn: &kind::Lrn, shape: Shape, gpu: &SharedGpu) -> Result<LrnWithinOp, Failure> {
        let inner = if gpu.arithmetic.nhwc() { shape.c } else { 1 };
        let &kind::Lrn { size, alpha, beta, k, .. } = lrn;
        let [height, width, inner] = [shape.h, shape.w, inner].map(Divisor::new);
        Ok(LrnWithinOp {
            forward: gpu.kernel("lrn_within_forward")?,
            backward: gpu.kernel("lrn_within_backward")?,
            shape: WithinShape { height, width, inner, size: size as u32, alpha, beta, k },
            elements: shape.elements() as u32,
            scale: Buffer::new(size_of::<f32>() * shape.elements())?,
        })
    }
}

impl Operation for LrnWithinOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let arguments: [&dyn Argument; 5] = [&at.x(), &at.output, &self.scale.address(), &self.shape, &self.elements];
        self.forward.launch(&handles.stream, Grid::over(self.elements), &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let BackwardData { x, y, dy, dx, .. } = at;
        let (scale, accumulate) = (self.scale.address(), u32::from(at.accumulate));
        let arguments: [&dyn Argument; 8] = [x, y, &scale, dy, dx, &self.shape, &accumulate, &self.elements];
        self.backward.launch(&handles.stream, Grid::over(self.elements), &arguments)
    }

    fn bytes(&self) -> usize {
        self.scale.bytes()
    }
}
