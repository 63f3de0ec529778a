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
    /// Pixels that are handled as one row, so that rows of few channels fill vectors.
    together: usize,
    /// The statistics of the last forward pass; they and what follows from them are repeated for each pixel of a row.
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    /// Moving averages for inference, of each channel; the variance is the unbiased one, as in PyTorch.
    pub running_mean: Vec<f32>,
    pub running_variance: Vec<f32>,
    /// weight/√(variance + ε).
    scale: Vec<f32>,
    bias: Vec<f32>,
    /// Factors of dy, of x − mean and of one in the gradient of the input.
    coefficients: [Vec<f32>; 3],
    /// Rows of a segment, whose sums are taken apart.
    segment: usize,
    /// Two sums per column and segment.
    scratch: Vec<f64>,
}

/// Columns of a row at least, so that sums in memory do not wait for one another, in whole vectors; and the most pixels of a row.
const COLUMNS: usize = 128;
const VECTORS: usize = 32;
const MOST_TOGETHER: usize = 8;

impl BatchNormOp {
    /// For `elements` numbers.
    pub fn new(params: &kind::BatchNorm, channels: usize, elements: usize) -> BatchNormOp {
        let enough = |&together: &usize| {
            let width = together * channels;
            width >= COLUMNS && width.is_multiple_of(VECTORS) || width > 2 * COLUMNS
        };
        let together = (1..MOST_TOGETHER).find(enough).unwrap_or(MOST_TOGETHER);
        let width = together * channels;
        let rows = elements / width;
        let segment = parallel::segment_rows(rows, width);
        BatchNormOp {
            eps: params.eps,
            momentum: params.momentum,
            channels,
            together,
            mean: vec![0.0; width],
            inverse_deviation: vec![0.0; width],
            running_mean: vec![0.0; channels],
            running_variance: vec![1.0; channels],
            scale: vec![0.0; width],
            bias: vec![0.0; width],
            coefficients: [(); 3].map(|()| vec![0.0; width]),
            segment,
            scratch: vec![0.0; rows.div_ceil(segment).max(1) * 2 * width],
        }
    }

    fn width(&self) -> usize {
        self.together * self.channels
    }

    /// Elements of a piece where no sums are taken.
    fn piece(&self, elements: usize) -> usize {
        parallel::rows(elements.div_ceil(self.width()), self.width()) * self.width()
    }

    fn normalise(&mut self, x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
        let (width, segment) = (self.width(), self.segment * self.width());
        pieces(&mut self.scratch, 2 * width, |index, sums| moments(segment_of(x, segment, width, index), sums));
        self.take_statistics(x);
        for at in 0..width {
            let channel = at % self.channels;
            (self.scale[at], self.bias[at]) = (self.inverse_deviation[at] * weight[channel], bias[channel]);
        }
        let (piece, mean, scale, bias) = (self.piece(y.len()), &*self.mean, &*self.scale, &*self.bias);
        pieces(y, piece, |index, y| normalise(piece_of(x, piece, index), y, mean, scale, bias));
    }

    fn gradients(&mut self, x: &[f32], dy: &[f32], dweight: &mut [f32], dbias: &mut [f32]) {
        let (width, segment, mean) = (self.width(), self.segment * self.width(), &*self.mean);
        pieces(&mut self.scratch, 2 * width, |index, sums| {
            let [x, dy] = [x, dy].map(|values| segment_of(values, segment, width, index));
            gradients(x, dy, mean, sums);
        });
        let (rest_x, rest_dy) = (x.chunks_exact(width).remainder(), dy.chunks_exact(width).remainder());
        for channel in 0..self.channels {
            let [mut bias, mut weight] = self.sums(channel);
            for (x, dy) in self.of(rest_x, channel).zip(self.of(rest_dy, channel)) {
                bias += f64::from(dy);
                weight += f64::from(dy * (x - self.mean[channel]));
            }
            let inverse = f64::from(self.inverse_deviation[channel]);
            (dweight[channel], dbias[channel]) = ((weight * inverse) as f32, bias as f32);
        }
    }

    /// Computes the factors of the gradient of the input; `gradients` are those of weights and biases, over `values` values.
    fn take_gradients(&mut self, weights: &[f32], gradients: [&[f32]; 2], values: f32) {
        let [of_dy, of_x, of_one] = &mut self.coefficients;
        for (at, &inverse) in self.inverse_deviation.iter().enumerate() {
            let channel = at % self.channels;
            let scale = weights[channel] * inverse;
            of_dy[at] = scale;
            of_x[at] = -scale * inverse * gradients[0][channel] / values;
            of_one[at] = -scale * gradients[1][channel] / values;
        }
    }

    /// One channel's numbers.
    fn of(&self, values: &[f32], channel: usize) -> impl Iterator<Item = f32> {
        values.iter().skip(channel).step_by(self.channels).copied()
    }

    /// A channel's two sums over all segments.
    fn sums(&self, channel: usize) -> [f64; 2] {
        let mut sums = [0.0; 2];
        for area in self.scratch.chunks_exact(2 * self.width()) {
            for (sum, area) in sums.iter_mut().zip(area.chunks_exact(self.width())) {
                *sum += area[channel..].iter().step_by(self.channels).sum::<f64>();
            }
        }
        sums
    }

