//! Forward and backward_data: blocks of transformed tiles times transformed filters.
//!
//! A block's tiles stay in a core's L2 cache; filters stream from L3, panel by panel of output channels. Both are laid out
//! with an element's channels together: tiles \[element\]\[tile\]\[channel\], filters \[panel\]\[element\]\[input channel\]\[width\].

use super::Means;
use super::tiling::Tiling;
use crate::device::cpu::compute::microkernel::{RowTile, Term, tiles};
use crate::device::cpu::compute::tasks::{Scratch, Shared, share};
use crate::device::cpu::compute::winograd::{FilterTile, OutputTile, PixelTile};
use std::ops::Range;

/// Weights \[R, S, C/groups, K\].
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// From the C input to the K output channels.
    AsTheyAre(&'a [f32]),
    /// From the K output to the C input channels, the taps backwards.
    TurnedAround(&'a [f32]),
}

pub(super) struct Product {
    means: Means,
    tiling: Tiling,
    groups: usize,
    /// Input channels of one group.
    inputs: usize,
    /// Output channels of one group.
    outputs: usize,
    /// The most tiles of a block.
    block: usize,
    /// Offset of each tile of a block among transformed ones, and among products.
    starts: Vec<usize>,
    ends: Vec<usize>,
}

/// Numbers of a block's transformed tiles: 768 KiB, beside a panel of filters in an L2 cache of 1 MiB.
const BLOCK_FLOATS: usize = 192 * 1024;

/// The most tiles of a block: then filters are read rarely enough.
const MOST_TILES: usize = 28;

/// Tasks per thread that even out what the threads get.
const TASKS_PER_THREAD: usize = 8;

/// Rows at a multiple of this many floats compete for few sets of an L1 cache.
const ALIASING: usize = 128;

/// A distance between rows of `channels` numbers, in whole vectors and without aliasing.
pub(super) fn pitch(channels: usize, lanes: usize) -> usize {
    let pitch = channels.next_multiple_of(lanes);
    if pitch.is_multiple_of(ALIASING) { pitch + 16 } else { pitch }
}

impl Product {
    pub fn new(means: Means, tiling: Tiling, groups: usize, [inputs, outputs]: [usize; 2]) -> Product {
        let rows = means.kernels.max_rows();
        let pitch = pitch(inputs, means.kernels.lanes);
        let fitting = BLOCK_FLOATS / (means.transforms.side().pow(2) * pitch);
        let block = (fitting.min(MOST_TILES) / rows).max(1) * rows;
        // Of nearly equal size, and enough for all threads.
        let count = tiling.tiles();
        let blocks = count.div_ceil(block).max(means.threads.min(count.div_ceil(rows)));
        let block = count.div_ceil(blocks);
        let starts = (0..block).map(|tile| tile * pitch).collect();
        let ends = (0..block).map(|tile| tile * means.kernels.max_width()).collect();
        Product { means, tiling, groups, inputs, outputs, block, starts, ends }
    }

    pub fn workspace_floats(&self) -> usize {
        let panels = self.groups * self.panels();
        Scratch::need(panels * self.filters_len())
            + Scratch::need(panels * self.width())
            + Scratch::need(self.zeros_len())
            + self.means.threads * self.worker_floats()
    }

    /// Transformed tiles, products, and a sink for outputs that are in no image; or filters being turned around.
    fn worker_floats(&self) -> usize {
        let turned = self.means.transforms.taps.pow(2) * self.inputs * self.width();
        let block = Scratch::need(self.elements() * self.tile_pitch())
            + Scratch::need(self.elements() * self.product_pitch())
            + Scratch::need(self.width());
        Scratch::need(block.max(Scratch::need(turned)))
    }

    fn elements(&self) -> usize {
        self.means.transforms.side().pow(2)
    }

    /// From an element's tiles to the next's.
    fn tile_pitch(&self) -> usize {
        self.block * pitch(self.inputs, self.means.kernels.lanes) + 16
    }

    fn product_pitch(&self) -> usize {
        self.block * self.width() + 16
    }

    fn zeros_len(&self) -> usize {
        self.inputs.next_multiple_of(self.means.kernels.lanes)
    }

    /// The width of a full panel.
    fn width(&self) -> usize {
        self.means.kernels.max_width()
    }

    /// Panels of one group.
    fn panels(&self) -> usize {
        self.outputs.div_ceil(self.width())
    }

    fn filters_len(&self) -> usize {
        self.elements() * self.inputs * self.width()
    }

    /// The channels of a panel, counted in the group.
    fn channels(&self, panel: usize) -> Range<usize> {
        panel * self.width()..((panel + 1) * self.width()).min(self.outputs)
    }

    /// Writes the outputs, or adds to them (then `biases` is empty, as where there are none).
    pub fn run(
        &self,
        input: &[f32],
        weights: Weights,
        biases: &[f32],
        output: &mut [f32],
        accumulate: bool,
        workspace: &mut [f32],
    ) {
        let mut scratch = Scratch::new(workspace);
        let panels = self.groups * self.panels();
        let filters = Shared::new(scratch.take(panels * self.filters_len()));
        let padded_biases = scratch.take(panels * self.width());
        let zeros = scratch.take(self.zeros_len());
        let workers = Shared::new(scratch.take(self.means.threads * self.worker_floats()));
        zeros.fill(0.0);
        self.pad_biases(biases, padded_biases);
        let run = Pass {
            product: self,
            input,
            filters,
            biases: (!biases.is_empty()).then_some(&*padded_biases),
            zeros,
            output: Shared::new(output),
            accumulate,
        };
        // SAFETY: each worker takes the piece of its own number.
        let worker = |worker| unsafe { workers.part(worker, self.worker_floats()) };
        share(self.means.threads, panels, worker, |scratch, panel| {
            run.transform_filters(weights, panel / self.panels(), panel % self.panels(), scratch)
        });
        let blocks = self.tiling.tiles().div_ceil(self.block);
        let parts = (TASKS_PER_THREAD * self.means.threads).div_ceil(blocks * self.groups).min(self.panels());
        let parts = if self.means.threads == 1 { 1 } else { parts };
        let state = |number| (Scratch::new(worker(number)), usize::MAX);
        let state = |number| {
            let (mut scratch, none) = state(number);
            let tiles = scratch.take(self.elements() * self.tile_pitch());
            let products = scratch.take(self.elements() * self.product_pitch());
            (tiles, products, scratch.take(self.width()), none)
        };
        share(self.means.threads, blocks * self.groups * parts, state, |(tiles, products, sink, loaded), task| {
            let (place, part) = (task / parts, task % parts);
            let (block, group) = (place / self.groups, place % self.groups);
            let block = block * self.block..self.tiling.tiles().min((block + 1) * self.block);
            if std::mem::replace(loaded, place) != place {
                run.transform_tiles(block.clone(), group, tiles);
            }
            for panel in self.panels() * part / parts..self.panels() * (part + 1) / parts {
                run.multiply(tiles, block.len(), group, panel, products);
                run.make_outputs(products, block.clone(), group, panel, sink);
            }
        });
    }

    /// Writes the biases as whole panels, group by group.
    fn pad_biases(&self, biases: &[f32], padded: &mut [f32]) {
        padded.fill(0.0);
        let group_len = self.panels() * self.width();
        for (padded, biases) in padded.chunks_exact_mut(group_len).zip(biases.chunks_exact(self.outputs)) {
            padded[..biases.len()].copy_from_slice(biases);
        }
    }
}

/// One run: operands that its tasks share.
struct Pass<'a> {
    product: &'a Product,
    input: &'a [f32],
    filters: Shared,
    /// Padded.
    biases: Option<&'a [f32]>,
    zeros: &'a [f32],
    output: Shared,
    accumulate: bool,
}

