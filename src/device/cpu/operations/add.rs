//! The sum of two or more inputs; the gradient goes to each of them as it is.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel::piece;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};

/// Elements summed at once: they stay in the first-level cache while the inputs come in turn.
const TILE: usize = 2048;

pub struct AddOp;

impl Operation for AddOp {
    fn forward(&mut self, operands: Forward) {
        forward(operands.inputs, operands.output);
    }

    fn backward_data(&mut self, operands: BackwardData) {
        backward_data(operands.output_gradient, operands.input_gradient, operands.accumulate);
    }
}

fn forward(inputs: &[&[f32]], y: &mut [f32]) {
    let piece = piece(y.len());
    pieces(y, piece, |index, y| sum(inputs, index * piece, y));
}

/// For each input whose gradient is wanted.
pub fn backward_data(dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let piece = piece(dx.len());
    pieces(dx, piece, |index, dx| pass_on(dx, piece_of(dy, piece, index), accumulate));
}

multiversioned! {
    fn sum(inputs: &[&[f32]], start: usize, y: &mut [f32]) {
        for (tile, y) in y.chunks_mut(TILE).enumerate() {
            let start = start + tile * TILE;
            for (index, input) in inputs.iter().enumerate() {
                for (y, &x) in y.iter_mut().zip(&input[start..]) {
                    put(y, x, index > 0);
                }
            }
        }
    }

    fn pass_on(dx: &mut [f32], dy: &[f32], accumulate: bool) {
        for (dx, &dy) in dx.iter_mut().zip(dy) {
            put(dx, dy, accumulate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn against_plain_loops(inputs in 1..5usize, count in 1..40_000usize, seed: u64) {
            let inputs: Vec<Vec<f32>> = (0..inputs as u64).map(|input| numbers(seed ^ input, count)).collect();
            let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
            let sum: Vec<f64> = (0..count).map(|at| inputs.iter().map(|input| f64::from(input[at])).sum()).collect();
            check_output(&sum, |y| forward(&slices, y));
            let dx: Vec<f64> = inputs[0].iter().copied().map(f64::from).collect();
            check_gradient(&dx, |dx, accumulate| backward_data(&inputs[0], dx, accumulate));
        }
    }
}
