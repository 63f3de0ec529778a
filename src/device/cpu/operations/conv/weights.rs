//! Backward-weights: windows times the output's gradient, summed over all pixels.
//!
//! The weights are cut into tiles of some (tap, channel) rows by one panel of output channels. Each worker owns a share
//! of the tiles and walks over all chunks of pixels, so there are no partial sums to add up and the result does not
//! depend on the number of threads. The gradient of the bias is summed where the output's gradient is packed.

use super::bias::sum_pixels;
use super::taps::{TapPixels, Taps};
use super::windows::{Chunk, ChunkLimits, WindowShape, Windows};
use crate::device::cpu::compute::microkernel::{ColumnTile, MicroKernels, Write, tiles};
use crate::device::cpu::compute::tasks::{Scratch, Shared, each, part};
use crate::device::cpu::operations::BackwardWeights;
use std::ops::Range;

pub(super) struct WeightGradient {
    kernels: &'static MicroKernels,
    threads: usize,
    windows: Windows,
    groups: usize,
    /// Output channels of one group.
    outputs: usize,
    /// Output pixels of an image, and columns of it.
    image_pixels: usize,
    image_columns: usize,
    tiles: Vec<WeightTile>,
    pixels: TapPixels,
}

/// Rows of the gradient: a tap's channels, or those of neighbours.
struct WeightTile {
    /// First row of the gradient, and rows.
    row: usize,
    rows: usize,
    /// Place of the first in a window.
    offset: usize,
    taps: Taps,
}

/// Pixels per chunk: a packed panel of so many stays in L1 or close to it.
const CHUNK_PIXELS: usize = 256;

/// A gradient of so many numbers (512 KiB) passes the caches once per chunk.
const LARGE: usize = 128 * 1024;

/// Limits of a chunk for a gradient of so many numbers: 256 KiB of padded input; or 3 MiB, which come from L3 in time, where it
/// matters more that the gradient is passed rarely.
fn limits(gradient: usize) -> ChunkLimits {
    let (floats, enough) = if gradient > LARGE { (768 * 1024, CHUNK_PIXELS) } else { (64 * 1024, CHUNK_PIXELS / 2) };
    ChunkLimits { floats, pixels: CHUNK_PIXELS, enough, chunks: 1 }
}

impl WeightGradient {
    pub fn new(kernels: &'static MicroKernels, threads: usize, shape: WindowShape, outputs: usize) -> Self {
        let windows = Windows::new(shape, limits(shape.taps[0] * shape.taps[1] * shape.c * outputs));
        let tiles = weight_tiles(&windows, &shape, kernels.max_rows());
        let pixels = TapPixels::new(&windows, &shape, tiles.iter().map(|tile| &tile.taps));
        Self {
            kernels,
            threads,
            windows,
            groups: shape.groups,
            outputs,
            image_pixels: shape.out[0] * shape.out[1],
            image_columns: shape.out[1],
            tiles,
            pixels,
        }
    }

    pub fn workspace_floats(&self) -> usize {
        self.threads * self.worker_floats()
    }

    fn worker_floats(&self) -> usize {
        Scratch::need(self.windows.copy_len()) + Scratch::need(self.panel_len())
    }

    fn panel_len(&self) -> usize {
        self.windows.pixels_per_chunk() * self.kernels.max_width()
    }

    /// Panels of one group.
    fn panels(&self) -> usize {
        self.outputs.div_ceil(self.kernels.max_width())
    }

    pub fn run(&self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient, weight_gradient, bias_gradient, workspace } = operands;
        let pass = GradientRun {
            gradient: self,
            input,
            output_gradient,
            weight_gradient: Shared::new(weight_gradient),
            bias_gradient: (!bias_gradient.is_empty()).then(|| Shared::new(bias_gradient)),
        };
        let scratch = Shared::new(workspace);
        let units = self.groups * self.panels() * self.tiles.len();
        each(self.threads, |worker| {
            // SAFETY: each worker takes the piece of its own number.
            let mut scratch = Scratch::new(unsafe { scratch.part(worker, self.worker_floats()) });
            let copy = scratch.take(self.windows.copy_len());
            let panel = scratch.take(self.panel_len());
            pass.units(part(units, worker, self.threads), copy, panel);
        });
    }
}

/// One run: what its workers share.
struct GradientRun<'a> {
    gradient: &'a WeightGradient,
    input: &'a [f32],
    output_gradient: &'a [f32],
    weight_gradient: Shared,
    bias_gradient: Option<Shared>,
}

