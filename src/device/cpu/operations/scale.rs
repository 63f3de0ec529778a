//! A factor for each channel, and an addend where there is one: y = w · x + b; dx = w · dy, dw = Σ dy · x, db = Σ dy. Sums are
//! taken in f64: a channel has up to millions of pixels.

use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};

pub struct ScaleOp {
    channels: usize,
    /// Pixels of a segment, whose sums are taken apart.
    segment: usize,
    /// Two sums per channel and segment.
    scratch: Vec<f64>,
}

impl ScaleOp {
    /// For so many pixels of all images.
    pub fn new(channels: usize, pixels: usize) -> ScaleOp {
        let segment = parallel::segment_rows(pixels, channels);
        ScaleOp { channels, segment, scratch: vec![0.0; pixels.div_ceil(segment) * 2 * channels] }
    }

    fn piece(&self, elements: usize) -> usize {
        parallel::rows(elements / self.channels, self.channels) * self.channels
    }
}

impl Operation for ScaleOp {
    fn forward(&mut self, operands: Forward) {
        let (x, piece) = (operands.input(), self.piece(operands.output.len()));
        let Forward { weights, biases, output, .. } = operands;
        pieces(output, piece, |index, y| scale(piece_of(x, piece, index), y, weights, biases));
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output_gradient, weights, input_gradient, accumulate, .. } = operands;
        let piece = self.piece(output_gradient.len());
        pieces(input_gradient, piece, |index, dx| {
            scale_gradient(dx, piece_of(output_gradient, piece, index), weights, accumulate);
        });
    }

    fn backward_weights(&mut self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient, weight_gradient, bias_gradient, .. } = operands;
        let (segment, channels) = (self.segment * self.channels, self.channels);
        pieces(&mut self.scratch, 2 * channels, |index, sums| {
            let [x, dy] = [input, output_gradient].map(|values| piece_of(values, segment, index));
            gradients(x, dy, sums);
        });
        let sum = |at: usize| self.scratch.chunks_exact(2 * channels).map(|area| area[at]).sum::<f64>();
        weight_gradient.iter_mut().enumerate().for_each(|(channel, dw)| *dw = sum(channel) as f32);
        bias_gradient.iter_mut().enumerate().for_each(|(channel, db)| *db = sum(channels + channel) as f32);
    }
}

multiversioned! {
    fn scale(x: &[f32], y: &mut [f32], weights: &[f32], biases: &[f32]) {
        for (y, x) in y.chunks_exact_mut(weights.len()).zip(x.chunks_exact(weights.len())) {
            for ((y, x), weight) in y.iter_mut().zip(x).zip(weights) {
                *y = x * weight;
            }
            for (y, bias) in y.iter_mut().zip(biases) {
                *y += bias;
            }
        }
    }

    fn scale_gradient(dx: &mut [f32], dy: &[f32], weights: &[f32], accumulate: bool) {
        for (dx, dy) in dx.chunks_exact_mut(weights.len()).zip(dy.chunks_exact(weights.len())) {
            for ((dx, dy), weight) in dx.iter_mut().zip(dy).zip(weights) {
                put(dx, dy * weight, accumulate);
            }
        }
    }

    /// Σ dy·x and Σ dy per channel.
    fn gradients(x: &[f32], dy: &[f32], sums: &mut [f64]) {
        sums.fill(0.0);
        let (weights, biases) = sums.split_at_mut(sums.len() / 2);
        for (x, dy) in x.chunks_exact(weights.len()).zip(dy.chunks_exact(weights.len())) {
            for ((x, dy), (weight, bias)) in x.iter().zip(dy).zip(weights.iter_mut().zip(&mut *biases)) {
                *weight += f64::from(*dy) * f64::from(*x);
                *bias += f64::from(*dy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    /// (1 + ε)² − (1 + 2ε) = ε², which a product rounded to f32 loses.
    #[test]
    fn products_are_exact() {
        let ulp = 2f32.powi(-12);
        let (x, dy, mut dw) = ([1.0 + ulp, 1.0], [1.0 + ulp, -1.0 - 2.0 * ulp], [f32::NAN]);
        with_threads(1, || {
            ScaleOp::new(1, 2).backward_weights(BackwardWeights {
                input: &x,
                output_gradient: &dy,
                weight_gradient: &mut dw,
                ..BackwardWeights::default()
            })
        });
        assert_eq!(dw, [ulp * ulp]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn against_plain_loops(shape in shapes(), has_bias: bool, seed: u64) {
            let (channels, count) = (shape.c, shape.elements());
            let [x, dy, weight] = [count, count, channels].map(|count| numbers(seed ^ count as u64, count));
            let bias = numbers(seed ^ 9, if has_bias { channels } else { 0 });
            let of = |values: &[f32], at: usize| values.get(at % channels).map_or(0.0, |&value| f64::from(value));
            let y: Vec<f64> = (0..count).map(|at| f64::from(x[at]) * of(&weight, at) + of(&bias, at)).collect();
            check_output(&y, |y| {
                let forward = Forward { inputs: &[&x], weights: &weight, biases: &bias, output: y, ..Forward::default() };
                ScaleOp::new(channels, x.len() / channels).forward(forward);
            });
            let dx: Vec<f64> = (0..count).map(|at| f64::from(dy[at]) * of(&weight, at)).collect();
            check_gradient(&dx, |dx, accumulate| {
                ScaleOp::new(channels, x.len() / channels).backward_data(BackwardData {
                    output_gradient: &dy, weights: &weight, input_gradient: dx, accumulate, ..BackwardData::default()
                });
            });
            let (mut dw, mut db) = (vec![0.0; channels], vec![0.0; channels]);
            for at in 0..count {
                dw[at % channels] += f64::from(dy[at]) * f64::from(x[at]);
                db[at % channels] += f64::from(dy[at]);
            }
            let (mut weights, mut biases) = (vec![f32::NAN; channels], vec![f32::NAN; bias.len()]);
            with_threads(3, || ScaleOp::new(channels, x.len() / channels).backward_weights(BackwardWeights {
                input: &x, output_gradient: &dy, weight_gradient: &mut weights, bias_gradient: &mut biases,
                ..BackwardWeights::default()
            }));
            assert_close(&weights, &dw, 2e-6);
            assert_close(&biases, &db[..bias.len()], 2e-6);
        }
    }
}