impl Pass<'_> {
    /// Transforms one panel of a group's filters.
    fn transform_filters(&self, weights: Weights, group: usize, panel: usize, scratch: &mut [f32]) {
        let p = self.product;
        let channels = p.channels(panel);
        let width = p.means.kernels.width(channels.len());
        // SAFETY: one task transforms a panel, before any task reads it.
        let to = unsafe { self.filters.part(group * p.panels() + panel, p.filters_len()) };
        let (from, tap_pitch, step_pitch) = match weights {
            Weights::AsTheyAre(weights) => {
                let k = p.groups * p.outputs;
                (weights[group * p.outputs + channels.start..].as_ptr(), p.inputs * k, k)
            }
            Weights::TurnedAround(weights) => {
                let mut scratch = Scratch::new(scratch);
                let turned = scratch.take(p.means.transforms.taps.pow(2) * p.inputs * width);
                self.turn_around(weights, group, channels.clone(), width, turned);
                (turned.as_ptr(), p.inputs * width, width)
            }
        };
        let tile = FilterTile {
            taps: from.cast_mut(),
            tap_pitch,
            elements: to.as_mut_ptr(),
            pitch: p.inputs * width,
            steps: p.inputs,
            step_pitches: [step_pitch, width],
            channels: channels.len(),
        };
        // SAFETY: the weights hold these channels of every tap, `to` a panel of whole vectors.
        unsafe { p.means.transforms.filters(&tile) }
    }

    /// Copies weights \[tap\]\[c\]\[k\] as \[tap from the last\]\[k\]\[width of c\].
    fn turn_around(&self, weights: &[f32], group: usize, channels: Range<usize>, width: usize, turned: &mut [f32]) {
        let p = self.product;
        let (k, taps) = (p.groups * p.inputs, p.means.transforms.taps.pow(2));
        for (tap, to) in turned.chunks_exact_mut(p.inputs * width).enumerate() {
            let from = &weights[((taps - 1 - tap) * p.outputs + channels.start) * k + group * p.inputs..];
            p.means.kernels.transpose(from, k, [channels.len(), p.inputs], to, width);
        }
    }

    fn transform_tiles(&self, block: Range<usize>, group: usize, to: &mut [f32]) {
        let p = self.product;
        let channels = p.groups * p.inputs;
        let base = self.input[group * p.inputs..].as_ptr();
        for (slot, tile) in block.enumerate() {
            let tile = PixelTile {
                pixels: &p.tiling.inputs(tile, base, channels, self.zeros.as_ptr()),
                channels: p.inputs,
                to: to[p.starts[slot]..].as_mut_ptr(),
                pitch: p.tile_pitch(),
            };
            // SAFETY: pixels have this group's channels, and so have the zeros; `to` has room for whole vectors.
            unsafe { p.means.transforms.data(&tile) }
        }
    }

    /// Products of a block's tiles with one panel of filters, element by element.
    fn multiply(&self, from: &[f32], count: usize, group: usize, panel: usize, products: &mut [f32]) {
        let p = self.product;
        let width = p.means.kernels.width(p.channels(panel).len());
        let filters = self.filters.ptr().wrapping_add((group * p.panels() + panel) * p.filters_len());
        for element in 0..p.elements() {
            for (first, rows) in tiles(count, p.means.kernels.max_rows()) {
                let tile = RowTile {
                    input: from[element * p.tile_pitch()..].as_ptr(),
                    rows: &p.starts[first..first + rows],
                    runs: &Term::WHOLE,
                    run_len: p.inputs,
                    panel: filters.wrapping_add(element * p.inputs * width),
                    bias: std::ptr::null(),
                    output: products[element * p.product_pitch()..].as_mut_ptr(),
                    output_rows: &p.ends[first..first + rows],
                    columns: width,
                    accumulate: false,
                };
                // SAFETY: `from` holds these tiles' channels, `filters` the panel, and `products` has room for whole panels.
                unsafe { p.means.kernels.row_tile(&tile) }
            }
        }
    }

    fn make_outputs(&self, products: &[f32], block: Range<usize>, group: usize, panel: usize, sink: &mut [f32]) {
        let p = self.product;
        let channels = p.channels(panel);
        let base = self.output.ptr().wrapping_add(group * p.outputs + channels.start);
        let biases =
            self.biases.map_or(std::ptr::null(), |biases| biases[(group * p.panels() + panel) * p.width()..].as_ptr());
        for (slot, tile) in block.enumerate() {
            let tile = OutputTile {
                from: products[p.ends[slot]..].as_ptr(),
                pitch: p.product_pitch(),
                pixels: &p.tiling.outputs(tile, base, p.groups * p.outputs, sink.as_mut_ptr()),
                channels: channels.len(),
                biases,
                accumulate: self.accumulate,
            };
            // SAFETY: no other task writes these channels of these pixels; the sink is this worker's and as wide as a panel.
            unsafe { p.means.transforms.outputs(&tile) }
        }
    }
}
