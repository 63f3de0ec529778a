//! Backward_weights: transformed tiles times transformed gradients of outputs, summed over all tiles, then turned into taps.
//!
//! Blocks of tiles are transformed by all threads, then multiplied by all threads, each with some elements and panels: the sums
//! are taken in the order of the tiles, whatever the number of threads.

use super::Means;
use super::product::pitch;
use super::tiling::Tiling;
use crate::device::cpu::compute::microkernel::{ColumnTile, Term, Write, tiles};
use crate::device::cpu::compute::tasks::{Scratch, Shared, share};
use crate::device::cpu::compute::winograd::{FilterTile, PixelTile};
use crate::device::cpu::operations::BackwardWeights;
use crate::device::cpu::operations::conv::bias::sum_pixels;
use std::ops::Range;

pub(super) struct WeightGradient {
    means: Means,
    tiling: Tiling,
    groups: usize,
    /// Input channels of one group.
    inputs: usize,
    /// Output channels of one group.
    outputs: usize,
    /// The most tiles of a block.
    block: usize,
    /// Offset of each tile of a block among an element's transformed ones.
    starts: Vec<Term>,
}

/// Elements of a block's transformed tiles, of one channel: enough that the sums, which pass the caches, are read rarely.
const BLOCK_ELEMENTS: usize = 3456;

impl WeightGradient {
    pub fn new(means: Means, tiling: Tiling, groups: usize, [inputs, outputs]: [usize; 2]) -> WeightGradient {
        let block = (BLOCK_ELEMENTS / means.transforms.side().pow(2)).min(tiling.tiles());
        let starts = Term::columns(block, pitch(inputs, means.kernels.lanes));
        WeightGradient { means, tiling, groups, inputs, outputs, block, starts }
    }

    pub fn workspace_floats(&self) -> usize {
        Scratch::need(self.elements() * self.tile_pitch())
            + Scratch::need(self.elements() * self.gradient_pitch())
            + Scratch::need(self.elements() * self.sum_pitch())
            + Scratch::need(self.zeros_len())
    }

    fn elements(&self) -> usize {
        self.means.transforms.side().pow(2)
    }

    fn width(&self) -> usize {
        self.means.kernels.max_width()
    }

    /// Panels of one group.
    fn panels(&self) -> usize {
        self.outputs.div_ceil(self.width())
    }

    /// From an element's tiles to the next's.
    fn tile_pitch(&self) -> usize {
        self.block * pitch(self.inputs, self.means.kernels.lanes) + 16
    }

    /// From an element's gradients, \[panel\]\[tile\]\[width\], to the next's.
    fn gradient_pitch(&self) -> usize {
        self.panels() * self.block * self.width() + 16
    }

    /// From an element's sums, \[panel\]\[input channel\]\[width\], to the next's.
    fn sum_pitch(&self) -> usize {
        self.panels() * self.inputs * self.width()
    }

    fn zeros_len(&self) -> usize {
        self.inputs.max(self.outputs).next_multiple_of(self.means.kernels.lanes)
    }

    /// The channels of a panel, counted in the group.
    fn channels(&self, panel: usize) -> Range<usize> {
        panel * self.width()..((panel + 1) * self.width()).min(self.outputs)
    }

    pub fn run(&self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient, weight_gradient, bias_gradient, workspace } = operands;
        let mut scratch = Scratch::new(workspace);
        let run = Pass {
            gradient: self,
            input,
            output_gradient,
            tiles: Shared::new(scratch.take(self.elements() * self.tile_pitch())),
            gradients: Shared::new(scratch.take(self.elements() * self.gradient_pitch())),
            sums: Shared::new(scratch.take(self.elements() * self.sum_pitch())),
            zeros: scratch.take(self.zeros_len()),
            weight_gradient: Shared::new(weight_gradient),
            bias_gradient: (!bias_gradient.is_empty()).then(|| Shared::new(bias_gradient)),
        };
        run.zeros.fill(0.0);
        let (threads, tiles, units) = (self.means.threads, self.tiling.tiles(), self.elements() * self.panels());
        for group in 0..self.groups {
            for first in (0..tiles).step_by(self.block) {
                let block = first..tiles.min(first + self.block);
                share(threads, block.len(), |_| (), |(), slot| run.transform(group, first + slot, slot));
                share(threads, units, |_| (), |(), unit| run.multiply(group, block.clone(), unit));
            }
            share(threads, self.panels(), |_| (), |(), panel| run.make_taps(group, panel));
        }
    }
}

