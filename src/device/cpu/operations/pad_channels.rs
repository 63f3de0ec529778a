//! Channels of zeros beside an input's: each pixel's channels are copied between them.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::model::kind::PadChannels;

pub struct PadChannelsOp {
    before: usize,
    channels: usize,
    /// Of the output.
    total: usize,
}

impl PadChannelsOp {
    pub fn new(pad: &PadChannels, channels: usize) -> PadChannelsOp {
        PadChannelsOp { before: pad.before, channels, total: pad.before + channels + pad.after }
    }
}

impl Operation for PadChannelsOp {
    fn forward(&mut self, operands: Forward) {
        let (x, y, &mut PadChannelsOp { before, channels, total }) = (operands.input(), operands.output, self);
        let rows = parallel::rows(y.len() / total, total);
        pieces(y, rows * total, |index, y| {
            let x = piece_of(x, rows * channels, index);
            for (y, x) in y.chunks_exact_mut(total).zip(x.chunks_exact(channels)) {
                y[..before].fill(0.0);
                y[before..][..channels].copy_from_slice(x);
                y[before + channels..].fill(0.0);
            }
        });
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output_gradient: dy, input_gradient: dx, accumulate, .. } = operands;
        let &mut PadChannelsOp { before, channels, total } = self;
        let rows = parallel::rows(dx.len() / channels, channels);
        pieces(dx, rows * channels, |index, dx| {
            backward_piece(dx, piece_of(dy, rows * total, index), before, [channels, total], accumulate);
        });
    }
}

multiversioned! {
    fn backward_piece(dx: &mut [f32], dy: &[f32], before: usize, [channels, total]: [usize; 2], accumulate: bool) {
        for (dx, dy) in dx.chunks_exact_mut(channels).zip(dy.chunks_exact(total)) {
            for (dx, &dy) in dx.iter_mut().zip(&dy[before..]) {
                put(dx, dy, accumulate);
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
        fn against_plain_loops(before in 0..20usize, channels in 1..40usize, after in 0..20usize, rows in 1..900usize, seed: u64) {
            let pad = PadChannels { before, after };
            let total = before + channels + after;
            let (x, dy) = (numbers(seed, rows * channels), numbers(seed ^ 1, rows * total));
            let (mut y, mut dx) = (vec![0f64; dy.len()], vec![0f64; x.len()]);
            for (row, channel) in (0..rows).flat_map(|row| (0..channels).map(move |channel| (row, channel))) {
                let (from, to) = (row * channels + channel, row * total + before + channel);
                y[to] = f64::from(x[from]);
                dx[from] = f64::from(dy[to]);
            }
            let op = || PadChannelsOp::new(&pad, channels);
            check_output(&y, |y| op().forward(Forward { inputs: &[&x], output: y, ..Forward::default() }));
            check_gradient(&dx, |dx, accumulate| op().backward_data(BackwardData {
                output_gradient: &dy, input_gradient: dx, accumulate, ..BackwardData::default()
            }));
        }
    }
}
