//! Batch normalisation with the batch's own statistics, per channel over images and positions (M values):
//! y = x̂·weight + bias with x̂ = (x − mean) / √(variance + ε), the biased variance.
//!
//! Backward: dbias = Σ dy, dweight = Σ dy·x̂, and dx = weight/√(variance + ε) · (dy − (dbias + x̂·dweight) / M).
//! (Ioffe and Szegedy 2015, "Batch Normalization".) Sums are taken in f64: M can be millions.

use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::model::kind;

pub struct BatchNormOp {
    eps: f32,
    momentum: f32,
    channels: usize,
    /// The statistics of the last forward pass.
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    /// Moving averages for inference; the variance is the unbiased one, as in PyTorch.
    pub running_mean: Vec<f32>,
    pub running_variance: Vec<f32>,
    /// weight/√(variance + ε).
    scale: Vec<f32>,
    /// Factors of dy, of x − mean and of one in the gradient of the input.
    coefficients: [Vec<f32>; 3],
    /// Two sums per channel and work area.
    scratch: Vec<f64>,
}

impl BatchNormOp {
    /// For a pool of `threads` threads.
    pub fn new(params: &kind::BatchNorm, channels: usize, threads: usize) -> BatchNormOp {
        BatchNormOp {
            eps: params.eps,
            momentum: params.momentum,
            channels,
            mean: vec![0.0; channels],
            inverse_deviation: vec![0.0; channels],
            running_mean: vec![0.0; channels],
            running_variance: vec![1.0; channels],
            scale: vec![0.0; channels],
            coefficients: [(); 3].map(|()| vec![0.0; channels]),
            scratch: vec![0.0; parallel::scratches(threads) * 2 * channels],
        }
    }

    fn normalise(&mut self, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        let (piece, channels) = (self.piece(x.len()), self.channels);
        let areas = &mut self.scratch[..2 * channels * x.len().div_ceil(piece)];
        pieces(areas, 2 * channels, |index, sums| moments(piece_of(x, piece, index), sums));
        self.take_statistics(x.len() / channels, x.len().div_ceil(piece));
        for (scale, (inverse, weight)) in self.scale.iter_mut().zip(self.inverse_deviation.iter().zip(weight)) {
            *scale = inverse * weight;
        }
        let (mean, scale) = (&*self.mean, &*self.scale);
        pieces(y, piece, |index, y| normalise(piece_of(x, piece, index), y, mean, scale, bias));
    }

    fn gradients(&mut self, x: &[f32], dy: &[f32], dweight: &mut [f32], dbias: &mut [f32]) {
        let piece = self.piece(x.len());
        let (mean, inverse, count) = (&*self.mean, &*self.inverse_deviation, x.len().div_ceil(piece));
        let areas = &mut self.scratch[..2 * self.channels * count];
        pieces(areas, 2 * self.channels, |index, sums| {
            let [x, dy] = [x, dy].map(|values| piece_of(values, piece, index));
            gradients(x, dy, mean, inverse, sums);
        });
        for (channel, (dweight, dbias)) in dweight.iter_mut().zip(dbias).enumerate() {
            let [bias, weight] = self.sums(channel, count);
            (*dweight, *dbias) = (weight as f32, bias as f32);
        }
    }

    /// Computes the factors of the gradient of the input; `gradients` are those of weights and biases, over `values` values.
    fn take_gradients(&mut self, weights: &[f32], gradients: [&[f32]; 2], values: f32) {
        let [of_dy, of_x, of_one] = &mut self.coefficients;
        for channel in 0..self.channels {
            let inverse = self.inverse_deviation[channel];
            let scale = weights[channel] * inverse;
            of_dy[channel] = scale;
            of_x[channel] = -scale * inverse * gradients[0][channel] / values;
            of_one[channel] = -scale * gradients[1][channel] / values;
        }
    }

    fn piece(&self, elements: usize) -> usize {
        let areas = self.scratch.len() / (2 * self.channels);
        parallel::rows_with_scratch(elements / self.channels, self.channels, areas) * self.channels
    }

    /// A channel's two sums over all pieces.
    fn sums(&self, channel: usize, pieces: usize) -> [f64; 2] {
        let areas = self.scratch.chunks_exact(2 * self.channels).take(pieces);
        areas.fold([0.0; 2], |[first, second], area| [first + area[channel], second + area[self.channels + channel]])
    }

