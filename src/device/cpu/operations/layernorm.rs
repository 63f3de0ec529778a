//! Normalisation of every pixel over its channels: y = x̂·weight + bias with x̂ = (x − mean) / √(variance + ε), the biased variance.
//!
//! Backward, with g = weight · dy: dx = (g − mean(g) − x̂ · mean(g · x̂)) / √(variance + ε), the means over the pixel's channels;
//! dweight = Σ dy·x̂, dbias = Σ dy over pixels, in f64.

use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces, pieces_of_two};
use crate::device::cpu::compute::vector::{multiversioned, put};

pub struct LayerNormOp {
    eps: f32,
    channels: usize,
    /// Mean and inverse deviation of each pixel in the last forward pass.
    statistics: Vec<[f32; 2]>,
    /// Pixels of a segment, whose sums are taken apart.
    segment: usize,
    /// Two sums per channel and segment.
    scratch: Vec<f64>,
}

impl LayerNormOp {
    /// For so many pixels of all images.
    pub fn new(eps: f32, channels: usize, pixels: usize) -> LayerNormOp {
        let segment = parallel::segment_rows(pixels, channels);
        let scratch = vec![0.0; pixels.div_ceil(segment) * 2 * channels];
        LayerNormOp { eps, channels, statistics: vec![[0.0; 2]; pixels], segment, scratch }
    }

    /// Pixels of a piece.
    fn rows(&self) -> usize {
        parallel::rows(self.statistics.len(), self.channels)
    }
}

impl Operation for LayerNormOp {
    fn forward(&mut self, operands: Forward) {
        let (x, rows, eps) = (operands.input(), self.rows(), self.eps);
        let piece = rows * self.channels;
        let Forward { weights, biases, output, .. } = operands;
        pieces_of_two((output, piece), (&mut self.statistics, rows), |index, y, statistics| {
            normalise(piece_of(x, piece, index), y, statistics, [weights, biases], eps);
        });
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let rows = self.rows();
        let piece = rows * self.channels;
        let BackwardData { input, output_gradient, weights, input_gradient, accumulate, .. } = operands;
        pieces(input_gradient, piece, |index, dx| {
            let [x, dy] = [input, output_gradient].map(|values| piece_of(values, piece, index));
            backward_piece([x, dy, weights], dx, piece_of(&self.statistics, rows, index), accumulate);
        });
    }

    fn backward_weights(&mut self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient, weight_gradient, bias_gradient, .. } = operands;
        let (segment, channels) = (self.segment, self.channels);
        pieces(&mut self.scratch, 2 * channels, |index, sums| {
            let [x, dy] = [input, output_gradient].map(|values| piece_of(values, segment * channels, index));
            gradients(x, dy, piece_of(&self.statistics, segment, index), sums);
        });
        let sum = |at: usize| self.scratch.chunks_exact(2 * channels).map(|area| area[at]).sum::<f64>();
        weight_gradient.iter_mut().enumerate().for_each(|(channel, dw)| *dw = sum(channel) as f32);
        bias_gradient.iter_mut().enumerate().for_each(|(channel, db)| *db = sum(channels + channel) as f32);
    }
}

/// Partial sums side by side, so that they can be one vector.
const LANES: usize = 16;

/// Σ of `value(index)`.
#[inline(always)]
fn sum(count: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let whole = count / LANES * LANES;
    for first in (0..whole).step_by(LANES) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += value(first + lane);
        }
    }
    for index in whole..count {
        sums[index - whole] += value(index);
    }
    sums.iter().sum()
}

