//! A factor for each channel, and an addend where there is one, by own kernels.

use super::channels::{Channels, Sums};
use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Element, Grid, Handles, Kernel, memory};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::Shape;

/// A factor per channel.
pub struct ScaleOp {
    forward: Kernel,
    backward_data: Kernel,
    gradients: Sums,
    shape: Channels,
    grid: Grid,
    has_bias: bool,
    /// Per channel, f32: zero and one, a batch norm's mean and inverse deviation; and room for gradients of biases that are not there.
    constants: Buffer,
}

impl ScaleOp {
    /// Of inputs with this shape.
    pub fn new(scale: &kind::Scale, shape: Shape, gpu: &SharedGpu, handles: &Handles) -> Result<ScaleOp, Failure> {
        let places = Channels::new(shape, gpu.arithmetic.nhwc());
        let constants = Buffer::new(3 * shape.c * size_of::<f32>())?;
        let values: Vec<f32> = [0.0, 1.0, 0.0].into_iter().flat_map(|value| vec![value; shape.c]).collect();
        memory::write(&handles.stream, constants.address(), &Element::F32.encode(&values))?;
        let slice = gpu.kernel("batchnorm_backward_weights")?;
        let total = gpu.kernel_named("batchnorm_backward_weights_total")?;
        Ok(ScaleOp {
            forward: gpu.kernel("scale_forward")?,
            backward_data: gpu.kernel("scale_backward_data")?,
            gradients: Sums::new(places, gpu.arithmetic.element(), [slice, total], 2)?,
            grid: places.grid(gpu.arithmetic.element()),
            shape: places,
            has_bias: scale.bias,
            constants,
        })
    }

    fn constants(&self) -> [u64; 3] {
        [0, 1, 2].map(|part| self.constants.at(part * self.shape.channels.by as usize * size_of::<f32>()))
    }
}

impl Operation for ScaleOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let beta = if self.has_bias { at.parameters.biases } else { 0 };
        let (x, gamma, elements) = (at.x(), at.parameters.weights, self.shape.elements());
        let arguments: [&dyn Argument; 6] = [&x, &at.output, &gamma, &beta, &self.shape, &elements];
        self.forward.launch(&handles.stream, self.grid, &arguments)
    }

    fn backward_weights(&self, handles: &Handles, at: &BackwardWeights) -> Result<(), CallError> {
        let [mean, inverse, spare] = self.constants();
        let dbeta = if self.has_bias { at.parameters.bias_gradients } else { spare };
        self.gradients.launch(handles, &[at.x, at.dy, mean, inverse], &[at.parameters.weight_gradients, dbeta])
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let (gamma, accumulate, elements) = (at.parameters.weights, u32::from(at.accumulate), self.shape.elements());
        let arguments: [&dyn Argument; 6] = [&at.dy, &at.dx, &gamma, &self.shape, &accumulate, &elements];
        self.backward_data.launch(&handles.stream, self.grid, &arguments)
    }

    fn bytes(&self) -> usize {
        self.constants.bytes() + self.gradients.bytes()
    }
}
