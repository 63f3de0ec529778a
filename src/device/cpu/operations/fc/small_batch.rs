//! A fully connected layer for few images: bound by memory, so each weight is read, or its gradient written, once.

use super::FcOp;
use crate::device::cpu::compute::microkernel::{AXPY_ROWS, AxpyTile, DotTile, MicroKernels};
use crate::device::cpu::compute::tasks::{Shared, each, part, share};
use crate::device::cpu::operations::{BackwardData, Forward};
use crate::plan::FcGeometry;

/// Weight rows of a forward task: some hundred kilobytes.
const TASK_ROWS: usize = 48;

pub(super) fn forward(fc: &FcOp, kernels: &MicroKernels, operands: Forward) {
    let FcGeometry { n, inputs, outputs } = fc.geometry;
    let x = operands.input();
    let Forward { weights: w, biases, output, .. } = operands;
    let y = Shared::new(output);
    share(
        fc.threads,
        outputs.div_ceil(TASK_ROWS),
        |_| (),
        |(), task| {
            let rows = task * TASK_ROWS..outputs.min((task + 1) * TASK_ROWS);
            let at_once = kernels.dot_rows(n);
            for row in rows.clone().step_by(at_once) {
                let count = at_once.min(rows.end - row);
                let tile = DotTile {
                    input: x.as_ptr(),
                    input_pitch: inputs,
                    images: n,
                    weights: w[row * inputs..].as_ptr(),
                    weights_pitch: inputs,
                    rows: count,
                    len: inputs,
                    bias: (!biases.is_empty()).then(|| &biases[row..row + count]),
                    output: y.ptr().wrapping_add(row),
                    output_pitch: outputs,
                };
                // SAFETY: `w` and `x` hold these rows; no other task writes these outputs.
                unsafe { kernels.dot_tile(&tile) }
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
    // Each thread owns some of the inputs, in whole cache lines, and walks down all weight rows.
    let lines = inputs.div_ceil(16);
    each(fc.threads, |worker| {
        let lines = part(lines, worker, fc.threads);
        let columns = lines.start * 16..inputs.min(lines.end * 16);
        for row in (0..outputs).step_by(AXPY_ROWS) {
            let tile = AxpyTile {
                factors: dy[row..].as_ptr(),
                factors_pitch: outputs,
                images: n,
                weights: w[row * inputs + columns.start..].as_ptr(),
                weights_pitch: inputs,
                rows: AXPY_ROWS.min(outputs - row),
                len: columns.len(),
                output: dx.ptr().wrapping_add(columns.start),
                output_pitch: inputs,
            };
            // SAFETY: `w` and `dy` hold these rows; no other worker writes these inputs' gradients.
            unsafe { kernels.axpy_tile(&tile) }
        }
    });
}
