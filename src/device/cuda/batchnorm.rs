//! Batch normalisation with training statistics: forward by cuDNN; backward by own kernels, since cuDNN gives the gradients of
//! input and parameters in one call, and these are two phases.

use super::call::Fault;
use super::channels::{Channels, Sums};
use super::dnn::{At, Statistics, Tensor};
use super::element::Element;
use super::gpu::Gpu;
use super::memory::{self, Buffer};
use super::modules::{Argument, Grid, Kernel};
use super::queue::Queue;
use crate::device::DeviceError;
use crate::model::kind;
use crate::plan::Shape;

pub struct BatchNorm {
    tensor: Tensor,
    parameters: Tensor,
    eps: f32,
    momentum: f32,
    shape: Channels,
    /// Of gamma and beta.
    gradients: Sums,
    backward_data: Kernel,
    /// Per channel, f32: mean, inverse deviation, and the running mean and variance.
    statistics: Buffer,
}

/// What is read and written of the parameters, all f32.
#[derive(Clone, Copy)]
pub struct Affine {
    pub gamma: u64,
    pub dgamma: u64,
    pub dbeta: u64,
}

impl BatchNorm {
    pub fn new(norm: &kind::BatchNorm, shape: Shape, gpu: &Gpu, queue: &Queue) -> Result<BatchNorm, DeviceError> {
        let arithmetic = &gpu.arithmetic;
        let channels = shape.c;
        let statistics = Buffer::new(4 * channels * size_of::<f32>())?;
        let initial: Vec<f32> = [0.0, 0.0, 0.0, 1.0].into_iter().flat_map(|value| vec![value; channels]).collect();
        memory::write(&queue.stream, statistics.address(), &Element::F32.encode(&initial))?;
        let places = Channels::new(shape, arithmetic.nhwc());
        let slice = gpu.kernel("batchnorm_backward_weights")?;
        let total = gpu.kernel_named("batchnorm_backward_weights_total")?;
        Ok(BatchNorm {
            tensor: Tensor::new(shape, arithmetic.element(), arithmetic.layout)?,
            parameters: Tensor::channels(channels, Element::F32)?,
            eps: norm.eps,
            momentum: norm.momentum,
            shape: places,
            gradients: Sums::new(places, slice, total, 2)?,
            backward_data: gpu.kernel("batchnorm_backward_data")?,
            statistics,
        })
    }

    /// Addresses of the four statistics.
    fn parts(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|part| self.statistics.at(part * self.shape.channels as usize * size_of::<f32>()))
    }

    pub fn forward(&self, queue: &Queue, [x, y]: [u64; 2], gamma: u64, beta: u64) -> Result<(), Fault> {
        let [mean, inverse, running_mean, running_variance] = self.parts();
        let of = Statistics { gamma, beta, mean, inverse, running_mean, running_variance };
        let tensors = [x, y].map(|address| At { tensor: &self.tensor, address });
        queue.stream.count(1);
        queue.dnn.batchnorm_forward(tensors, &self.parameters, of, self.eps, self.momentum)
    }

    pub fn backward_weights(&self, queue: &Queue, [x, dy]: [u64; 2], affine: Affine) -> Result<(), Fault> {
        let [mean, inverse, ..] = self.parts();
        let Affine { dgamma, dbeta, .. } = affine;
        self.gradients.launch(queue, &[x, dy, mean, inverse], &[dgamma, dbeta])
    }

    /// After `backward_weights`, whose sums it takes.
    pub fn backward_data(
        &self,
        queue: &Queue,
        [x, dy, dx]: [u64; 3],
        affine: Affine,
        accumulate: bool,
    ) -> Result<(), Fault> {
        let [mean, inverse, ..] = self.parts();
        let Affine { gamma, dgamma, dbeta } = affine;
        let (accumulate, elements) = (u32::from(accumulate), self.shape.elements());
        let arguments: [&dyn Argument; 11] =
            [&x, &dy, &dx, &gamma, &mean, &inverse, &dgamma, &dbeta, &self.shape, &accumulate, &elements];
        self.backward_data.launch(&queue.stream, Grid::over(elements), &arguments)
    }

    pub fn bytes(&self) -> usize {
        self.statistics.bytes() + self.gradients.bytes()
    }
}
