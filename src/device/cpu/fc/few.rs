//! A fully connected layer for few images: bound by memory, so each weight is read, or its gradient written, once.

use super::Fc;
use crate::device::cpu::microkernel::{AXPY_ROWS, AxpyTile, DotTile, Kernels};
use crate::device::cpu::tasks::{Shared, each, part, share};

/// Weight rows of a forward task: some hundred kilobytes.
const TASK_ROWS: usize = 48;

pub(super) fn forward(fc: &Fc, kernels: &Kernels, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let (inputs, outputs) = (fc.inputs, fc.outputs);
    let y = Shared::new(y);
    share(
        fc.threads,
        outputs.div_ceil(TASK_ROWS),
        |_| (),
        |(), task| {
            let rows = task * TASK_ROWS..outputs.min((task + 1) * TASK_ROWS);
            let at_once = kernels.dot_rows(fc.n);
            for row in rows.clone().step_by(at_once) {
                let count = at_once.min(rows.end - row);
                let tile = DotTile {
                    input: x.as_ptr(),
                    input_pitch: inputs,
                    images: fc.n,
                    weights: w[row * inputs..].as_ptr(),
                    weights_pitch: inputs,
                    rows: count,
                    len: inputs,
                    bias: bias.map(|bias| &bias[row..row + count]),
                    output: y.ptr().wrapping_add(row),
                    output_pitch: outputs,
                };
                // SAFETY: `w` and `x` hold these rows; no other task writes these outputs.
                unsafe { kernels.dot_tile(&tile) }
            }
        },
    );
}

pub(super) fn backward_data(fc: &Fc, kernels: &Kernels, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool) {
    let (inputs, outputs) = (fc.inputs, fc.outputs);
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
                images: fc.n,
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
