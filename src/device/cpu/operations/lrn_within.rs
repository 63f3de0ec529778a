//! Local response normalisation within each channel: y = x · s^−β with s = k + α/n² · Σ x² over the n × n pixels around each that exist.
//!
//! Its gradient is dx_i = dy_i · s_i^−β − 2αβ/n² · x_i · Σ dy_j · x_j · s_j^(−β−1), over the pixels j whose window holds i. The sums go
//! row by row of channels, which are the vector's lanes.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::math;
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces, pieces_of_two};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::model::kind;
use crate::plan::Shape;
use std::ops::Range;

pub struct LrnWithinOp {
    shape: Shape,
    size: usize,
    k: f32,
    /// α/n².
    share: f32,
    beta: f32,
    /// s of each element in the last forward pass.
    scales: Vec<f32>,
    /// dy · x · s^(−β−1) of each element.
    terms: Vec<f32>,
    /// A row of sums for each piece.
    sums: Vec<f32>,
}

impl LrnWithinOp {
    /// For a pool of `threads` threads.
    pub fn new(lrn: &kind::Lrn, shape: Shape, threads: usize) -> LrnWithinOp {
        let &kind::Lrn { size, alpha, beta, k, .. } = lrn;
        let share = alpha / (size * size) as f32;
        let [scales, terms] = [(); 2].map(|()| vec![0.0; shape.elements()]);
        let sums = vec![0.0; parallel::scratches(threads) * shape.w * shape.c];
        LrnWithinOp { shape, size, k, share, beta, scales, terms, sums }
    }

    /// Elements of an image's row, and rows of a piece.
    fn rows(&self) -> (usize, usize) {
        let row = self.shape.w * self.shape.c;
        (row, parallel::rows(self.shape.n * self.shape.h, row))
    }

    /// Positions around one that exist.
    fn around(&self, at: usize, side: usize) -> Range<usize> {
        at.saturating_sub(self.size / 2)..(at + self.size / 2 + 1).min(side)
    }
}

impl Operation for LrnWithinOp {
    fn forward(&mut self, operands: Forward) {
        let (x, (row, rows)) = (operands.input(), self.rows());
        let mut scales = std::mem::take(&mut self.scales);
        pieces_of_two((&mut scales, rows * row), (operands.output, rows * row), |piece, scales, y| {
            let lines = scales.chunks_exact_mut(row).zip(y.chunks_exact_mut(row));
            for (line, (scales, y)) in (piece * rows..).zip(lines) {
                sum_line(self, line, x, true, scales);
                let x = &x[line * row..][..row];
                normalise(x, y, scales, [self.k, self.share, self.beta]);
            }
        });
        self.scales = scales;
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { input: x, output_gradient: dy, input_gradient: dx, accumulate, .. } = operands;
        let (row, rows) = self.rows();
        let (piece, beta) = (rows * row, self.beta);
        pieces(&mut self.terms, piece, |index, terms| {
            take_terms(terms, [x, dy, &self.scales].map(|values| piece_of(values, piece, index)), beta);
        });
        let mut sums = std::mem::take(&mut self.sums);
        pieces_of_two((dx, piece), (&mut sums, row), |index, dx, sums| {
            for (line, dx) in (index * rows..).zip(dx.chunks_exact_mut(row)) {
                sum_line(self, line, &self.terms, false, sums);
                let of = |values| -> &[f32] { &(values as &[f32])[line * row..][..row] };
                let factor = 2.0 * beta * self.share;
                gradient_line(dx, [of(x), of(dy), of(&self.scales), sums], [factor, beta], accumulate);
            }
        });
        self.sums = sums;
    }
}