    /// Mean and variance from the segments' sums and the rows that fill no vectors, and the moving averages.
    fn take_statistics(&mut self, x: &[f32]) {
        let (width, values) = (self.width(), (x.len() / self.channels) as f64);
        let rest = x.chunks_exact(width).remainder();
        for channel in 0..self.channels {
            let [mut sum, mut squares] = self.sums(channel);
            for x in self.of(rest, channel).map(f64::from) {
                sum += x;
                squares += x * x;
            }
            let mean = sum / values;
            let variance = (squares / values - mean * mean).max(0.0);
            for at in (channel..width).step_by(self.channels) {
                self.mean[at] = mean as f32;
                self.inverse_deviation[at] = (variance + f64::from(self.eps)).sqrt().recip() as f32;
            }
            let unbiased = variance * values / (values - 1.0).max(1.0);
            let follow = |running: &mut f32, value: f64| *running += self.momentum * (value as f32 - *running);
            follow(&mut self.running_mean[channel], mean);
            follow(&mut self.running_variance[channel], unbiased);
        }
    }
}

/// The whole rows of `width` in a segment.
fn segment_of(values: &[f32], segment: usize, width: usize, index: usize) -> &[f32] {
    let whole = &values[..values.len() / width * width];
    piece_of(whole, segment, index)
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
    /// Σ x and Σ x² per column of rows as wide as half of `sums`.
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

    /// Σ dy and Σ dy·(x − mean) per column.
    fn gradients(x: &[f32], dy: &[f32], mean: &[f32], sums: &mut [f64]) {
        sums.fill(0.0);
        let (bias, weight) = sums.split_at_mut(mean.len());
        for (x, dy) in x.chunks_exact(mean.len()).zip(dy.chunks_exact(mean.len())) {
            let operands = x.iter().zip(dy).zip(mean);
            for (((x, dy), mean), (bias, weight)) in operands.zip(bias.iter_mut().zip(&mut *weight)) {
                *bias += f64::from(*dy);
                *weight += f64::from(dy * (x - mean));
            }
        }
    }

    fn normalise(x: &[f32], y: &mut [f32], mean: &[f32], scale: &[f32], bias: &[f32]) {
        for (y, x) in y.chunks_mut(mean.len()).zip(x.chunks(mean.len())) {
            for ((((y, x), mean), scale), bias) in y.iter_mut().zip(x).zip(mean).zip(scale).zip(bias) {
                *y = (x - mean) * scale + bias;
            }
        }
    }

    fn backward_piece(
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        mean: &[f32],
        [of_dy, of_x, of_one]: &[Vec<f32>; 3],
        accumulate: bool,
    ) {
        let rows = x.chunks(mean.len()).zip(dy.chunks(mean.len()));
        for (dx, (x, dy)) in dx.chunks_mut(mean.len()).zip(rows) {
            let factors = of_dy.iter().zip(of_x).zip(of_one);
            for ((dx, (x, dy)), (mean, ((of_dy, of_x), of_one))) in
                dx.iter_mut().zip(x.iter().zip(dy)).zip(mean.iter().zip(factors))
            {
                put(dx, of_dy * dy + of_x * (x - mean) + of_one, accumulate);
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
                    let mut norm = BatchNormOp::new(&params, channels, x.len());
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

    #[test]
    fn bits_do_not_depend_on_threads() {
        let (channels, pixels) = (24, 20_011);
        let [x, dy] = [1, 2].map(|seed| numbers(seed, channels * pixels));
        let [weight, bias] = [3, 4].map(|seed| numbers(seed, channels));
        let run = |threads| {
            let mut norm = BatchNormOp::new(&kind::BatchNorm { eps: 1e-5, momentum: 0.1 }, channels, x.len());
            let (mut y, mut gradients) = (vec![0.0; x.len()], [(); 2].map(|()| vec![0.0; channels]));
            with_threads(threads, || {
                norm.normalise(&x, &weight, &bias, &mut y);
                let [dweight, dbias] = &mut gradients;
                norm.gradients(&x, &dy, dweight, dbias);
            });
            (y, gradients)
        };
        assert!(norm_segments(channels, pixels) > 4);
        let one = run(1);
        assert!([2, 3, 7].into_iter().all(|threads| run(threads) == one));
    }

    /// Segments whose sums are added up.
    fn norm_segments(channels: usize, pixels: usize) -> usize {
        pixels.div_ceil(parallel::segment_rows(pixels, channels))
    }

    /// Three million values far from zero: their variance must not drown.
    #[test]
    fn sums_do_not_drown() {
        let x: Vec<f32> = numbers(5, 3_000_000).into_iter().map(|x| 1000.0 + x).collect();
        let mut norm = BatchNormOp::new(&kind::BatchNorm { eps: 0.0, momentum: 1.0 }, 1, x.len());
        let mut y = vec![0.0; x.len()];
        with_threads(2, || norm.normalise(&x, &[1.0], &[0.0], &mut y));
        let [_, variance, ..] = statistics(&x, &x, 1, 0, 0.0);
        assert!((f64::from(norm.running_variance[0]) / variance - 1.0).abs() < 1e-6);
    }
}
