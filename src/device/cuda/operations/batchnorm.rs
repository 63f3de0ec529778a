//! Batch normalisation with training statistics: forward by cuDNN; backward by own kernels, since cuDNN gives the gradients of
//! input and parameters in one call, and these are two phases.

use super::channels::{Channels, Sums};
use super::{BackwardData, BackwardWeights, Forward, Operation, ParameterAddresses};
use crate::device::cuda::driver::dnn::{Statistics, TensorDescriptor, TensorRef};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Element, Grid, Handles, Kernel, memory};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::Shape;

/// Batch normalisation.
pub struct BatchNormOp {
    tensor: TensorDescriptor,
    parameters: TensorDescriptor,
    eps: f32,
    momentum: f32,
    shape: Channels,
    grid: Grid,
    /// Of gamma and beta.
    gradients: Sums,
    backward_data: Kernel,
    /// Per channel, f32: mean, inverse deviation, and the running mean and variance.
    statistics: Buffer,
}

impl BatchNormOp {
    /// Of inputs with this shape, with a running mean of zero and a running variance of one.
    pub fn new(
        norm: &kind::BatchNorm,
        shape: Shape,
        gpu: &SharedGpu,
        handles: &Handles,
    ) -> Result<BatchNormOp, Failure> {
        let arithmetic = &gpu.arithmetic;
        let channels = shape.c;
        let statistics = Buffer::new(4 * channels * size_of::<f32>())?;
        let initial: Vec<f32> = [0.0, 0.0, 0.0, 1.0].into_iter().flat_map(|value| vec![value; channels]).collect();
        memory::write(&handles.stream, statistics.address(), &Element::F32.encode(&initial))?;
        let places = Channels::new(shape, arithmetic.nhwc());
        let slice = gpu.kernel("batchnorm_backward_weights")?;
        let total = gpu.kernel_named("batchnorm_backward_weights_total")?;
        Ok(BatchNormOp {
            tensor: TensorDescriptor::new(shape, arithmetic.element(), arithmetic.layout)?,
            parameters: TensorDescriptor::channels(channels, Element::F32)?,
            eps: norm.eps,
            momentum: norm.momentum,
            shape: places,
            gradients: Sums::new(places, arithmetic.element(), [slice, total], 2)?,
            grid: places.grid(arithmetic.element()),
            backward_data: gpu.kernel("batchnorm_backward_data")?,
            statistics,
        })
    }

    /// Addresses of the four statistics.
    fn parts(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|part| self.statistics.at(part * self.shape.channels.by as usize * size_of::<f32>()))
    }
}

impl Operation for BatchNormOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let [mean, inverse, running_mean, running_variance] = self.parts();
        let (gamma, beta) = (at.parameters.weights, at.parameters.biases);
        let of = Statistics { gamma, beta, mean, inverse, running_mean, running_variance };
        let [x, y] = [at.x(), at.output].map(|address| TensorRef { tensor: &self.tensor, address });
        handles.stream.count(1);
        handles.dnn.batchnorm_forward(x, y, &self.parameters, of, self.eps, self.momentum)
    }

    fn backward_weights(&self, handles: &Handles, at: &BackwardWeights) -> Result<(), CallError> {
        let [mean, inverse, ..] = self.parts();
        let results = [at.parameters.weight_gradients, at.parameters.bias_gradients];
        self.gradients.launch(handles, &[at.x, at.dy, mean, inverse], &results)
    }

    /// After `backward_weights`, whose sums it takes.
    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let [mean, inverse, ..] = self.parts();
        let BackwardData { x, dy, dx, .. } = at;
        let ParameterAddresses { weights: gamma, weight_gradients: dgamma, bias_gradients: dbeta, .. } = &at.parameters;
        let (accumulate, elements) = (u32::from(at.accumulate), self.shape.elements());
        let arguments: [&dyn Argument; 11] =
            [x, dy, dx, gamma, &mean, &inverse, dgamma, dbeta, &self.shape, &accumulate, &elements];
        self.backward_data.launch(&handles.stream, self.grid, &arguments)
    }

    fn bytes(&self) -> usize {
        self.statistics.bytes() + self.gradients.bytes()
    }
}
