//! Sums over everything but the channel, by own kernels: one that adds up slices of a tensor, and one that adds up the slices' sums
//! where there are several. Enough slices to fill a GPU, few enough that the second is short; their number depends on the shape
//! alone, so that results repeat to the bit.

use smallvec::SmallVec;

use super::divisor::Divisor;
use crate::device::cuda::driver::{Argument, Buffer, CallError, Element, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::plan::Shape;

/// Threads of a block, as `kernels/channels.cuh` takes them.
const LANES: u32 = 32;
const ROWS: u32 = 8;
/// Loads of a thread before another slice is worth its sum.
const LOADS: u32 = 8;
/// Blocks that keep the largest GPUs busy.
const BLOCKS: u32 = 1024;
const MOST_SLICES: u32 = 256;

/// A tensor as it lies in memory: NHWC is \[N·H·W, C, 1\], NCHW \[N, C, H·W\]. As `kernels/channels.cuh` declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Channels {
    outer: u32,
    /// Channels.
    pub channels: Divisor,
    inner: Divisor,
}

impl Argument for Channels {}

impl Channels {
    /// A tensor of this shape.
    pub fn new(Shape { n, c, h, w }: Shape, nhwc: bool) -> Channels {
        let (outer, inner) = if nhwc { (n * h * w, 1) } else { (n, h * w) };
        Channels { outer: outer as u32, channels: Divisor::new(c), inner: Divisor::new(inner) }
    }

    /// Tells if neighbours in memory are channels of one pixel.
    pub fn lie_together(self) -> bool {
        self.inner.by == 1
    }

    /// Elements of the tensor.
    pub fn elements(self) -> u32 {
        self.outer * self.channels.by * self.inner.by
    }

    /// Threads for an operation on all elements: each does a vector where vectors lie within few channels.
    pub fn grid(self, element: Element) -> Grid {
        let width = Divisor::new(element.per_vector());
        match self.inner.by {
            1 if width.divides(self.channels.by) => Grid::streaming(self.elements(), element.bytes()),
            inner if inner >= width.by => Grid::streaming(self.elements(), element.bytes()),
            _ => Grid::over(self.elements()),
        }
    }

    /// Blocks and slices of a sum. Lanes have channels of their own, several by loads of 16 bytes, where neighbours in memory are
    /// channels; else a block has a channel, whose planes it reads so.
    fn blocks(self, element: Element) -> [u32; 2] {
        let width = Divisor::new(element.per_vector());
        let (columns, loads, at_once) = if self.inner.by == 1 {
            let channels = self.channels.by;
            let vectors = if width.divides(channels) { channels / width.by } else { channels };
            let across = vectors.next_power_of_two().min(LANES);
            (vectors.div_ceil(across), self.outer, ROWS * (LANES / across))
        } else {
            let per_load = if width.divides(self.elements()) { width.by } else { 1 };
            (self.channels.by, (self.outer * self.inner.by).div_ceil(per_load), ROWS * LANES)
        };
        let worth = loads.div_ceil(at_once * LOADS);
        [columns, worth.clamp(1, (BLOCKS / columns).clamp(1, MOST_SLICES))]
    }
}

/// One or more sums per channel.
pub struct Sums {
    shape: Channels,
    /// Along the channels, and slices.
    blocks: [u32; 2],
    slice: Kernel,
    total: Kernel,
    /// The slices' sums, f32.
    partials: Buffer,
}

impl Sums {
    /// `slice` takes the tensors to add up, whose elements are of this type, the slices' sums, the results and the shape; `total` the
    /// slices' sums, the results and both counts. `results` is the number of sums per channel.
    pub fn new(
        shape: Channels,
        element: Element,
        [slice, total]: [Kernel; 2],
        results: usize,
    ) -> Result<Sums, Failure> {
        let blocks = shape.blocks(element);
        let slices = blocks[1] as usize;
        let partials = if slices == 1 { 0 } else { results * slices * shape.channels.by as usize };
        Ok(Sums { shape, blocks, slice, total, partials: Buffer::new(partials * size_of::<f32>())? })
    }

    /// Enqueues the sums of tensors at these addresses.
    pub fn launch(&self, handles: &Handles, of: &[u64], results: &[u64]) -> Result<(), CallError> {
        let (shape, [columns, slices], partials) = (self.shape, self.blocks, self.partials.address());
        let of = of.iter().chain([&partials]).chain(results).map(|address| address as &dyn Argument);
        let arguments: SmallVec<[&dyn Argument; 8]> = of.chain([&shape as &dyn Argument]).collect();
        let threads = [LANES, ROWS];
        let grid = Grid { blocks: [columns, slices, 1], threads };
        self.slice.launch(&handles.stream, grid, &arguments)?;
        if slices == 1 {
            return Ok(());
        }
        let sums = [&partials].into_iter().chain(results).map(|address| address as &dyn Argument);
        let arguments: SmallVec<[&dyn Argument; 8]> = sums.chain([&slices as _, &shape.channels.by as _]).collect();
        let grid = Grid { blocks: [shape.channels.by.div_ceil(LANES), 1, 1], threads };
        self.total.launch(&handles.stream, grid, &arguments)
    }

    /// Device memory held.
    pub fn bytes(&self) -> usize {
        self.partials.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(n: usize, c: usize, side: usize, nhwc: bool, element: Element) -> [u32; 2] {
        Channels::new(Shape { n, c, h: side, w: side }, nhwc).blocks(element)
    }

    /// AlexNet's conv1 and conv5 at batch 128, and fc6 at batches 128 and 512.
    #[test]
    fn slices_fill_a_gpu_and_no_more() {
        use Element::{F16, F32};
        // 64 channels are 8 vectors of f16, so a block has 32 rows; 128 · 55² / (32 · 8) = 1512.5 slices are worth it.
        assert_eq!(blocks(128, 64, 55, true, F16), [1, 256]);
        // 256 channels are 64 vectors of f32 and 2 columns of blocks with 8 rows; 128 · 13² / (8 · 8) = 338.
        assert_eq!(blocks(128, 256, 13, true, F32), [2, 256]);
        // A block per channel: 64 allow 16 slices each, 256 allow 4; 128 · 13² / 4 / (256 · 8) = 2.6.
        assert_eq!(blocks(128, 64, 55, false, F32), [64, 16]);
        assert_eq!(blocks(128, 256, 13, false, F32), [256, 3]);
        // 4096 channels are 32 columns of 32 lanes with 4 of f32: 128 / 64 and 512 / 64 slices.
        assert_eq!(blocks(128, 4096, 1, true, F32), [32, 2]);
        assert_eq!(blocks(512, 4096, 1, false, F32), [32, 8]);
        // 1001 channels cannot be taken four at a time.
        assert_eq!(blocks(1, 1001, 1, true, F32), [32, 1]);
    }

    #[test]
    fn a_thread_does_a_vector_where_that_lies_within_few_channels() {
        let of = |c, side, nhwc| Channels::new(Shape { n: 64, c, h: side, w: side }, nhwc).grid(Element::F16).blocks[0];
        // 64 · 8 · 8² = 32,768 elements: 4096 vectors in 16 blocks, or a thread each in 128.
        assert_eq!([of(8, 8, true), of(8, 8, false)], [16, 16]);
        // 64 · 2 · 16² is as many.
        assert_eq!([of(2, 16, true), of(2, 16, false)], [128, 16]);
        // 64 · 128 · 2²: planes of 4 elements.
        assert_eq!(of(128, 2, false), 128);
    }
}
