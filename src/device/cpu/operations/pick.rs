//! Slices and shuffles of channels: a copy of each pixel's picked channels; the others have no gradient.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::plan::ChannelPick;

pub struct PickOp {
    /// By output channel.
    sources: Vec<u32>,
    /// By input channel; u32::MAX where it was not picked.
    targets: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl PickOp {
    pub fn new(pick: ChannelPick) -> PickOp {
        PickOp {
            sources: (0..pick.channels).map(|k| pick.source(k) as u32).collect(),
            targets: (0..pick.total).map(|c| pick.target(c).map_or(NOWHERE, |k| k as u32)).collect(),
        }
    }
}

impl Operation for PickOp {
    fn forward(&mut self, operands: Forward) {
        let (x, y, [taken, total]) = (operands.input(), operands.output, [self.sources.len(), self.targets.len()]);
        let rows = parallel::rows(y.len() / taken, taken);
        pieces(y, rows * taken, |index, y| forward_piece(y, piece_of(x, rows * total, index), &self.sources, total));
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output_gradient: dy, input_gradient: dx, accumulate, .. } = operands;
        let [taken, total] = [self.sources.len(), self.targets.len()];
        let rows = parallel::rows(dx.len() / total, total);
        pieces(dx, rows * total, |index, dx| {
            backward_piece(dx, piece_of(dy, rows * taken, index), &self.targets, taken, accumulate);
        });
    }
}

multiversioned! {
    fn forward_piece(y: &mut [f32], x: &[f32], sources: &[u32], total: usize) {
        for (y, x) in y.chunks_exact_mut(sources.len()).zip(x.chunks_exact(total)) {
            for (y, &source) in y.iter_mut().zip(sources) {
                *y = x[source as usize];
            }
        }
    }

    fn backward_piece(dx: &mut [f32], dy: &[f32], targets: &[u32], taken: usize, accumulate: bool) {
        for (dx, dy) in dx.chunks_exact_mut(targets.len()).zip(dy.chunks_exact(taken)) {
            for (dx, &target) in dx.iter_mut().zip(targets) {
                put(dx, dy.get(target as usize).copied().unwrap_or(0.0), accumulate);
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
        fn against_plain_loops(width in 1..9usize, groups in 1..5usize, from in 0..9usize, rest in 0..9usize, rows in 1..900usize, seed: u64) {
            let channels = width * groups;
            let total = from + channels + rest;
            let pick = ChannelPick { from, channels, groups, total };
            let x = numbers(seed, rows * total);
            let dy = numbers(seed ^ 1, rows * channels);
            let (mut y, mut dx) = (vec![0f64; dy.len()], vec![0f64; x.len()]);
            for row in 0..rows {
                for (group, place) in (0..groups).flat_map(|group| (0..width).map(move |place| (group, place))) {
                    let (at, source) = (row * channels + place * groups + group, row * total + from + group * width + place);
                    y[at] = f64::from(x[source]);
                    dx[source] = f64::from(dy[at]);
                }
            }
            check_output(&y, |y| PickOp::new(pick).forward(Forward { inputs: &[&x], output: y, ..Forward::default() }));
            check_gradient(&dx, |dx, accumulate| PickOp::new(pick).backward_data(BackwardData {
                output_gradient: &dy, input_gradient: dx, accumulate, ..BackwardData::default()
            }));
        }
    }
}
