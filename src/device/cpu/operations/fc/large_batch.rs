//! A fully connected layer for many images, bound by arithmetic, and the weights' gradient for any number.
//!
//! Weights are far larger than activations: the small matrix is packed as panels, and the weights are read once.

use super::{FcOp, small_batch};
use crate::device::cpu::compute::microkernel::{ColumnTile, MicroKernels, RowTile, Term, Write, tiles};
use crate::device::cpu::compute::simd::end_stream;
use crate::device::cpu::compute::tasks::{Scratch, Shared, share};
use crate::device::cpu::operations::{BackwardData, Forward};
use crate::plan::{FcGeometry, Phase};
use std::ops::Range;

/// Inputs of a block of the forward product: fourteen weight rows of it fill half of L1.
const FORWARD_INPUTS: usize = 256;

/// Weight rows and inputs of a block of backward-data: 256 KiB, packed into L2. Pieces of 2 KiB of each row are long enough for
/// the hardware to read ahead.
const BLOCK_OUTPUTS: usize = 128;
const BLOCK_INPUTS: usize = 512;

/// Gradients of weights larger than this leave the caches before they are used: they are written past them.
const STREAM_BYTES: usize = 8 << 20;

/// From one image to the next among copied columns of the outputs' gradient: room for any tile's rows.
pub(super) const COLUMN_PITCH: usize = 16;

/// Copied rows lie this much further apart than they are long, so that they do not compete for cache sets.
const ROW_PADDING: usize = 16;

/// Scratch of a phase, in f32.
pub(super) fn workspace_floats(fc: &FcOp, kernels: &MicroKernels, phase: Phase) -> usize {
    let panels = |columns: usize, steps: usize| columns.div_ceil(kernels.max_width()) * kernels.max_width() * steps;
    let FcGeometry { n, inputs, .. } = fc.geometry;
    match phase {
        Phase::Forward | Phase::BackwardData if n <= kernels.small_batch => small_batch::workspace_floats(&fc.geometry),
        Phase::Forward => {
            Scratch::need(panels(n, inputs)) + Scratch::need(fc.threads * forward_worker_floats(fc, kernels))
        }
        Phase::BackwardData => backward_data_floats(fc),
        Phase::BackwardWeights => Scratch::need(panels(inputs, n)) + fc.threads * Scratch::need(n * COLUMN_PITCH),
        Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 0,
    }
}

/// A block of weight rows, and the outputs of these rows for all images.
fn forward_worker_floats(fc: &FcOp, kernels: &MicroKernels) -> usize {
    let rows = kernels.max_rows();
    Scratch::need(rows * (FORWARD_INPUTS + ROW_PADDING))
        + Scratch::need(rows * fc.geometry.n.next_multiple_of(kernels.max_width()))
}

/// The outputs' gradient, and each worker's block of the weights.
fn backward_data_floats(fc: &FcOp) -> usize {
    let blocks = fc.threads * Scratch::need(BLOCK_OUTPUTS * BLOCK_INPUTS);
    Scratch::need(fc.geometry.n * (fc.geometry.outputs + ROW_PADDING)) + Scratch::need(blocks)
}

/// Packs columns of a matrix `[step][column]`, `strides` apart, as panels `[panel][step][width]` with zeros after the
/// last column.
fn pack(
    fc: &FcOp,
    kernels: &MicroKernels,
    from: &[f32],
    columns: usize,
    steps: usize,
    strides: [usize; 2],
    panels: &mut [f32],
) {
    let full = kernels.max_width();
    let panels = Shared::new(panels);
    share(
        fc.threads,
        columns.div_ceil(full),
        |_| (),
        |(), panel| {
            let first = panel * full;
            let count = full.min(columns - first);
            let width = kernels.width(count);
            // SAFETY: each panel is packed by one task.
            let panel = unsafe { panels.part(panel, steps * full) };
            for (step, to) in panel[..steps * width].chunks_exact_mut(width).enumerate() {
                let (to, padding) = to.split_at_mut(count);
                let from = &from[step * strides[0] + first * strides[1]..];
                if strides[1] == 1 {
                    to.copy_from_slice(&from[..count]);
                } else {
                    to.iter_mut().zip(from.iter().step_by(strides[1])).for_each(|(to, from)| *to = *from);
                }
                padding.fill(0.0);
            }
        },
    );
}

