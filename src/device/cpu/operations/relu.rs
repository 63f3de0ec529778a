//! y = max(x, 0); the gradient passes where y > 0.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel::piece;
use crate::device::cpu::compute::vector::{multiversioned, put};
use rayon::prelude::*;

pub struct ReluOp;

impl Operation for ReluOp {
    fn forward(&mut self, operands: Forward) {
        forward(operands.input(), operands.output);
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output, output_gradient, input_gradient, accumulate, .. } = operands;
        backward_data(output, output_gradient, input_gradient, accumulate);
    }
}

/// NaN stays NaN, as in PyTorch.
fn forward(x: &[f32], y: &mut [f32]) {
    let piece = piece(y.len());
    (y.par_chunks_mut(piece), x.par_chunks(piece)).into_par_iter().for_each(|(y, x)| forward_piece(y, x));
}

/// `dx` (+)= `dy` where the forward output `y` is positive, 0 elsewhere.
fn backward_data(y: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let piece = piece(dx.len());
    (dx.par_chunks_mut(piece), dy.par_chunks(piece), y.par_chunks(piece))
        .into_par_iter()
        .for_each(|(dx, dy, y)| backward_piece(dx, dy, y, accumulate));
}

multiversioned! {
    fn forward_piece(y: &mut [f32], x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if x < 0.0 { 0.0 } else { x };
        }
    }

    fn backward_piece(dx: &mut [f32], dy: &[f32], y: &[f32], accumulate: bool) {
        for ((dx, &dy), &y) in dx.iter_mut().zip(dy).zip(y) {
            put(dx, if y > 0.0 { dy } else { 0.0 }, accumulate);
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
            let (x, dy) = (numbers(seed, count), numbers(seed ^ 1, count));
            let y: Vec<f64> = x.iter().map(|&x| f64::from(x.max(0.0))).collect();
            check_output(&y, |y| forward(&x, y));
            let y: Vec<f32> = x.iter().map(|x| x.max(0.0)).collect();
            let dx: Vec<f64> = x.iter().zip(&dy).map(|(x, dy)| if *x > 0.0 { f64::from(*dy) } else { 0.0 }).collect();
            check_gradient(&dx, |dx, accumulate| backward_data(&y, &dy, dx, accumulate));
        }
    }

    #[test]
    fn special_values() {
        let mut y = [1.0; 3];
        forward(&[f32::NAN, -0.5, f32::INFINITY], &mut y);
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [0.0, f32::INFINITY]);
        let mut dx = [f32::NAN; 2];
        backward_data(&[0.0, 1.0], &[3.0, 4.0], &mut dx, false);
        assert_eq!(dx, [0.0, 4.0]);
    }
}
