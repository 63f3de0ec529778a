//! A fully connected layer for few images: each weight is read from memory once, and again from L2 for more images than the
//! registers hold sums of.

use super::FcOp;
use crate::device::cpu::compute::microkernel::{AXPY_ROWS, AxpyTile, DotTile, MicroKernels, tiles};
use crate::device::cpu::compute::tasks::{Scratch, Shared, part, share};
use crate::device::cpu::operations::{BackwardData, Forward};
use crate::plan::FcGeometry;

/// Weight rows of a forward task: some hundred kilobytes.
const TASK_ROWS: usize = 48;

/// Images of a tile: their sums with six weight rows fill the registers of AVX-512.
const TILE_IMAGES: usize = 4;

/// Inputs of a block of backward_data: the gradients of 32 images fit in L2 beside the weights.
const BLOCK_INPUTS: usize = 2304;

/// Images at a multiple of this distance compete for few sets of an L1 cache of 4 KiB per way.
const ALIASING: usize = 1024;

/// From one image to the next, where the kernels read them.
fn input_pitch(geometry: &FcGeometry) -> usize {
    let &FcGeometry { n, inputs, .. } = geometry;
    if n > 1 && inputs.is_multiple_of(ALIASING) { inputs + 16 } else { inputs }
}

/// Scratch of the forward pass, in f32.
pub(super) fn forward_floats(geometry: &FcGeometry) -> usize {
    let pitch = input_pitch(geometry);
    if pitch == geometry.inputs { 0 } else { Scratch::need(geometry.n * pitch) }
}

/// Copies images of `inputs` numbers to a distance of `pitch`.
fn spread<'a>(images: &[f32], inputs: usize, pitch: usize, to: &'a mut [f32]) -> &'a [f32] {
    for (to, from) in to.chunks_exact_mut(pitch).zip(images.chunks_exact(inputs)) {
        to[..inputs].copy_from_slice(from);
    }
    to
}

pub(super) fn forward(fc: &FcOp, kernels: &MicroKernels, operands: Forward) {
    let FcGeometry { n, inputs, outputs } = fc.geometry;
    let input = operands.input();
    let Forward { weights: w, biases, output, workspace, .. } = operands;
    let pitch = input_pitch(&fc.geometry);
    let x = if pitch == inputs { input } else { spread(input, inputs, pitch, Scratch::new(workspace).take(n * pitch)) };
    let y = Shared::new(output);
    share(
        fc.threads,
        outputs.div_ceil(TASK_ROWS),
        |_| (),
        |(), task| {
            let rows = task * TASK_ROWS..outputs.min((task + 1) * TASK_ROWS);
            let at_once = kernels.dot_rows(n.div_ceil(n.div_ceil(TILE_IMAGES)));
            for row in rows.clone().step_by(at_once) {
                let count = at_once.min(rows.end - row);
                for (image, images) in tiles(n, TILE_IMAGES) {
                    let tile = DotTile {
                        input: x[image * pitch..].as_ptr(),
                        input_pitch: pitch,
                        images,
                        weights: w[row * inputs..].as_ptr(),
                        weights_pitch: inputs,
                        rows: count,
                        len: inputs,
                        bias: (!biases.is_empty()).then(|| &biases[row..row + count]),
                        output: y.ptr().wrapping_add(image * outputs + row),
                        output_pitch: outputs,
                    };
                    // SAFETY: `w` and `x` hold these rows; no other task writes these outputs.
                    unsafe { kernels.dot_tile(&tile) }
                }
            }
        },
    );
}

pub(super) fn backward_data(fc: &FcOp, kernels: &MicroKernels, operands: BackwardData) {
    let FcGeometry { n, inputs, outputs } = fc.geometry;
    let BackwardData { output_gradient: dy, weights: w, input_gradient: dx, accumulate, .. } = operands;
    if !accumulate {
        dx.fill(0.0);
    }
    let dx = Shared::new(dx);
    // Each task has some of the inputs, in whole cache lines, and walks down all weight rows.
    let blocks = inputs.div_ceil(if n > kernels.max_images() { BLOCK_INPUTS } else { inputs }).max(fc.threads);
    let lines = inputs.div_ceil(16);
    share(
        fc.threads,
        blocks,
        |_| (),
        |(), block| {
            let lines = part(lines, block, blocks);
            let columns = lines.start * 16..inputs.min(lines.end * 16);
            for row in (0..outputs).step_by(AXPY_ROWS) {
                for (image, images) in tiles(n, kernels.max_images()) {
                    let tile = AxpyTile {
                        factors: dy[image * outputs + row..].as_ptr(),
                        factors_pitch: outputs,
                        images,
                        weights: w[row * inputs + columns.start..].as_ptr(),
                        weights_pitch: inputs,
                        rows: AXPY_ROWS.min(outputs - row),
                        len: columns.len(),
                        output: dx.ptr().wrapping_add(image * inputs + columns.start),
                        output_pitch: inputs,
                    };
                    // SAFETY: `w` and `dy` hold these rows; no other task writes these inputs' gradients.
                    unsafe { kernels.axpy_tile(&tile) }
                }
            }
        },
    );
}