/// Weight rows against panels of images: outputs come out transposed, `[output][n]`, and are turned around at the end.
pub(super) fn forward(fc: &FcOp, kernels: &MicroKernels, operands: Forward) {
    let x = operands.input();
    let Forward { weights: w, biases, output: y, workspace, .. } = operands;
    let max_rows = kernels.max_rows();
    let full = kernels.max_width();
    let panels = fc.geometry.n.div_ceil(full);
    let mut scratch = Scratch::new(workspace);
    let packed = scratch.take(panels * full * fc.geometry.inputs);
    let workers = Shared::new(scratch.take(fc.threads * forward_worker_floats(fc, kernels)));
    pack(fc, kernels, x, fc.geometry.n, fc.geometry.inputs, [1, fc.geometry.inputs], packed);
    let (packed, y) = (&*packed, Shared::new(y));
    let state = |worker| {
        // SAFETY: each worker takes the piece of its own number.
        let mut scratch = Scratch::new(unsafe { workers.part(worker, forward_worker_floats(fc, kernels)) });
        (scratch.take(max_rows * (FORWARD_INPUTS + ROW_PADDING)), scratch.take(max_rows * panels * full))
    };
    share(fc.threads, fc.geometry.outputs.div_ceil(max_rows), state, |(block, result), task| {
        let rows = task * max_rows..fc.geometry.outputs.min((task + 1) * max_rows);
        for first in (0..fc.geometry.inputs).step_by(FORWARD_INPUTS) {
            let inputs = first..fc.geometry.inputs.min(first + FORWARD_INPUTS);
            load_rows(w, fc.geometry.inputs, rows.clone(), inputs.clone(), block);
            forward_block(fc, kernels, block, packed, rows.len(), inputs, result);
        }
        for (m, row) in rows.enumerate() {
            let bias = biases.get(row).copied().unwrap_or(0.0);
            for n in 0..fc.geometry.n {
                // SAFETY: no other task writes this output.
                unsafe { *y.ptr().add(n * fc.geometry.outputs + row) = result[m * panels * full + n] + bias };
            }
        }
    });
}

/// Copies some inputs of some weight rows.
fn load_rows(w: &[f32], pitch: usize, rows: Range<usize>, inputs: Range<usize>, block: &mut [f32]) {
    for (row, to) in rows.zip(block.chunks_exact_mut(FORWARD_INPUTS + ROW_PADDING)) {
        to[..inputs.len()].copy_from_slice(&w[row * pitch..][inputs.clone()]);
    }
}

fn forward_block(
    fc: &FcOp,
    kernels: &MicroKernels,
    block: &[f32],
    packed: &[f32],
    rows: usize,
    inputs: Range<usize>,
    result: &mut [f32],
) {
    let full = kernels.max_width();
    let result_pitch = fc.geometry.n.div_ceil(full) * full;
    let starts: [usize; 32] = std::array::from_fn(|m| m * (FORWARD_INPUTS + ROW_PADDING));
    let ends: [usize; 32] = std::array::from_fn(|m| m * result_pitch);
    for panel in 0..fc.geometry.n.div_ceil(full) {
        let columns = full.min(fc.geometry.n - panel * full);
        let width = kernels.width(columns);
        let tile = RowTile {
            input: block.as_ptr(),
            rows: &starts[..rows],
            runs: &Term::WHOLE,
            run_len: inputs.len(),
            panel: packed[panel * full * fc.geometry.inputs + inputs.start * width..].as_ptr(),
            bias: std::ptr::null(),
            output: result[panel * full..].as_mut_ptr(),
            output_rows: &ends[..rows],
            columns,
            accumulate: inputs.start > 0,
        };
        // SAFETY: `block` holds the rows, `packed` the panel, and `result` has room for whole panels.
        unsafe { kernels.row_tile(&tile) }
    }
}

/// Rows of the outputs' gradient against blocks of the weights, packed as panels of inputs.
pub(super) fn backward_data(fc: &FcOp, kernels: &MicroKernels, operands: BackwardData) {
    let BackwardData { output_gradient: dy, weights: w, input_gradient: dx, accumulate, workspace, .. } = operands;
    let piece = Scratch::need(BLOCK_OUTPUTS * BLOCK_INPUTS);
    let mut scratch = Scratch::new(workspace);
    let padded = scratch.take(fc.geometry.n * (fc.geometry.outputs + ROW_PADDING));
    let blocks = Shared::new(scratch.take(fc.threads * piece));
    for (from, to) in
        dy.chunks_exact(fc.geometry.outputs).zip(padded.chunks_exact_mut(fc.geometry.outputs + ROW_PADDING))
    {
        to[..fc.geometry.outputs].copy_from_slice(from);
    }
    let (padded, dx) = (&*padded, Shared::new(dx));
    // SAFETY: each worker takes the piece of its own number.
    let state = |worker| unsafe { blocks.part(worker, piece) };
    share(fc.threads, fc.geometry.inputs.div_ceil(BLOCK_INPUTS), state, |block, task| {
        let inputs = task * BLOCK_INPUTS..fc.geometry.inputs.min((task + 1) * BLOCK_INPUTS);
        for first in (0..fc.geometry.outputs).step_by(BLOCK_OUTPUTS) {
            let outputs = first..fc.geometry.outputs.min(first + BLOCK_OUTPUTS);
            load_panels(kernels, w, fc.geometry.inputs, outputs.clone(), inputs.clone(), block);
            backward_data_block(fc, kernels, block, padded, outputs, inputs.clone(), dx, accumulate || first > 0);
        }
    });
}

