//! Sigmoid, by cuDNN. Its backward takes x too, and does not look at it: y serves, so that x need not be kept.

use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::dnn::{ActivationDescriptor, GradientRefs, TensorDescriptor, TensorRef};
use crate::device::cuda::driver::{CallError, Handles};
use crate::device::cuda::gpu::Arithmetic;
use crate::plan::Shape;

/// A sigmoid.
pub struct SigmoidOp {
    activation: ActivationDescriptor,
    tensor: TensorDescriptor,
}

impl SigmoidOp {
    /// Of inputs with this shape.
    pub fn new(shape: Shape, arithmetic: &Arithmetic) -> Result<SigmoidOp, CallError> {
        let tensor = TensorDescriptor::new(shape, arithmetic.element(), arithmetic.layout)?;
        Ok(SigmoidOp { activation: ActivationDescriptor::sigmoid()?, tensor })
    }

    fn tensor(&self, address: u64) -> TensorRef<'_> {
        TensorRef { tensor: &self.tensor, address }
    }
}

impl Operation for SigmoidOp {
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
