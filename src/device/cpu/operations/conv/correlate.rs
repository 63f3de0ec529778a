//! Windows times weights: forward convolution, and backward-data as convolutions of the output's gradient.
//!
//! For each chunk of pixels and each panel of output channels, tiles of pixels are summed over the whole window in
//! registers. Panels stream from L2, windows from the chunk's copy; nothing else is materialised.

use super::taps::{Pixels, cuts};
use super::windows::{Chunk, ChunkLimits, WindowShape, Windows};
use crate::device::cpu::compute::microkernel::{MicroKernels, RowTile, tiles};
use crate::device::cpu::compute::tasks::{Scratch, Shared, share};
use std::ops::Range;

/// The places of the windows' results in the output, in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    pub first: usize,
    /// From a pixel to the next, a row to the next, an image to the next.
    pub pitch: [usize; 3],
}

pub(super) struct Correlation {
    kernels: &'static MicroKernels,
    threads: usize,
    windows: Windows,
    groups: usize,
    /// Output channels of one group.
    outputs: usize,
    placement: Placement,
    /// The pixels of chunks, by their taps on padding; bands in the midst of an image share theirs.
    pixels: Vec<Vec<Pixels>>,
    /// Each band's, of these.
    bands: Vec<usize>,
}

/// Packs the weights of some output channels of a group: `pack(group, channels, width, panel)` fills a panel
/// `[tap row][tap column][c][width]`, with zeros after the last channel.
pub(super) trait Pack: Fn(usize, Range<usize>, usize, &mut [f32]) + Sync {}
impl<F: Fn(usize, Range<usize>, usize, &mut [f32]) + Sync> Pack for F {}

/// Numbers of padded input per chunk: 384 KiB, beside a panel in an L2 cache of 1 MiB.
const CHUNK_FLOATS: usize = 96 * 1024;

/// Pixels for which a chunk takes several small images.
const ENOUGH_PIXELS: usize = 128;

/// Numbers of results per chunk, which are to stay in L2 until their lines are whole: 384 KiB. This matters where the weights, at
/// most [`FEW_WEIGHTS`], are read soon again.
const RESULT_FLOATS: usize = 96 * 1024;
const FEW_WEIGHTS: usize = 64 * 1024;

/// Tasks per thread that even out what the threads get.
const TASKS_PER_THREAD: usize = 16;

impl Correlation {
    pub fn new(
        kernels: &'static MicroKernels,
        threads: usize,
        shape: WindowShape,
        outputs: usize,
        placement: Placement,
    ) -> Self {
        let panels = outputs.div_ceil(kernels.max_width()) * shape.groups;
        let chunks = (2 * threads).div_ceil(panels);
        let few_weights = shape.taps[0] * shape.taps[1] * shape.c * outputs <= FEW_WEIGHTS;
        let pixels = if few_weights { (RESULT_FLOATS / outputs).max(ENOUGH_PIXELS) } else { usize::MAX };
        let limits = ChunkLimits { floats: CHUNK_FLOATS, pixels, enough: ENOUGH_PIXELS, chunks };
        let windows = Windows::new(shape, limits);
        let (cuts, bands) = cuts(&windows, &shape, kernels.max_rows());
        let pixels = cuts.iter().map(|cut| cut.iter().map(|part| part.pixels(&windows, placement.pitch)).collect());
        let pixels = pixels.collect();
        Self { kernels, threads, windows, groups: shape.groups, outputs, placement, pixels, bands }
    }

    pub fn workspace_floats(&self) -> usize {
        let panels = self.groups * self.panels();
        Scratch::need(panels * self.panel_len())
            + Scratch::need(panels * self.kernels.max_width())
            + Scratch::need(self.threads * Scratch::need(self.windows.copy_len()))
    }