/// Copies a block of the weights as panels `[panel][output][width]`.
fn load_panels(
    kernels: &MicroKernels,
    w: &[f32],
    pitch: usize,
    outputs: Range<usize>,
    inputs: Range<usize>,
    block: &mut [f32],
) {
    let full = kernels.max_width();
    let steps = outputs.len();
    for (step, output) in outputs.enumerate() {
        let row = &w[output * pitch..][inputs.clone()];
        for (panel, from) in row.chunks(full).enumerate() {
            let width = kernels.width(from.len());
            let to = &mut block[panel * full * steps + step * width..][..width];
            to[..from.len()].copy_from_slice(from);
            to[from.len()..].fill(0.0);
        }
    }
}

#[expect(clippy::too_many_arguments)]
fn backward_data_block(
    fc: &FcOp,
    kernels: &MicroKernels,
    block: &[f32],
    dy: &[f32],
    outputs: Range<usize>,
    inputs: Range<usize>,
    dx: Shared,
    accumulate: bool,
) {
    let full = kernels.max_width();
    for panel in 0..inputs.len().div_ceil(full) {
        let first = inputs.start + panel * full;
        for (image, rows) in tiles(fc.geometry.n, kernels.max_rows()) {
            let starts: [usize; 32] = std::array::from_fn(|m| (image + m) * (fc.geometry.outputs + ROW_PADDING));
            let ends: [usize; 32] = std::array::from_fn(|m| (image + m) * fc.geometry.inputs);
            let tile = RowTile {
                input: dy[outputs.start..].as_ptr(),
                rows: &starts[..rows],
                runs: &Term::WHOLE,
                run_len: outputs.len(),
                panel: block[panel * full * outputs.len()..].as_ptr(),
                bias: std::ptr::null(),
                output: dx.ptr().wrapping_add(first),
                output_rows: &ends[..rows],
                columns: full.min(inputs.end - first),
                accumulate,
            };
            // SAFETY: `block` holds the panel, `dy` the rows, and no other task writes these inputs' gradients.
            unsafe { kernels.row_tile(&tile) }
        }
    }
}

/// Columns of the outputs' gradient against panels of the inputs, summed over the images. A task's columns are copied together:
/// where they lie, powers of two apart, they compete for few sets of an L1 cache.
pub(super) fn weight_gradient(
    fc: &FcOp,
    kernels: &MicroKernels,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    workspace: &mut [f32],
) {
    let FcGeometry { n, inputs, outputs } = fc.geometry;
    let (full, max_rows) = (kernels.max_width(), kernels.max_rows());
    let mut scratch = Scratch::new(workspace);
    let packed = scratch.take(inputs.div_ceil(full) * full * n);
    let piece = Scratch::need(n * COLUMN_PITCH);
    let columns = Shared::new(scratch.take(fc.threads * piece));
    pack(fc, kernels, x, inputs, n, [inputs, 1], packed);
    let whole_lines = inputs.is_multiple_of(full) && dw.as_ptr().align_offset(64) == 0;
    let write = if whole_lines && size_of_val(dw) > STREAM_BYTES { Write::Stream } else { Write::Store };
    let (packed, dw) = (&*packed, Shared::new(dw));
    // SAFETY: each worker takes the piece of its own number.
    let state = |worker| unsafe { columns.part(worker, piece) };
    share(fc.threads, outputs.div_ceil(max_rows), state, |columns, task| {
        let rows = task * max_rows..outputs.min((task + 1) * max_rows);
        for (to, from) in columns.chunks_exact_mut(COLUMN_PITCH).zip(dy.chunks_exact(outputs)) {
            to[..rows.len()].copy_from_slice(&from[rows.clone()]);
        }
        for first in (0..inputs).step_by(full) {
            let tile = ColumnTile {
                input: columns.as_ptr(),
                steps: &fc.images,
                rows: rows.len(),
                panel: packed[first * n..].as_ptr(),
                output: dw.ptr().wrapping_add(rows.start * inputs + first),
                output_pitch: inputs,
                columns: full.min(inputs - first),
                write,
            };
            // SAFETY: `packed` holds the panel, `columns` the columns; no other task writes these rows. Streamed vectors are
            // whole and aligned, as checked above.
            unsafe { kernels.column_tile(&tile) }
        }
        end_stream();
    });
}
