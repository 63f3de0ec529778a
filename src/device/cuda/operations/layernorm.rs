//! Normalisation of every pixel over its channels, by own kernels: cuDNN has it in its graph API alone, for channels that lie together.

use super::channels::{Channels, Sums};
use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::Shape;

/// Threads of a block, as `kernels/layernorm.cu` takes them.
const LANES: u32 = 32;
const ROWS: u32 = 8;

/// Layer normalisation over channels.
pub struct LayerNormOp {
    forward: Kernel,
    backward_data: Kernel,
    /// Of gamma and beta.
    gradients: Sums,
    eps: f32,
    shape: Channels,
    pixels: u32,
    /// Per pixel, f32: mean, and inverse deviation.
    statistics: Buffer,
}

impl LayerNormOp {
    /// Of inputs with this shape.
    pub fn new(norm: &kind::LayerNorm, shape: Shape, gpu: &SharedGpu) -> Result<LayerNormOp, Failure> {
        let places = Channels::new(shape, gpu.arithmetic.nhwc());
        let slice = gpu.kernel("layernorm_backward_weights")?;
        let total = gpu.kernel_named("batchnorm_backward_weights_total")?;
        let pixels = shape.n * shape.h * shape.w;
        Ok(LayerNormOp {
            forward: gpu.kernel("layernorm_forward")?,
            backward_data: gpu.kernel("layernorm_backward_data")?,
            gradients: Sums::new(places, gpu.arithmetic.element(), [slice, total], 2)?,
            eps: norm.eps,
            shape: places,
            pixels: pixels as u32,
            statistics: Buffer::new(2 * pixels * size_of::<f32>())?,
        })
    }

    fn statistics(&self) -> [u64; 2] {
        [0, 1].map(|part| self.statistics.at(part * self.pixels as usize * size_of::<f32>()))
    }

    /// A warp for each pixel whose channels lie together, else a thread.
    fn grid(&self) -> Grid {
        let pixels_of_block = if self.shape.lie_together() { ROWS } else { ROWS * LANES };
        Grid { blocks: [self.pixels.div_ceil(pixels_of_block), 1, 1], threads: [LANES, ROWS] }
    }
}

impl Operation for LayerNormOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let [mean, inverse] = self.statistics();
        let (x, gamma, beta) = (at.x(), at.parameters.weights, at.parameters.biases);
        let arguments: [&dyn Argument; 8] = [&x, &at.output, &gamma, &beta, &mean, &inverse, &self.eps, &self.shape];
        self.forward.launch(&handles.stream, self.grid(), &arguments)
    }

    fn backward_weights(&self, handles: &Handles, at: &BackwardWeights) -> Result<(), CallError> {
        let [mean, inverse] = self.statistics();
        let results = [at.parameters.weight_gradients, at.parameters.bias_gradients];
        self.gradients.launch(handles, &[at.x, at.dy, mean, inverse], &results)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let [mean, inverse] = self.statistics();
        let (gamma, accumulate) = (at.parameters.weights, u32::from(at.accumulate));
        let arguments: [&dyn Argument; 8] = [&at.x, &at.dy, &at.dx, &gamma, &mean, &inverse, &self.shape, &accumulate];
        self.backward_data.launch(&handles.stream, self.grid(), &arguments)
    }

    fn bytes(&self) -> usize {
        self.statistics.bytes() + self.gradients.bytes()
    }
}