    /// Mean and variance from the pieces' sums, and the moving averages.
    fn take_statistics(&mut self, values: usize, pieces: usize) {
        let values = values as f64;
        for channel in 0..self.channels {
            let [sum, squares] = self.sums(channel, pieces);
            let mean = sum / values;
            let variance = (squares / values - mean * mean).max(0.0);
            self.mean[channel] = mean as f32;
            self.inverse_deviation[channel] = (variance + f64::from(self.eps)).sqrt().recip() as f32;
            let unbiased = variance * values / (values - 1.0).max(1.0);
            let follow = |running: &mut f32, value: f64| *running += self.momentum * (value as f32 - *running);
            follow(&mut self.running_mean[channel], mean);
            follow(&mut self.running_variance[channel], unbiased);
        }
    }
}

impl Operation for BatchNormOp {
    fn forward(&mut self, operands: Forward) {
        let x = operands.input();
        self.normalise(x, operands.weights, operands.biases, operands.output);
    }

    /// Runs after [`Operation::backward_weights`], whose sums it needs.
    fn backward_data(&mut self, operands: BackwardData) {
        let values = (operands.input.len() / self.channels) as f32;
        let BackwardData { weights, weight_gradient, bias_gradient, .. } = operands;
        self.take_gradients(weights, [weight_gradient, bias_gradient], values);
        let piece = self.piece(operands.input.len());
        let (mean, coefficients) = (&*self.mean, &self.coefficients);
        let BackwardData { input, output_gradient, input_gradient, accumulate, .. } = operands;
        pieces(input_gradient, piece, |index, dx| {
            let [x, dy] = [input, output_gradient].map(|values| piece_of(values, piece, index));
            backward_piece(x, dy, dx, mean, coefficients, accumulate);
        });
    }

    fn backward_weights(&mut self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient, weight_gradient, bias_gradient, .. } = operands;
        self.gradients(input, output_gradient, weight_gradient, bias_gradient);
    }
}

