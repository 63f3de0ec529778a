//! ReLU, by cuDNN. Its backward takes x too; y serves, being positive at the same places, so that x need not be kept.

use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::dnn::{ActivationDescriptor, GradientRefs, TensorDescriptor, TensorRef};
use crate::device::cuda::driver::{CallError, Handles};
use crate::device::cuda::gpu::Arithmetic;
use crate::plan::Shape;

/// A ReLU.
pub struct ReluOp {
    activation: ActivationDescriptor,
    tensor: TensorDescriptor,
}

impl ReluOp {
    /// Of inputs with this shape.
    pub fn new(shape: Shape, arithmetic: &Arithmetic) -> Result<ReluOp, CallError> {
        let tensor = TensorDescriptor::new(shape, arithmetic.element(), arithmetic.layout)?;
        Ok(ReluOp { activation: ActivationDescriptor::relu()?, tensor })
    }

    fn tensor(&self, address: u64) -> TensorRef<'_> {
        TensorRef { tensor: &self.tensor, address }
    }
}

impl Operation for ReluOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        handles.stream.count(1);
        handles.dnn.activation_forward(&self.activation, self.tensor(at.x()), self.tensor(at.output))
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let [y, dy, dx] = [at.y, at.dy, at.dx].map(|address| self.tensor(address));
        handles.stream.count(1);
        handles.dnn.activation_backward(&self.activation, GradientRefs { y, dy, x: y, dx }, at.accumulate)
    }
}
