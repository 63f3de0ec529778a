//! y = 1 / (1 + e⁻ˣ); the gradient is dy · y · (1 − y).

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::math::exp;
use crate::device::cpu::compute::parallel::piece;
use crate::device::cpu::compute::vector::{multiversioned, put};
use rayon::prelude::*;

pub struct SigmoidOp;

impl Operation for SigmoidOp {
    fn forward(&mut self, operands: Forward) {
        forward(operands.input(), operands.output);
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output, output_gradient, input_gradient, accumulate, .. } = operands;
        backward_data(output, output_gradient, input_gradient, accumulate);
    }
}

fn forward(x: &[f32], y: &mut [f32]) {
    let piece = piece(y.len());
    (y.par_chunks_mut(piece), x.par_chunks(piece)).into_par_iter().for_each(|(y, x)| forward_piece(y, x));
}

/// `dx` (+)= `dy` · y · (1 − y), of the forward output `y`.
fn backward_data(y: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let piece = piece(dx.len());
    (dx.par_chunks_mut(piece), dy.par_chunks(piece), y.par_chunks(piece))
        .into_par_iter()
        .for_each(|(dx, dy, y)| backward_piece(dx, dy, y, accumulate));
}

multiversioned! {
    fn forward_piece(y: &mut [f32], x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = 1.0 / (1.0 + exp(-x));
        }
    }

    fn backward_piece(dx: &mut [f32], dy: &[f32], y: &[f32], accumulate: bool) {
        for ((dx, &dy), &y) in dx.iter_mut().zip(dy).zip(y) {
            put(dx, dy * y * (1.0 - y), accumulate);
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
        fn against_plain_loops(count in 1..40_000usize, seed: u64) {
            let x: Vec<f32> = numbers(seed, count).iter().map(|x| 8.0 * x).collect();
            let dy = numbers(seed ^ 1, count);
            let sigmoid = |x: f32| 1.0 / (1.0 + (-f64::from(x)).exp());
            let y: Vec<f64> = x.iter().copied().map(sigmoid).collect();
            check_output(&y, |y| forward(&x, y));
            let y: Vec<f32> = y.iter().map(|&y| y as f32).collect();
            let slope = |y: f32| f64::from(y) * (1.0 - f64::from(y));
            let dx: Vec<f64> = y.iter().zip(&dy).map(|(&y, &dy)| f64::from(dy) * slope(y)).collect();
            check_gradient(&dx, |dx, accumulate| backward_data(&y, &dy, dx, accumulate));
        }
    }

    #[test]
    fn special_values() {
        let mut y = [1.0; 4];
        forward(&[f32::NAN, 0.0, f32::INFINITY, f32::NEG_INFINITY], &mut y);
        assert!(y[0].is_nan() && y[3] < 1e-37);
        assert_eq!(y[1..3], [0.5, 1.0]);
    }
}