multiversioned! {
    /// Σ x and Σ x² per channel.
    fn moments(x: &[f32], sums: &mut [f64]) {
        sums.fill(0.0);
        let (sum, squares) = sums.split_at_mut(sums.len() / 2);
        for row in x.chunks_exact(sum.len()) {
            for ((&x, sum), squares) in row.iter().zip(&mut *sum).zip(&mut *squares) {
                let x = f64::from(x);
                *sum += x;
                *squares += x * x;
            }
        }
    }

    fn normalise(x: &[f32], y: &mut [f32], mean: &[f32], scale: &[f32], bias: &[f32]) {
        for (y, x) in y.chunks_exact_mut(mean.len()).zip(x.chunks_exact(mean.len())) {
            for ((((y, x), mean), scale), bias) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(bias) {
                *y = (x - mean) * scale + bias;
            }
        }
    }

    /// Σ dy and Σ dy·x̂ per channel.
    fn gradients(x: &[f32], dy: &[f32], mean: &[f32], inverse: &[f32], sums: &mut [f64]) {
        sums.fill(0.0);
        let (bias, weight) = sums.split_at_mut(sums.len() / 2);
        for (x, dy) in x.chunks_exact(mean.len()).zip(dy.chunks_exact(mean.len())) {
            let operands = x.iter().zip(dy).zip(mean).zip(inverse);
            for ((((x, dy), mean), inverse), (bias, weight)) in operands.zip(bias.iter_mut().zip(&mut *weight)) {
                *bias += f64::from(*dy);
                *weight += f64::from(dy * ((x - mean) * inverse));
            }
        }
    }

    fn backward_piece(
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        mean: &[f32],
        coefficients: &[Vec<f32>; 3],
        accumulate: bool,
    ) {
        let channels = mean.len();
        let [of_dy, of_x, of_one] = coefficients.each_ref().map(|of| &of[..channels]);
        let rows = x.chunks_exact(channels).zip(dy.chunks_exact(channels));
        for (dx, (x, dy)) in dx.chunks_exact_mut(channels).zip(rows) {
            for channel in 0..channels {
                let centred = x[channel] - mean[channel];
                let value = of_dy[channel] * dy[channel] + of_x[channel] * centred + of_one[channel];
                put(&mut dx[channel], value, accumulate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    /// Per channel: mean, biased variance, dbias and dweight, in two passes.
    fn statistics(x: &[f32], dy: &[f32], channels: usize, channel: usize, eps: f64) -> [f64; 4] {
        let of = |values: &[f32]| -> Vec<f64> {
            values[channel..].iter().step_by(channels).copied().map(f64::from).collect()
        };
        let (x, dy) = (of(x), of(dy));
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        let dweight = x.iter().zip(&dy).map(|(x, dy)| dy * (x - mean) / (variance + eps).sqrt()).sum();
        [mean, variance, dy.iter().sum(), dweight]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn against_plain_loops(shape in shapes(), centre in -3f32..3.0, seed: u64) {
            let (channels, values) = (shape.c, shape.elements() / shape.c);
            prop_assume!(values > 8);
            let x: Vec<f32> = numbers(seed, shape.elements()).into_iter().map(|x| x + centre).collect();
            let dy = numbers(seed ^ 1, x.len());
            let (weight, bias) = (numbers(seed ^ 2, channels), numbers(seed ^ 3, channels));
            let params = kind::BatchNorm { eps: 1e-2, momentum: 0.25 };
            let eps = f64::from(params.eps);
            let expected: Vec<[f64; 4]> =
                (0..channels).map(|channel| statistics(&x, &dy, channels, channel, eps)).collect();
            let normal = |at: usize| {
                let [mean, variance, ..] = expected[at % channels];
                (f64::from(x[at]) - mean) / (variance + eps).sqrt()
            };
            let of = |values: &[f32], at: usize| f64::from(values[at % channels]);
            let y: Vec<f64> = (0..x.len()).map(|at| normal(at) * of(&weight, at) + of(&bias, at)).collect();
            let dx: Vec<f64> = (0..x.len())
                .map(|at| {
                    let [_, variance, dbias, dweight] = expected[at % channels];
                    let inner = f64::from(dy[at]) - (dbias + normal(at) * dweight) / values as f64;
                    of(&weight, at) / (variance + eps).sqrt() * inner
                })
                .collect();
            for threads in [1, 3] {
                with_threads(threads, || {
                    let mut norm = BatchNormOp::new(&params, channels, threads);
                    let mut output = vec![f32::NAN; x.len()];
                    norm.normalise(&x, &weight, &bias, &mut output);
                    assert_close(&output, &y, 2e-6);
                    let running: Vec<f64> = expected.iter().map(|[mean, ..]| 0.25 * mean).collect();
                    assert_close(&norm.running_mean, &running, 1e-5);
                    let unbiased = values as f64 / (values as f64 - 1.0);
                    let running: Vec<f64> =
                        expected.iter().map(|[_, variance, ..]| 0.75 + 0.25 * variance * unbiased).collect();
                    assert_close(&norm.running_variance, &running, 1e-6);
                    let (mut dweight, mut dbias) = (vec![f32::NAN; channels], vec![f32::NAN; channels]);
                    norm.gradients(&x, &dy, &mut dweight, &mut dbias);
                    assert_close(&dweight, &expected.iter().map(|of| of[3]).collect::<Vec<_>>(), 2e-5);
                    assert_close(&dbias, &expected.iter().map(|of| of[2]).collect::<Vec<_>>(), 2e-6);
                    let before = numbers(9, x.len());
                    for accumulate in [false, true] {
                        let mut gradient = before.clone();
                        norm.backward_data(BackwardData {
                            input: &x,
                            output_gradient: &dy,
                            weights: &weight,
                            weight_gradient: &dweight,
                            bias_gradient: &dbias,
                            input_gradient: &mut gradient,
                            accumulate,
                            ..BackwardData::default()
                        });
                        let base = |at: usize| if accumulate { f64::from(before[at]) } else { 0.0 };
                        let sums: Vec<f64> = dx.iter().enumerate().map(|(at, dx)| dx + base(at)).collect();
                        assert_close(&gradient, &sums, 1e-5);
                    }
                });
            }
        }
    }

    /// Three million values far from zero: their variance must not drown.
    #[test]
    fn sums_do_not_drown() {
        let x: Vec<f32> = numbers(5, 3_000_000).into_iter().map(|x| 1000.0 + x).collect();
        let mut norm = BatchNormOp::new(&kind::BatchNorm { eps: 0.0, momentum: 1.0 }, 1, 2);
        let mut y = vec![0.0; x.len()];
        with_threads(2, || norm.normalise(&x, &[1.0], &[0.0], &mut y));
        let [_, variance, ..] = statistics(&x, &x, 1, 0, 0.0);
        assert!((f64::from(norm.running_variance[0]) / variance - 1.0).abs() < 1e-6);
    }
}