    /// Writes the results of all windows to `output`, or adds them to it (then `biases` is empty, as where there are none).
    pub fn run(
        &self,
        input: &[f32],
        pack: impl Pack,
        biases: &[f32],
        output: &mut [f32],
        accumulate: bool,
        workspace: &mut [f32],
    ) {
        let mut scratch = Scratch::new(workspace);
        let panels = self.groups * self.panels();
        let packed = scratch.take(panels * self.panel_len());
        let padded_biases = scratch.take(panels * self.kernels.max_width());
        let copies = Shared::new(scratch.take(self.threads * Scratch::need(self.windows.copy_len())));
        let pass = CorrelationRun {
            correlation: self,
            pack,
            packed: Shared::new(packed),
            biases: if biases.is_empty() { &[] } else { self.pad_biases(biases, padded_biases) },
            output: Shared::new(output),
            accumulate,
        };
        // With a single chunk, each panel has one user, who packs it into its own cache.
        let chunks = self.windows.chunks();
        if chunks > 1 {
            share(
                self.threads,
                panels,
                |_| (),
                |_, panel| pass.pack_panel(panel / self.panels(), panel % self.panels()),
            );
        }
        let blocks = (TASKS_PER_THREAD * self.threads).div_ceil(chunks * self.groups).min(self.panels());
        // SAFETY: each worker takes the piece of its own number.
        let copy = |worker| unsafe { copies.part(worker, Scratch::need(self.windows.copy_len())) };
        let state = |worker| (copy(worker), usize::MAX);
        share(self.threads, chunks * self.groups * blocks, state, |(copy, loaded), task| {
            let (place, block) = (task / blocks, task % blocks);
            let (chunk, group) = (self.windows.chunk(place / self.groups), place % self.groups);
            if std::mem::replace(loaded, place) != place {
                self.windows.load(input, &chunk, group, copy);
            }
            let windows = self.windows.loaded(input, &chunk, copy);
            for panel in self.panels() * block / blocks..self.panels() * (block + 1) / blocks {
                if chunks == 1 {
                    pass.pack_panel(group, panel);
                }
                pass.tiles(windows, &chunk, group, panel);
            }
        });
    }

    /// Panels of one group.
    fn panels(&self) -> usize {
        self.outputs.div_ceil(self.kernels.max_width())
    }

    fn panel_len(&self) -> usize {
        self.windows.steps() * self.kernels.max_width()
    }

    /// The channels of a panel, counted in the group.
    fn channels(&self, panel: usize) -> Range<usize> {
        let first = panel * self.kernels.max_width();
        first..(first + self.kernels.max_width()).min(self.outputs)
    }

    /// The biases as whole vectors, group by group.
    fn pad_biases<'a>(&self, biases: &[f32], padded: &'a mut [f32]) -> &'a [f32] {
        padded.fill(0.0);
        let group_len = self.panels() * self.kernels.max_width();
        for (padded, biases) in padded.chunks_exact_mut(group_len).zip(biases.chunks_exact(self.outputs)) {
            padded[..biases.len()].copy_from_slice(biases);
        }
        padded
    }
}

/// One run: what its tasks share.
struct CorrelationRun<'a, P> {
    correlation: &'a Correlation,
    pack: P,
    packed: Shared,
    /// Padded; empty where there are none.
    biases: &'a [f32],
    output: Shared,
    accumulate: bool,
}

impl<P: Pack> CorrelationRun<'_, P> {
    fn pack_panel(&self, group: usize, panel: usize) {
        let c = self.correlation;
        let channels = c.channels(panel);
        let width = c.kernels.width(channels.len());
        // SAFETY: one task packs a panel, before any task reads it.
        let to = unsafe { self.packed.part(group * c.panels() + panel, c.panel_len()) };
        (self.pack)(group, channels, width, &mut to[..c.windows.steps() * width]);
    }

    /// One panel's results for one chunk, whose windows are at hand.
    fn tiles(&self, windows: &[f32], chunk: &Chunk, group: usize, panel: usize) {
        let c = self.correlation;
        let channels = c.channels(panel);
        let [_, row, image] = c.placement.pitch;
        let start = chunk.images.start * image + chunk.rows.start * row;
        let first = c.placement.first + start + group * c.outputs + channels.start;
        let index = group * c.panels() + panel;
        let bias = self.biases.get(index * c.kernels.max_width()..).filter(|biases| !biases.is_empty());
        let bias = bias.map_or(std::ptr::null(), <[f32]>::as_ptr);
        for pixels in &c.pixels[c.bands[chunk.band]] {
            for (pixel, rows) in tiles(chunk.images.len() * pixels.per_image, c.kernels.max_rows()) {
                let tile = RowTile {
                    input: windows.as_ptr(),
                    rows: &pixels.windows[pixel..pixel + rows],
                    runs: &pixels.runs,
                    run_len: pixels.run_len,
                    panel: self.packed.ptr().wrapping_add(index * c.panel_len()),
                    bias,
                    output: self.output.ptr().wrapping_add(first),
                    output_rows: &pixels.results[pixel..pixel + rows],
                    columns: channels.len(),
                    accumulate: self.accumulate,
                };
                // SAFETY: `windows` holds every window of the chunk, `packed` the panel, and no other task writes these
                // pixels' channels.
                unsafe { c.kernels.row_tile(&tile) }
            }
        }
    }
}
