//! Activation functions: ReLU, sigmoid and tanh by cuDNN, the others by own kernels.
//!
//! cuDNN's backward takes x too and these three do not depend on it: y serves, so that x need not be kept.

use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::dnn::{ActivationDescriptor, GradientRefs, TensorDescriptor, TensorRef};
use crate::device::cuda::driver::{Argument, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind::Activation;
use crate::plan::Shape;

/// The operation of a function on inputs with this shape.
pub fn operation(function: Activation, shape: Shape, gpu: &SharedGpu) -> Result<Box<dyn Operation>, Failure> {
    let activation = match function {
        Activation::Relu => ActivationDescriptor::relu()?,
        Activation::Sigmoid => ActivationDescriptor::sigmoid()?,
        Activation::Tanh => ActivationDescriptor::tanh()?,
        Activation::LeakyRelu(leaky) => return own(function, leaky.slope, shape, gpu),
        Activation::Elu(elu) => return own(function, elu.alpha, shape, gpu),
        Activation::Relu6 | Activation::Silu | Activation::Hardsigmoid | Activation::Hardswish | Activation::Gelu => {
            return own(function, 0.0, shape, gpu);
        }
    };
    let arithmetic = &gpu.arithmetic;
    let tensor = TensorDescriptor::new(shape, arithmetic.element(), arithmetic.layout)?;
    Ok(Box::new(DnnActivationOp { activation, tensor }))
}

fn own(function: Activation, parameter: f32, shape: Shape, gpu: &SharedGpu) -> Result<Box<dyn Operation>, Failure> {
    let name = function.name();
    Ok(Box::new(OwnActivationOp {
        forward: gpu.kernel(&format!("{name}_forward"))?,
        backward: gpu.kernel(&format!("{name}_backward"))?,
        of_output: function.has_gradient_of_output(),
        parameter,
        elements: shape.elements() as u32,
        grid: Grid::streaming(shape.elements() as u32, gpu.arithmetic.element().bytes()),
    }))
}

/// A function by cuDNN.
struct DnnActivationOp {
    activation: ActivationDescriptor,
    tensor: TensorDescriptor,
}

impl DnnActivationOp {
    fn tensor(&self, address: u64) -> TensorRef<'_> {
        TensorRef { tensor: &self.tensor, address }
    }
}

impl Operation for DnnActivationOp {
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

/// A function by own kernels.
struct OwnActivationOp {
    forward: Kernel,
    backward: Kernel,
    /// The gradient is computed from the output, not the input.
    of_output: bool,
    /// leaky_relu's slope, elu's alpha.
    parameter: f32,
    elements: u32,
    grid: Grid,
}

impl Operation for OwnActivationOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let arguments: [&dyn Argument; 4] = [&at.x(), &at.output, &self.parameter, &self.elements];
        self.forward.launch(&handles.stream, self.grid, &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let from = if self.of_output { at.y } else { at.x };
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 6] = [&from, &at.dy, &at.dx, &self.parameter, &accumulate, &self.elements];
        self.backward.launch(&handles.stream, self.grid, &arguments)
    }
}
