//! Transposed convolution: the convolution from the output to the input, with forward and backward_data exchanged.

use super::{AlgorithmChoice, ConvOp};
use crate::device::Algorithm;
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::simd::Isa;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::multiversioned;
use crate::device::cpu::operations::{BackwardData, BackwardWeights, Forward, Operation, add};
use crate::plan::{ConvGeometry, LayerPlan, Phase};

/// A transposed convolution ready to run.
pub struct ConvTransposeOp {
    conv: ConvOp,
    /// Elements of the input's gradient where it is added to another, else none.
    added: usize,
    /// Channels of the output.
    channels: usize,
    /// A sum per channel and work area.
    sums: Vec<f64>,
}

impl ConvTransposeOp {
    /// Plans a layer, as [`ConvOp::new`] does.
    pub fn new(layer: &LayerPlan, threads: usize, isa: Isa, choice: AlgorithmChoice) -> ConvTransposeOp {
        let added = if layer.accumulate[0] { layer.input().elements() } else { 0 };
        ConvTransposeOp::of(*layer.conv(), added, threads, isa, choice)
    }

    fn of(geometry: ConvGeometry, added: usize, threads: usize, isa: Isa, choice: AlgorithmChoice) -> ConvTransposeOp {
        let channels = geometry.c;
        let sums = vec![0.0; parallel::scratches(threads) * channels];
        ConvTransposeOp { conv: ConvOp::new(geometry, threads, isa, choice), added, channels, sums }
    }

    fn piece(&self, elements: usize) -> usize {
        let areas = self.sums.len() / self.channels;
        parallel::rows_with_scratch(elements / self.channels, self.channels, areas) * self.channels
    }
}

impl Operation for ConvTransposeOp {
    fn forward(&mut self, operands: Forward) {
        let piece = self.piece(operands.output.len());
        let output_gradient = operands.input();
        let Forward { weights, biases, output, workspace, .. } = operands;
        let input_gradient = &mut *output;
        self.conv.backward_data(BackwardData {
            output_gradient,
            weights,
            input_gradient,
            workspace,
            ..BackwardData::default()
        });
        if !biases.is_empty() {
            pieces(output, piece, |_, y| add_biases(y, biases));
        }
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output_gradient, weights, input_gradient, accumulate, workspace, .. } = operands;
        let (share, workspace) = workspace.split_at_mut(if accumulate { self.added } else { 0 });
        let output = if accumulate { &mut *share } else { &mut *input_gradient };
        self.conv.forward(Forward { inputs: &[output_gradient], weights, output, workspace, ..Forward::default() });
        if accumulate {
            add::backward_data(share, input_gradient, true);
        }
    }

    fn backward_weights(&mut self, operands: BackwardWeights) {
        let BackwardWeights { input, output_gradient: dy, weight_gradient, bias_gradient, workspace } = operands;
        self.conv.backward_weights(BackwardWeights {
            input: dy,
            output_gradient: input,
            weight_gradient,
            bias_gradient: &mut [],
            workspace,
        });
        if bias_gradient.is_empty() {
            return;
        }
        let (piece, channels) = (self.piece(dy.len()), self.channels);
        let count = dy.len().div_ceil(piece);
        pieces(&mut self.sums[..channels * count], channels, |index, sums| {
            sum_channels(piece_of(dy, piece, index), sums)
        });
        let sum = |at: usize| self.sums.chunks_exact(channels).take(count).map(|area| area[at]).sum::<f64>();
        bias_gradient.iter_mut().enumerate().for_each(|(channel, db)| *db = sum(channel) as f32);
    }

    fn workspace_floats(&self, phase: Phase) -> usize {
        let added = if phase == Phase::BackwardData { self.added } else { 0 };
        added + self.conv.workspace_floats(phase.exchanged())
    }

    fn algorithm(&self, phase: Phase) -> Option<Algorithm> {
        self.conv.algorithm(phase.exchanged())
    }
}