/// One run: operands that its tasks share.
struct Pass<'a> {
    gradient: &'a WeightGradient,
    input: &'a [f32],
    output_gradient: &'a [f32],
    /// \[element\]\[tile\]\[input channel\].
    tiles: Shared,
    /// \[element\]\[panel\]\[tile\]\[width\].
    gradients: Shared,
    /// \[element\]\[panel\]\[input channel\]\[width\].
    sums: Shared,
    zeros: &'a mut [f32],
    weight_gradient: Shared,
    bias_gradient: Option<Shared>,
}

impl Pass<'_> {
    /// Transforms one tile and its gradients of outputs.
    fn transform(&self, group: usize, tile: usize, slot: usize) {
        let g = self.gradient;
        let zeros = self.zeros.as_ptr();
        let base = self.input[group * g.inputs..].as_ptr();
        let data = PixelTile {
            pixels: &g.tiling.inputs(tile, base, g.groups * g.inputs, zeros),
            channels: g.inputs,
            to: self.tiles.ptr().wrapping_add(g.starts[slot].offset),
            pitch: g.tile_pitch(),
        };
        // SAFETY: pixels have this group's channels, and so have the zeros; no other task writes this slot.
        unsafe { g.means.transforms.data(&data) }
        for panel in 0..g.panels() {
            let channels = g.channels(panel);
            let width = g.means.kernels.width(channels.len());
            let base = self.output_gradient[group * g.outputs + channels.start..].as_ptr();
            // The tables of places are the outputs', which are only read here.
            let pixels = g.tiling.outputs(tile, base.cast_mut(), g.groups * g.outputs, zeros.cast_mut());
            let area = panel * g.block * g.width() + slot * width;
            let gradients = PixelTile {
                pixels: &pixels,
                channels: channels.len(),
                to: self.gradients.ptr().wrapping_add(area),
                pitch: g.gradient_pitch(),
            };
            // SAFETY: as above.
            unsafe { g.means.transforms.gradients(&gradients) }
        }
    }

    /// Adds a block's products of one element and panel to the sums; for the first element, the gradient of the biases too.
    fn multiply(&self, group: usize, block: Range<usize>, unit: usize) {
        let g = self.gradient;
        let (element, panel) = (unit / g.panels(), unit % g.panels());
        let width = g.means.kernels.width(g.channels(panel).len());
        let sums = self.sums.ptr().wrapping_add(element * g.sum_pitch() + panel * g.inputs * g.width());
        for (first, rows) in tiles(g.inputs, g.means.kernels.max_rows()) {
            let tile = ColumnTile {
                input: self.tiles.ptr().wrapping_add(element * g.tile_pitch() + first),
                steps: &g.starts[..block.len()],
                rows,
                panel: self.gradients.ptr().wrapping_add(element * g.gradient_pitch() + panel * g.block * g.width()),
                output: sums.wrapping_add(first * width),
                output_pitch: width,
                columns: width,
                write: if block.start == 0 { Write::Store } else { Write::Add },
            };
            // SAFETY: the block's tiles and gradients are transformed; no other task writes these sums.
            unsafe { g.means.kernels.column_tile(&tile) }
        }
        if element == 0 {
            self.add_biases(group, block, panel);
        }
    }

    /// Adds a block's share of the pixels to the gradient of one panel's biases.
    fn add_biases(&self, group: usize, block: Range<usize>, panel: usize) {
        let g = self.gradient;
        let Some(bias_gradient) = self.bias_gradient else {
            return;
        };
        let (channels, k, tiles) = (g.channels(panel), g.groups * g.outputs, g.tiling.tiles());
        let first = group * g.outputs + channels.start;
        let pixels = self.output_gradient.len() / k;
        let [from, to] = [block.start, block.end].map(|tile| pixels * tile / tiles * k);
        // SAFETY: no other task writes these channels.
        let biases = unsafe { std::slice::from_raw_parts_mut(bias_gradient.ptr().add(first), channels.len()) };
        if block.start == 0 {
            biases.fill(0.0);
        }
        if from < to {
            sum_pixels(&self.output_gradient[from + first..to], k, biases);
        }
    }

    /// Turns one panel's sums into gradients of taps.
    fn make_taps(&self, group: usize, panel: usize) {
        let g = self.gradient;
        let channels = g.channels(panel);
        let width = g.means.kernels.width(channels.len());
        let k = g.groups * g.outputs;
        let tile = FilterTile {
            taps: self.weight_gradient.ptr().wrapping_add(group * g.outputs + channels.start),
            tap_pitch: g.inputs * k,
            elements: self.sums.ptr().wrapping_add(panel * g.inputs * g.width()),
            pitch: g.sum_pitch(),
            steps: g.inputs,
            step_pitches: [k, width],
            channels: channels.len(),
        };
        // SAFETY: the sums hold whole vectors; no other task writes these channels of the weights' gradient.
        unsafe { g.means.transforms.taps(&tile) }
    }
}
