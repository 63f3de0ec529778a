//! The three phases of a convolution by the vector kernels.

use super::correlate::{Correlation, Placement};
use super::weights::WeightGradient;
use super::windows::WindowShape;
use crate::device::cpu::compute::microkernel::MicroKernels;
use crate::device::cpu::operations::{BackwardData, BackwardWeights, Forward};
use crate::plan::{ConvGeometry, Phase};
use std::ops::Range;

pub(super) struct Direct {
    kernels: &'static MicroKernels,
    geometry: ConvGeometry,
    forward: Correlation,
    backward_data: Vec<Residue>,
    backward_weights: WeightGradient,
}

/// The input pixels that share a residue modulo the stride: they meet the same taps, so their gradient is a convolution
/// of stride 1 over the output's gradient.
struct Residue {
    /// The first tap that meets them, vertically and horizontally; the others follow a stride apart.
    first_tap: [usize; 2],
    /// None where the stride jumps over these pixels: their gradient is zero.
    correlation: Option<Correlation>,
    taps: [usize; 2],
}

impl Direct {
    /// Tells if the kernels serve a convolution: a stride over taps that lie apart would leave gaps among those of a residue.
    pub fn serves(g: &ConvGeometry) -> bool {
        [0, 1].iter().all(|&axis| g.stride[axis] == 1 || g.dilation[axis] == 1)
    }

    pub fn new(geometry: ConvGeometry, threads: usize, kernels: &'static MicroKernels) -> Self {
        let mut g = geometry;
        let pointwise = g.kernel == [1, 1] && g.stride == [1, 1];
        if pointwise && [g.pad, g.pad_after, g.crop] == [[0; 2]; 3] {
            // The batch is one image: chunks need not end with one.
            (g.n, g.h) = (1, g.n * g.h);
        }
        let shape = WindowShape {
            n: g.n,
            h: g.h,
            w: g.w,
            c: g.c,
            groups: g.groups,
            taps: g.kernel,
            stride: g.stride,
            dilation: g.dilation,
            origin: g.pad.map(|pad| -(pad as isize)),
            out: [g.out_h(), g.out_w()],
        };
        let [p, q] = shape.out;
        let placement = Placement { first: 0, pitch: [g.k, q * g.k, p * q * g.k] };
        let residues = (0..g.stride[0].min(g.h)).flat_map(|a| (0..g.stride[1].min(g.w)).map(move |b| [a, b]));
        Self {
            kernels,
            geometry: g,
            forward: Correlation::new(kernels, threads, shape, g.group_k(), placement),
            backward_data: residues.map(|residue| Residue::new(&g, residue, threads, kernels)).collect(),
            backward_weights: WeightGradient::new(kernels, threads, shape, g.group_k()),
        }
    }

    /// Scratch of a phase, in f32.
    pub fn workspace_floats(&self, phase: Phase) -> usize {
        match phase {
            Phase::Forward => self.forward.workspace_floats(),
            Phase::BackwardData => {
                let correlations = self.backward_data.iter().filter_map(|residue| residue.correlation.as_ref());
                correlations.map(Correlation::workspace_floats).max().unwrap_or(0)
            }
            Phase::BackwardWeights => self.backward_weights.workspace_floats(),
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 0,
        }
    }

    pub fn forward(&self, operands: Forward) {
        let (g, x) = (&self.geometry, operands.input());
        let Forward { weights: w, biases, output, workspace, .. } = operands;
        let pack = |group: usize, channels: Range<usize>, width: usize, panel: &mut [f32]| {
            let first = group * g.group_k() + channels.start;
            for (to, from) in panel.chunks_exact_mut(width).zip(w.chunks_exact(g.k)) {
                let (to, padding) = to.split_at_mut(channels.len());
                to.copy_from_slice(&from[first..first + channels.len()]);
                padding.fill(0.0);
            }
        };
        self.forward.run(x, pack, biases, output, false, workspace);
    }

    pub fn backward_data(&self, operands: BackwardData) {
        let BackwardData { output_gradient: dy, weights: w, input_gradient: dx, accumulate, workspace, .. } = operands;
        if !accumulate && self.backward_data.iter().any(|residue| residue.correlation.is_none()) {
            dx.fill(0.0);
        }
        for residue in &self.backward_data {
            if let Some(correlation) = &residue.correlation {
                let pack = |group: usize, channels: Range<usize>, width: usize, panel: &mut [f32]| {
                    residue.pack(self.kernels, &self.geometry, w, (group, channels), width, panel);
                };
                correlation.run(dy, pack, &[], dx, accumulate, workspace);
            }
        }
    }

    pub fn backward_weights(&self, operands: BackwardWeights) {
        self.backward_weights.run(operands);
    }
}

impl Residue {
    fn new(g: &ConvGeometry, residue: [usize; 2], threads: usize, kernels: &'static MicroKernels) -> Self {
        // Input row h meets tap r in output row (h + pad − r) / stride, where that is whole.
        let first_tap = [0, 1].map(|d| (residue[d] + g.pad[d]) % g.stride[d]);
        let taps = [0, 1].map(|d| g.kernel[d].saturating_sub(first_tap[d]).div_ceil(g.stride[d]));
        let origin = [0, 1].map(|d| {
            let last = (residue[d] + g.pad[d] - first_tap[d]) / g.stride[d];
            last as isize - (taps[d] as isize - 1) * g.dilation[d] as isize
        });
        let shape = WindowShape {
            n: g.n,
            h: g.out_h(),
            w: g.out_w(),
            c: g.k,
            groups: g.groups,
            taps,
            stride: [1, 1],
            dilation: g.dilation,
            origin,
            out: [(g.h - residue[0]).div_ceil(g.stride[0]), (g.w - residue[1]).div_ceil(g.stride[1])],
        };
        let placement = Placement {
            first: (residue[0] * g.w + residue[1]) * g.c,
            pitch: [g.stride[1] * g.c, g.stride[0] * g.w * g.c, g.h * g.w * g.c],
        };
        let correlation =
            (taps[0] * taps[1] > 0).then(|| Correlation::new(kernels, threads, shape, g.group_c(), placement));
        Self { first_tap, correlation, taps }
    }

    /// Packs weights `[r][s][c][k]` as `[tap row][tap column][k][width of c]`, the taps backwards: the last tap meets the
    /// first output pixel.
    fn pack(
        &self,
        kernels: &MicroKernels,
        g: &ConvGeometry,
        w: &[f32],
        (group, channels): (usize, Range<usize>),
        width: usize,
        panel: &mut [f32],
    ) {
        let group_k = g.group_k();
        for (tap, panel) in panel.chunks_exact_mut(group_k * width).enumerate() {
            let tap = [tap / self.taps[1], tap % self.taps[1]];
            let [r, s] = [0, 1].map(|d| self.first_tap[d] + (self.taps[d] - 1 - tap[d]) * g.stride[d]);
            let tap = r * g.kernel[1] + s;
            let from = &w[(tap * g.group_c() + channels.start) * g.k + group * group_k..];
            kernels.transpose(from, g.k, [channels.len(), group_k], panel, width);
        }
    }
}
