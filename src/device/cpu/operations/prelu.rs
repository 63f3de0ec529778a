//! PReLU: y = x, below zero w · x, with a slope for each channel or one for all; dw = Σ dy · x over where x is below zero, in f64.

use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};

pub struct PReluOp {
    channels: usize,
    /// Pixels of a segment, whose sums are taken apart.
    segment: usize,
    /// A sum per channel and segment.
    scratch: Vec<f64>,
}

impl PReluOp {
    /// For so many pixels of all images.
    pub fn new(channels: usize, pixels: usize) -> PReluOp {
        let segment = parallel::segment_rows(pixels, channels);
        PReluOp { channels, segment, scratch: vec![0.0; pixels.div_ceil(segment) * channels] }
    }

    fn piece(&self, elements: usize) -> usize {
        parallel::rows(elements / self.channels, self.channels) * self.channels
    }
}

impl Operation for PReluOp {
    fn forward(&mut self, operands: Forward) {
        let (x, piece, channels) = (operands.input(), self.piece(operands.output.len()), self.channels);
        let Forward { weights, output, .. } = operands;
        pieces(output, piece, |index, y| {
            let x = piece_of(x, piece, index);
            bent([x, x], y, weights, channels, false);
        });
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { input, output_gradient, weights, input_gradient, accumulate, .. } = operands;
        let (piece, channels) = (self.piece(input.len()), self.channels);
        pieces(input_gradient, piece, |index, dx| {
            let operands = [input, output_gradient].map(|values| piece_of(values, piece, index));
            bent(operands, dx, weights, channels, accumulate);
        });
    }

    fn backward_weights(&mut self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient, weight_gradient, .. } = operands;
        let (segment, channels) = (self.segment * self.channels, self.channels);
        pieces(&mut self.scratch, channels, |index, sums| {
            let [x, dy] = [input, output_gradient].map(|values| piece_of(values, segment, index));
            gradients(x, dy, sums);
        });
        let sum = |channel: usize| self.scratch.chunks_exact(channels).map(|area| area[channel]).sum::<f64>();
        match weight_gradient {
            [shared] => *shared = (0..channels).map(sum).sum::<f64>() as f32,
            each => each.iter_mut().enumerate().for_each(|(channel, dw)| *dw = sum(channel) as f32),
        }
    }
}

multiversioned! {
    /// `to` (+)= `values`, times the slope where x is below zero.
    fn bent([x, values]: [&[f32]; 2], to: &mut [f32], weights: &[f32], channels: usize, accumulate: bool) {
        let rows = x.chunks_exact(channels).zip(values.chunks_exact(channels));
        for (to, (x, values)) in to.chunks_exact_mut(channels).zip(rows) {
            for channel in 0..channels {
                let weight = if weights.len() == 1 { weights[0] } else { weights[channel] };
                let value = values[channel];
                put(&mut to[channel], if x[channel] < 0.0 { weight * value } else { value }, accumulate);
            }
        }
    }

    fn gradients(x: &[f32], dy: &[f32], sums: &mut [f64]) {
        sums.fill(0.0);
        for (x, dy) in x.chunks_exact(sums.len()).zip(dy.chunks_exact(sums.len())) {
            for ((x, dy), sum) in x.iter().zip(dy).zip(&mut *sums) {
                *sum += if *x < 0.0 { f64::from(*dy) * f64::from(*x) } else { 0.0 };
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
        let (x, dy, mut dw) = ([-1.0 - ulp, -1.0], [1.0 + ulp, -1.0 - 2.0 * ulp], [f32::NAN]);
        with_threads(1, || {
            PReluOp::new(1, 2).backward_weights(BackwardWeights {
                input: &x,
                output_gradient: &dy,
                weight_gradient: &mut dw,
                ..BackwardWeights::default()
            })
        });
        assert_eq!(dw, [-ulp * ulp]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn against_plain_loops(shape in shapes(), shared: bool, seed: u64) {
            let (channels, count) = (shape.c, shape.elements());
            let (x, dy) = (numbers(seed, count), numbers(seed ^ 1, count));
            let weights = numbers(seed ^ 2, if shared { 1 } else { channels });
            let of = |at: usize| at % channels % weights.len();
            let slope = |at: usize| if x[at] < 0.0 { f64::from(weights[of(at)]) } else { 1.0 };
            let y: Vec<f64> = (0..count).map(|at| slope(at) * f64::from(x[at])).collect();
            check_output(&y, |y| {
                let forward = Forward { inputs: &[&x], weights: &weights, output: y, ..Forward::default() };
                PReluOp::new(channels, x.len() / channels).forward(forward);
            });
            let dx: Vec<f64> = (0..count).map(|at| slope(at) * f64::from(dy[at])).collect();
            check_gradient(&dx, |dx, accumulate| PReluOp::new(channels, x.len() / channels).backward_data(BackwardData {
                input: &x, output_gradient: &dy, weights: &weights, input_gradient: dx, accumulate, ..BackwardData::default()
            }));
            let mut dw = vec![0f64; weights.len()];
            (0..count).filter(|&at| x[at] < 0.0).for_each(|at| dw[of(at)] += f64::from(dy[at]) * f64::from(x[at]));
            let mut gradient = vec![f32::NAN; weights.len()];
            with_threads(3, || PReluOp::new(channels, x.len() / channels).backward_weights(BackwardWeights {
                input: &x, output_gradient: &dy, weight_gradient: &mut gradient, ..BackwardWeights::default()
            }));
            assert_close(&gradient, &dw, 5e-6);
        }
    }
}