multiversioned! {
    fn add_biases(y: &mut [f32], biases: &[f32]) {
        for y in y.chunks_exact_mut(biases.len()) {
            for (y, bias) in y.iter_mut().zip(biases) {
                *y += bias;
            }
        }
    }

    fn sum_channels(dy: &[f32], sums: &mut [f64]) {
        sums.fill(0.0);
        for dy in dy.chunks_exact(sums.len()) {
            for (sum, dy) in sums.iter_mut().zip(dy) {
                *sum += f64::from(*dy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use crate::model::kind::{ConvTranspose, Pair};
    use crate::plan::Shape;
    use proptest::prelude::*;

    /// Every input element adds its filter to the output: y, dx and dw by one loop, and the sums of dy.
    struct Scattered {
        y: Vec<f64>,
        dx: Vec<f64>,
        dw: Vec<f64>,
        db: Vec<f64>,
    }

    fn scattered(g: &ConvGeometry, [x, w, b, dy]: [&[f32]; 4]) -> Scattered {
        let at = |values: &[f32], index: usize| f64::from(values[index]);
        let (h, width) = (g.out_h(), g.out_w());
        let pixels = g.n * g.h * g.w;
        let mut sums = Scattered {
            y: (0..pixels * g.c).map(|index| at(b, index % g.c)).collect(),
            dx: vec![0.0; x.len()],
            dw: vec![0.0; w.len()],
            db: (0..g.c).map(|c| (0..pixels).map(|pixel| at(dy, pixel * g.c + c)).sum()).collect(),
        };
        let taps = g.kernel[0] * g.kernel[1];
        for index in 0..x.len() * taps * g.group_c() {
            let (rest, c) = (index / g.group_c(), index % g.group_c());
            let (from, tap) = (rest / taps, rest % taps);
            let (k, pixel) = (from % g.k, from / g.k);
            let (n, p, q) = (pixel / width / h, pixel / width % h, pixel % width);
            let place = |axis: usize, place: usize, tap: usize, size: usize| {
                (place * g.stride[axis] + tap * g.dilation[axis]).checked_sub(g.pad[axis]).filter(|&at| at < size)
            };
            let (row, column) = (place(0, p, tap / g.kernel[1], g.h), place(1, q, tap % g.kernel[1], g.w));
            let (Some(row), Some(column)) = (row, column) else { continue };
            let to = ((n * g.h + row) * g.w + column) * g.c + k / g.group_k() * g.group_c() + c;
            let weight = (tap * g.group_c() + c) * g.k + k;
            sums.y[to] += at(x, from) * at(w, weight);
            sums.dx[from] += at(dy, to) * at(w, weight);
            sums.dw[weight] += at(dy, to) * at(x, from);
        }
        sums
    }

    fn layers() -> impl Strategy<Value = ConvGeometry> {
        let pair = |range: std::ops::Range<usize>| (range.clone(), range).prop_map(|(h, w)| Pair { h, w });
        let shape = (1..3usize, 1..4usize, 1..6usize, 1..6usize);
        (shape, 1..5usize, 1..3usize, pair(1..5), pair(1..4), pair(0..2), pair(1..4), pair(0..3)).prop_filter_map(
            "there is an output",
            |((n, c, h, w), channels, groups, kernel, stride, pad, dilation, more)| {
                let most = Pair { h: stride.h.max(dilation.h) - 1, w: stride.w.max(dilation.w) - 1 };
                let output_padding = Pair { h: more.h.min(most.h), w: more.w.min(most.w) };
                let pad = pad.into();
                let channels = channels * groups;
                let kind =
                    ConvTranspose { channels, kernel, stride, pad, output_padding, dilation, groups, bias: true };
                kind.geometry(Shape { n, c: c * groups, h, w }).ok()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn against_scattered_filters(g in layers(), seed: u64) {
            let counts = [g.output_len(), g.weight_len(), g.c, g.input_len()];
            let [x, w, b, dy] = [0, 1, 2, 3].map(|part| numbers(seed ^ part as u64, counts[part]));
            let Scattered { y, dx, dw, db } = scattered(&g, [&x, &w, &b, &dy]);
            for choice in [AlgorithmChoice::ByRule, AlgorithmChoice::Direct] {
                let threads = || rayon::current_num_threads();
                let op = || ConvTransposeOp::of(g, x.len(), threads(), Isa::detect(), choice);
                let space = |op: &ConvTransposeOp, phase| vec![f32::NAN; op.workspace_floats(phase)];
                check_output(&y, |y| {
                    let mut op = op();
                    let mut space = space(&op, Phase::Forward);
                    let workspace = &mut space;
                    op.forward(Forward { inputs: &[&x], weights: &w, biases: &b, output: y, workspace, ..Forward::default() });
                });
                check_gradient(&dx, |dx, accumulate| {
                    let mut op = op();
                    let mut space = space(&op, Phase::BackwardData);
                    op.backward_data(BackwardData {
                        output_gradient: &dy, weights: &w, input_gradient: dx, accumulate, workspace: &mut space,
                        ..BackwardData::default()
                    });
                });
                let (mut weights, mut biases) = (vec![f32::NAN; w.len()], vec![f32::NAN; b.len()]);
                with_threads(3, || {
                    let mut op = op();
                    let mut space = space(&op, Phase::BackwardWeights);
                    op.backward_weights(BackwardWeights {
                        input: &x, output_gradient: &dy, weight_gradient: &mut weights, bias_gradient: &mut biases,
                        workspace: &mut space,
                    });
                });
                assert_close(&weights, &dw, 2e-6);
                assert_close(&biases, &db, 2e-6);
            }
        }
    }
}
