//! Products of two inputs, by own kernels: cuDNN's `cudnnOpTensor` has no gradient of a factor that is broadcast.

use super::divisor::Divisor;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Element, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::plan::LayerPlan;

/// Threads of a block of the sums, as `kernels/multiply.cu` takes them.
const LANES: u32 = 32;
const ROWS: u32 = 8;
/// Values that a thread adds up before another slice is worth its sum.
const VALUES: u32 = 32;
/// Blocks that keep the largest GPUs busy.
const BLOCKS: u32 = 1024;
/// Pixels up to which a warp adds up a channel by itself.
const FEW_PIXELS: u32 = 1024;

/// As `kernels/multiply.cu` declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct GateShape {
    channels: Divisor,
    pixels: Divisor,
    /// Elements of an image.
    image: Divisor,
    nhwc: u32,
}

impl Argument for GateShape {}

/// The product of two inputs.
pub struct MultiplyOp {
    multiply: Kernel,
    gradient: Kernel,
    total: Kernel,
    shape: GateShape,
    /// The factor that has one pixel per channel.
    gate: Option<usize>,
    /// Images times channels.
    gates: u32,
    elements: u32,
    grid: Grid,
    /// The slices' sums, f32.
    partials: Buffer,
}

impl MultiplyOp {
    /// Of a layer's inputs.
    pub fn new(planned: &LayerPlan, gpu: &SharedGpu) -> Result<MultiplyOp, Failure> {
        let output = planned.output;
        let gate = planned.input_shapes.iter().position(|&shape| shape != output);
        let pixels = if gate.is_some() { output.h * output.w } else { 1 };
        let shape = GateShape::new(output.c, pixels, gpu.arithmetic.nhwc());
        let gates = (output.n * output.c) as u32;
        let slices = if gate.is_some() { shape.slices(gates) } else { 1 };
        let partials = if slices == 1 { 0 } else { slices as usize * gates as usize };
        Ok(MultiplyOp {
            multiply: gpu.kernel("multiply")?,
            gradient: gpu.kernel("gate_gradient")?,
            total: gpu.kernel("gate_gradient_total")?,
            shape,
            gate,
            gates,
            elements: output.elements() as u32,
            grid: shape.grid(output.elements() as u32, gpu.arithmetic.element()),
            partials: Buffer::new(partials * size_of::<f32>())?,
        })
    }

    fn product(&self, handles: &Handles, a: u64, b: u64, y: u64, accumulate: bool) -> Result<(), CallError> {
        let arguments: [&dyn Argument; 6] = [&a, &b, &y, &self.shape, &u32::from(accumulate), &self.elements];
        self.multiply.launch(&handles.stream, self.grid, &arguments)
    }

    fn gate_gradient(&self, handles: &Handles, at: &BackwardData, x: u64) -> Result<(), CallError> {
        let &MultiplyOp { shape, gates, ref partials, .. } = self;
        let (warps, slices, accumulate) = (shape.warps(), shape.slices(gates), u32::from(at.accumulate));
        let partials = partials.address();
        let arguments: [&dyn Argument; 8] =
            [&at.dy, &x, &partials, &at.dx, &shape, &gates, &u32::from(warps), &accumulate];
        let grid = Grid { blocks: [shape.blocks(gates), slices, 1], threads: [LANES, ROWS] };
        self.gradient.launch(&handles.stream, grid, &arguments)?;
        if slices == 1 {
            return Ok(());
        }
        let arguments: [&dyn Argument; 5] = [&partials, &at.dx, &slices, &accumulate, &gates];
        self.total.launch(&handles.stream, Grid::over(gates), &arguments)
    }
}

impl GateShape {
    fn new(channels: usize, pixels: usize, nhwc: bool) -> GateShape {
        let [image, channels, pixels] = [channels * pixels, channels, pixels].map(Divisor::new);
        GateShape { channels, pixels, image, nhwc: nhwc.into() }
    }

    /// Threads for products: each does a vector where that lies within few gates.
    fn grid(self, elements: u32, element: Element) -> Grid {
        let width = Divisor::new(element.per_vector());
        let vectors = match (self.pixels.by, self.nhwc) {
            (1, _) => true,
            (pixels, 0) => pixels >= width.by,
            _ => width.divides(self.channels.by),
        };
        if vectors { Grid::streaming(elements, element.bytes()) } else { Grid::over(elements) }
    }

    /// Tells if a warp adds up a channel by itself.
    fn warps(self) -> bool {
        self.nhwc == 0 && self.pixels.by <= FEW_PIXELS
    }

    /// Blocks of a slice.
    fn blocks(self, gates: u32) -> u32 {
        match (self.nhwc, self.warps()) {
            (0, true) => gates.div_ceil(ROWS),
            (0, false) => gates,
            _ => gates / self.channels.by * self.channels.by.div_ceil(LANES),
        }
    }

    /// Enough slices to fill a GPU, and few enough that each thread has something to add up.
    fn slices(self, gates: u32) -> u32 {
        if self.warps() {
            return 1;
        }
        let threads = if self.nhwc == 0 { ROWS * LANES } else { ROWS };
        self.pixels.by.div_ceil(threads * VALUES).clamp(1, (BLOCKS / self.blocks(gates)).max(1))
    }
}

impl Operation for MultiplyOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let small = self.gate.unwrap_or(1);
        self.product(handles, at.inputs[1 - small], at.inputs[small], at.output, false)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let other = at.inputs[1 - at.input];
        match self.gate == Some(at.input) {
            true => self.gate_gradient(handles, at, other),
            false => self.product(handles, at.dy, other, at.dx, at.accumulate),
        }
    }

    fn bytes(&self) -> usize {
        self.partials.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(images: u32, channels: u32, side: usize, nhwc: u32) -> u32 {
        GateShape::new(channels as usize, side * side, nhwc == 1).slices(images * channels)
    }

    /// EfficientNet-B0's first squeeze and excitation has 32 channels of 112² pixels, its last 1152 of 7².
    #[test]
    fn slices_fill_a_gpu_and_no_more() {
        // One block of channels per image: 12,544 pixels / (8 · 32) = 49.
        assert_eq!([slices(1, 32, 112, 1), slices(128, 32, 112, 1)], [49, 8]);
        // 12,544 / (256 · 32) = 1.5 with 32 blocks; 4096 blocks need none.
        assert_eq!([slices(1, 32, 112, 0), slices(128, 32, 112, 0)], [2, 1]);
        assert_eq!([slices(1, 1152, 7, 0), slices(1, 1152, 7, 1)], [1, 1]);
    }
}
