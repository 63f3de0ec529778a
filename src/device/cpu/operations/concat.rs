//! Channels of several inputs side by side. Each input is handled by a call of its own: its channels are those from
//! `first` on in rows of the output.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::plan::LayerPlan;

pub struct ConcatOp {
    /// By input.
    spans: Vec<ChannelSpan>,
}

impl ConcatOp {
    pub fn new(layer: &LayerPlan) -> ConcatOp {
        let mut first = 0;
        let spans = layer.input_shapes.iter().map(|shape| {
            let span = ChannelSpan { first, channels: shape.c, total: layer.output.c };
            first += shape.c;
            span
        });
        ConcatOp { spans: spans.collect() }
    }
}

impl Operation for ConcatOp {
    fn forward(&mut self, operands: Forward) {
        for (&span, input) in self.spans.iter().zip(operands.inputs) {
            forward(span, input, operands.output);
        }
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let span = self.spans[operands.slot];
        backward_data(span, operands.output_gradient, operands.input_gradient, operands.accumulate);
    }
}

/// The place of an input's channels among the output's.
#[derive(Clone, Copy, Debug)]
struct ChannelSpan {
    first: usize,
    channels: usize,
    /// Of all inputs together.
    total: usize,
}

fn forward(span: ChannelSpan, x: &[f32], y: &mut [f32]) {
    let rows = parallel::rows(x.len() / span.channels, span.channels);
    pieces(y, rows * span.total, |index, y| {
        let x = piece_of(x, rows * span.channels, index);
        for (y, x) in y.chunks_exact_mut(span.total).zip(x.chunks_exact(span.channels)) {
            y[span.first..][..span.channels].copy_from_slice(x);
        }
    });
}

fn backward_data(span: ChannelSpan, dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let rows = parallel::rows(dx.len() / span.channels, span.channels);
    pieces(dx, rows * span.channels, |index, dx| {
        backward_piece(span, dx, piece_of(dy, rows * span.total, index), accumulate);
    });
}

multiversioned! {
    fn backward_piece(span: ChannelSpan, dx: &mut [f32], dy: &[f32], accumulate: bool) {
        for (dx, dy) in dx.chunks_exact_mut(span.channels).zip(dy.chunks_exact(span.total)) {
            for (dx, &dy) in dx.iter_mut().zip(&dy[span.first..]) {
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
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn against_plain_loops(first in 0..40usize, channels in 1..40usize, after in 0..40usize, rows in 1..500usize, seed: u64) {
            let span = ChannelSpan { first, channels, total: first + channels + after };
            let inside = |at: usize| (first..first + channels).contains(&(at % span.total));
            let x = numbers(seed, rows * channels);
            let outputs = [1, 3].map(|threads| {
                let mut y = vec![7.0; rows * span.total];
                with_threads(threads, || forward(span, &x, &mut y));
                y
            });
            for y in outputs {
                let (within, without): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|&at| inside(at));
                prop_assert!(within.iter().map(|&at| y[at]).eq(x.iter().copied()));
                prop_assert!(without.iter().all(|&at| y[at] == 7.0));
            }
            let dy = numbers(seed ^ 1, rows * span.total);
            let dx: Vec<f64> = (0..dy.len()).filter(|&at| inside(at)).map(|at| f64::from(dy[at])).collect();
            check_gradient(&dx, |dx, accumulate| backward_data(span, &dy, dx, accumulate));
        }
    }
}