multiversioned! {
    /// Sums of the windows of one row's elements, or of their squares.
    fn sum_line(op: &LrnWithinOp, line: usize, values: &[f32], squares: bool, sums: &mut [f32]) {
        let Shape { h, w, c, .. } = op.shape;
        let (image, row) = (line / h, line % h);
        sums.fill(0.0);
        for (column, sums) in sums.chunks_exact_mut(c).enumerate() {
            for row in op.around(row, h) {
                for column in op.around(column, w) {
                    let values = &values[((image * h + row) * w + column) * c..][..c];
                    for (sum, &value) in sums.iter_mut().zip(values) {
                        *sum += if squares { value * value } else { value };
                    }
                }
            }
        }
    }

    /// The sums become scales.
    fn normalise(x: &[f32], y: &mut [f32], scales: &mut [f32], [k, share, beta]: [f32; 3]) {
        for ((y, x), scale) in y.iter_mut().zip(x).zip(scales) {
            *scale = k + share * *scale;
            *y = x * math::exp(-beta * math::ln(*scale));
        }
    }

    fn take_terms(terms: &mut [f32], [x, dy, scales]: [&[f32]; 3], beta: f32) {
        for (((term, x), dy), scale) in terms.iter_mut().zip(x).zip(dy).zip(scales) {
            *term = dy * x * math::exp(-beta * math::ln(*scale)) / scale;
        }
    }

    fn gradient_line(dx: &mut [f32], [x, dy, scales, sums]: [&[f32]; 4], [factor, beta]: [f32; 2], accumulate: bool) {
        for ((((dx, x), dy), scale), sum) in dx.iter_mut().zip(x).zip(dy).zip(scales).zip(sums) {
            put(dx, dy * math::exp(-beta * math::ln(*scale)) - factor * x * sum, accumulate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn against_plain_loops(shape in shapes(), half in 0..4usize, seed: u64) {
            prop_assume!(shape.elements() < 40_000);
            let lrn = kind::Lrn { size: 2 * half + 1, alpha: 3.0, beta: 0.75, k: 1.5, within_channel: true };
            let (x, dy) = (numbers(seed, shape.elements()), numbers(seed ^ 1, shape.elements()));
            let near = |a: usize, b: usize| a.abs_diff(b) <= half;
            let neighbours = |at: usize| {
                let place = |at: usize| [at / shape.c / shape.w / shape.h, at / shape.c / shape.w % shape.h, at / shape.c % shape.w];
                let [n, h, w] = place(at);
                let around = (0..shape.h * shape.w).map(move |pixel| (n * shape.h * shape.w + pixel) * shape.c + at % shape.c);
                around.filter(move |&other| near(place(other)[1], h) && near(place(other)[2], w)).collect::<Vec<_>>()
            };
            let square = |at: usize| f64::from(x[at]).powi(2);
            let share = 3.0 / (lrn.size * lrn.size) as f64;
            let scales: Vec<f64> =
                (0..x.len()).map(|at| 1.5 + share * neighbours(at).into_iter().map(square).sum::<f64>()).collect();
            let power = |at: usize| scales[at].powf(-0.75);
            let y: Vec<f64> = (0..x.len()).map(|at| f64::from(x[at]) * power(at)).collect();
            let term = |at: usize| f64::from(dy[at]) * f64::from(x[at]) * power(at) / scales[at];
            let gradient = |at: usize| {
                let sum: f64 = neighbours(at).into_iter().map(term).sum();
                f64::from(dy[at]) * power(at) - 2.0 * share * 0.75 * f64::from(x[at]) * sum
            };
            let dx: Vec<f64> = (0..x.len()).map(gradient).collect();
            let mut op = LrnWithinOp::new(&lrn, shape, 3);
            let mut output = vec![f32::NAN; y.len()];
            with_threads(3, || op.forward(Forward { inputs: &[&x], output: &mut output, ..Forward::default() }));
            assert_close(&output, &y, 2e-6);
            for accumulate in [false, true] {
                let mut gradient = numbers(9, dx.len());
                let base = gradient.clone();
                with_threads(3, || op.backward_data(BackwardData {
                    input: &x, output_gradient: &dy, input_gradient: &mut gradient, accumulate, ..BackwardData::default()
                }));
                let sum = |at: usize| dx[at] + if accumulate { f64::from(base[at]) } else { 0.0 };
                assert_close(&gradient, &(0..dx.len()).map(sum).collect::<Vec<_>>(), 3e-6);
            }
        }
    }
}