multiversioned! {
    fn normalise(x: &[f32], y: &mut [f32], statistics: &mut [[f32; 2]], parameters: [&[f32]; 2], eps: f32) {
        let channels = parameters[0].len();
        let [weights, biases] = parameters.map(|of| &of[..channels]);
        let rows = x.chunks_exact(channels).zip(y.chunks_exact_mut(channels));
        for (statistics, (x, y)) in statistics.iter_mut().zip(rows) {
            let mean = sum(channels, |c| x[c]) / channels as f32;
            let variance = sum(channels, |c| (x[c] - mean) * (x[c] - mean)) / channels as f32;
            let inverse = 1.0 / (variance + eps).sqrt();
            *statistics = [mean, inverse];
            for c in 0..channels {
                y[c] = (x[c] - mean) * inverse * weights[c] + biases[c];
            }
        }
    }

    fn backward_piece(operands: [&[f32]; 3], dx: &mut [f32], statistics: &[[f32; 2]], accumulate: bool) {
        let [x, dy, weights] = operands;
        let channels = weights.len();
        let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels)).zip(dx.chunks_exact_mut(channels));
        for (&[mean, inverse], ((x, dy), dx)) in statistics.iter().zip(rows) {
            let gradient = sum(channels, |c| weights[c] * dy[c]) / channels as f32;
            let product = sum(channels, |c| weights[c] * dy[c] * ((x[c] - mean) * inverse)) / channels as f32;
            for c in 0..channels {
                let normal = (x[c] - mean) * inverse;
                put(&mut dx[c], (weights[c] * dy[c] - gradient - normal * product) * inverse, accumulate);
            }
        }
    }

    /// Σ dy·x̂ and Σ dy per channel.
    fn gradients(x: &[f32], dy: &[f32], statistics: &[[f32; 2]], sums: &mut [f64]) {
        sums.fill(0.0);
        let channels = sums.len() / 2;
        let (weights, biases) = sums.split_at_mut(channels);
        let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
        for (&[mean, inverse], (x, dy)) in statistics.iter().zip(rows) {
            for ((x, dy), (weight, bias)) in x.iter().zip(dy).zip(weights.iter_mut().zip(&mut *biases)) {
                *weight += f64::from(dy * ((x - mean) * inverse));
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn against_plain_loops(shape in shapes(), centre in -3f32..3.0, seed: u64) {
            prop_assume!(shape.c > 2);
            let (channels, count, eps) = (shape.c, shape.elements(), 1e-2f32);
            let x: Vec<f32> = numbers(seed, count).into_iter().map(|x| x + centre).collect();
            let (dy, weight, bias) = (numbers(seed ^ 1, count), numbers(seed ^ 2, channels), numbers(seed ^ 3, channels));
            let (mut y, mut dx) = (Vec::new(), Vec::new());
            let (mut dw, mut db) = (vec![0.0; channels], vec![0.0; channels]);
            let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&value| f64::from(value)).collect() };
            let (w, b) = (wide(&weight), wide(&bias));
            for (x, dy) in x.chunks(channels).zip(dy.chunks(channels)) {
                let (x, dy) = (wide(x), wide(dy));
                let mean = |value: &dyn Fn(usize) -> f64| (0..channels).map(value).sum::<f64>() / channels as f64;
                let centre = mean(&|c| x[c]);
                let deviation = (mean(&|c| (x[c] - centre).powi(2)) + f64::from(eps)).sqrt();
                let normal: Vec<f64> = x.iter().map(|x| (x - centre) / deviation).collect();
                let [g, p] = [mean(&|c| w[c] * dy[c]), mean(&|c| w[c] * dy[c] * normal[c])];
                for c in 0..channels {
                    y.push(normal[c] * w[c] + b[c]);
                    dx.push((w[c] * dy[c] - g - normal[c] * p) / deviation);
                    dw[c] += dy[c] * normal[c];
                    db[c] += dy[c];
                }
            }
            let mut op = LayerNormOp::new(eps, channels, count / channels);
            let mut output = vec![f32::NAN; count];
            with_threads(3, || op.forward(Forward {
                inputs: &[&x], weights: &weight, biases: &bias, output: &mut output, ..Forward::default()
            }));
            assert_close(&output, &y, 2e-6);
            let (mut weights, mut biases) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
            with_threads(3, || op.backward_weights(BackwardWeights {
                input: &x, output_gradient: &dy, weight_gradient: &mut weights, bias_gradient: &mut biases,
                ..BackwardWeights::default()
            }));
            assert_close(&weights, &dw, 1e-5);
            assert_close(&biases, &db, 2e-6);
            let before = numbers(9, count);
            for accumulate in [false, true] {
                let mut gradient = before.clone();
                with_threads(3, || op.backward_data(BackwardData {
                    input: &x, output_gradient: &dy, weights: &weight, input_gradient: &mut gradient, accumulate,
                    ..BackwardData::default()
                }));
                let base = |at: usize| if accumulate { f64::from(before[at]) } else { 0.0 };
                assert_close(&gradient, &(0..count).map(|at| dx[at] + base(at)).collect::<Vec<_>>(), 5e-6);
            }
        }
    }
}
