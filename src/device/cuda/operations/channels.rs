//! Sums over everything but the channel, by own kernels: one that adds up slices of a tensor, and one that adds up the slices' sums
//! where there are several. Enough slices to fill a GPU, few enough that the second is short; their number depends on the shape
//! alone, so that results repeat to the bit.

use smallvec::SmallVec;

use crate::device::cuda::driver::{Argument, Buffer, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::plan::Shape;

/// Threads of a block, as `kernels/channels.cuh` takes them.
const LANES: u32 = 32;
const ROWS: u32 = 8;
/// Values that a thread adds up before another slice is worth its sum.
const VALUES: u32 = 32;
/// Blocks that keep the largest GPUs busy.
const BLOCKS: u32 = 1024;
const MOST_SLICES: u32 = 256;

/// A tensor as it lies in memory: NHWC is \[N·H·W, C, 1\], NCHW \[N, C, H·W\]. As `kernels/channels.cuh` declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Channels {
    outer: u32,
    /// Channels.
    pub channels: u32,
    inner: u32,
}

impl Argument for Channels {}

impl Channels {
    /// A tensor of this shape.
    pub fn new(Shape { n, c, h, w }: Shape, nhwc: bool) -> Channels {
        let (outer, inner) = if nhwc { (n * h * w, 1) } else { (n, h * w) };
        Channels { outer: outer as u32, channels: c as u32, inner: inner as u32 }
    }

    /// Tells if neighbours in memory are channels of one pixel.
    pub fn lie_together(self) -> bool {
        self.inner == 1
    }

    /// Elements of the tensor.
    pub fn elements(self) -> u32 {
        self.outer * self.channels * self.inner
    }

    /// A lane has a channel of its own where neighbours in memory are channels; else a block has one.
    fn columns(self) -> u32 {
        if self.inner == 1 { self.channels.div_ceil(LANES) } else { self.channels }
    }

    fn slices(self) -> u32 {
        let threads = if self.inner == 1 { ROWS } else { ROWS * LANES };
        let worth = (self.outer * self.inner).div_ceil(threads * VALUES);
        worth.clamp(1, (BLOCKS / self.columns()).clamp(1, MOST_SLICES))
    }
}

/// One or more sums per channel.
pub struct Sums {
    shape: Channels,
    slice: Kernel,
    total: Kernel,
    /// The slices' sums, f32.
    partials: Buffer,
}

impl Sums {
    /// `slice` takes the tensors to add up, the slices' sums, the results and the shape; `total` the slices' sums, the results and both
    /// counts. `results` is the number of sums per channel.
    pub fn new(shape: Channels, slice: Kernel, total: Kernel, results: usize) -> Result<Sums, Failure> {
        let slices = shape.slices() as usize;
        let partials = if slices == 1 { 0 } else { results * slices * shape.channels as usize };
        Ok(Sums { shape, slice, total, partials: Buffer::new(partials * size_of::<f32>())? })
    }

    /// Enqueues the sums of tensors at these addresses.
    pub fn launch(&self, handles: &Handles, of: &[u64], results: &[u64]) -> Result<(), CallError> {
        let (shape, slices, partials) = (self.shape, self.shape.slices(), self.partials.address());
        let of = of.iter().chain([&partials]).chain(results).map(|address| address as &dyn Argument);
        let arguments: SmallVec<[&dyn Argument; 8]> = of.chain([&shape as &dyn Argument]).collect();
        let threads = [LANES, ROWS];
        let grid = Grid { blocks: [shape.columns(), slices, 1], threads };
        self.slice.launch(&handles.stream, grid, &arguments)?;
        if slices == 1 {
            return Ok(());
        }
        let sums = [&partials].into_iter().chain(results).map(|address| address as &dyn Argument);
        let arguments: SmallVec<[&dyn Argument; 8]> = sums.chain([&slices as _, &shape.channels as _]).collect();
        let grid = Grid { blocks: [shape.channels.div_ceil(LANES), 1, 1], threads };
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

    fn slices(n: usize, c: usize, side: usize, nhwc: bool) -> u32 {
        Channels::new(Shape { n, c, h: side, w: side }, nhwc).slices()
    }

    /// AlexNet's conv1 and conv5 at batch 128, and fc6 at batches 128 and 512.
    #[test]
    fn slices_fill_a_gpu_and_no_more() {
        // 128 · 55² places: 1513 slices of 8 · 32 would be worth it, and 2 blocks of channels allow 256 of them.
        assert_eq!(slices(128, 64, 55, true), 256);
        // 128 · 13² / 256 = 84.5, and 8 blocks of channels allow 128.
        assert_eq!(slices(128, 256, 13, true), 85);
        // 64 channels' blocks allow 16 each, 256 allow 4; 128 · 13² / 8192 = 2.6.
        assert_eq!([slices(128, 64, 55, false), slices(128, 256, 13, false)], [16, 3]);
        assert_eq!([slices(128, 4096, 1, true), slices(512, 4096, 1, false)], [1, 2]);
        assert_eq!(slices(1, 1_000_000, 1, true), 1);
    }
}