impl GradientRun<'_> {
    /// One worker's share: a range of (group, panel, tile), over all chunks.
    fn units(&self, units: Range<usize>, copy: &mut [f32], packed: &mut [f32]) {
        let g = self.gradient;
        if units.is_empty() {
            return;
        }
        for chunk_index in 0..g.windows.chunks() {
            let chunk = g.windows.chunk(chunk_index);
            let mut loaded = usize::MAX;
            for place in units.start / g.tiles.len()..units.end.div_ceil(g.tiles.len()) {
                let (group, panel) = (place / g.panels(), place % g.panels());
                if std::mem::replace(&mut loaded, group) != group {
                    g.windows.load(self.input, &chunk, group, copy);
                }
                let first_tile = units.start.max(place * g.tiles.len()) - place * g.tiles.len();
                let end_tile = units.end.min((place + 1) * g.tiles.len()) - place * g.tiles.len();
                let channels = channels(g.kernels, g.outputs, group, panel);
                let packed = self.pack(&chunk, channels.clone(), packed);
                if first_tile == 0 {
                    self.add_bias(packed, channels.clone(), chunk_index == 0);
                }
                let windows = g.windows.loaded(self.input, &chunk, copy);
                self.tiles(&g.tiles[first_tile..end_tile], &chunk, windows, packed, channels);
            }
        }
    }

    /// Copies a panel of the output's gradient: `[pixel][width]`, zeros after the last channel.
    fn pack<'a>(&self, chunk: &Chunk, channels: Range<usize>, packed: &'a mut [f32]) -> &'a [f32] {
        let g = self.gradient;
        let width = g.kernels.width(channels.len());
        let first = chunk.images.start * g.image_pixels + chunk.rows.start * g.image_columns;
        let pixels = g.windows.pixels_in(chunk);
        let k = g.groups * g.outputs;
        let packed = &mut packed[..pixels * width];
        for (to, from) in packed.chunks_exact_mut(width).zip(self.output_gradient[first * k..].chunks_exact(k)) {
            let (to, padding) = to.split_at_mut(channels.len());
            to.copy_from_slice(&from[channels.clone()]);
            padding.fill(0.0);
        }
        packed
    }

    /// Adds up a panel over its pixels.
    fn add_bias(&self, packed: &[f32], channels: Range<usize>, first: bool) {
        let Some(bias) = self.bias_gradient else {
            return;
        };
        // SAFETY: only the worker with the panel's first tile writes these channels.
        let bias = unsafe { std::slice::from_raw_parts_mut(bias.ptr().add(channels.start), channels.len()) };
        if first {
            bias.fill(0.0);
        }
        sum_pixels(packed, self.gradient.kernels.width(channels.len()), bias);
    }

    fn tiles(&self, tiles: &[WeightTile], chunk: &Chunk, windows: &[f32], packed: &[f32], channels: Range<usize>) {
        let g = self.gradient;
        let k = g.groups * g.outputs;
        let first = chunk.images.start == 0 && chunk.band == 0;
        for weights in tiles {
            let tile = ColumnTile {
                input: windows.as_ptr().wrapping_add(weights.offset),
                steps: g.pixels.of(chunk, &weights.taps),
                rows: weights.rows,
                panel: packed.as_ptr(),
                output: self.weight_gradient.ptr().wrapping_add(weights.row * k + channels.start),
                output_pitch: k,
                columns: channels.len(),
                write: if first { Write::Store } else { Write::Add },
            };
            // SAFETY: `windows` and `packed` hold the chunk's pixels, and no other worker writes this tile.
            unsafe { g.kernels.column_tile(&tile) }
        }
    }
}

/// Cuts the rows of the gradient into tiles: tap by tap where that takes no more tiles.
fn weight_tiles(windows: &Windows, shape: &WindowShape, max_rows: usize) -> Vec<WeightTile> {
    let channels = shape.c / shape.groups;
    let (_, run_len) = windows.runs(&(0..shape.taps[0]), &(0..shape.taps[1]));
    let taps = run_len / channels;
    let by_tap = taps * channels.div_ceil(max_rows) <= run_len.div_ceil(max_rows);
    let taps = if by_tap { 1 } else { taps };
    let mut all = Vec::new();
    for (r, s) in (0..shape.taps[0]).flat_map(|r| (0..shape.taps[1]).step_by(taps).map(move |s| (r, s))) {
        let (runs, run_len) = windows.runs(&(r..r + 1), &(s..s + taps));
        all.extend(tiles(run_len, max_rows).map(|(row, rows)| WeightTile {
            row: runs[0].step + row,
            rows,
            offset: runs[0].offset + row,
            taps: Taps { row: r, columns: s + row / channels..s + (row + rows).div_ceil(channels) },
        }));
    }
    all
}

/// The output channels of a panel, counted over all groups.
fn channels(kernels: &MicroKernels, outputs: usize, group: usize, panel: usize) -> Range<usize> {
    let first = panel * kernels.max_width();
    group * outputs + first..group * outputs + (first + kernels.max_width()).min(outputs)
}
