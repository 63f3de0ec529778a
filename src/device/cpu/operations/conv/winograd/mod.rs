//! Convolution by Winograd's minimal filtering (Lavin and Gray 2015, "Fast Algorithms for Convolutional Neural Networks"):
//! tiles and filters are transformed, multiplied element by element as matrices over channels, and transformed back.
//!
//! Each scheme takes a part of the direct multiplications: 16/36 for F(2×2, 3×3), 36/144 for F(4×4, 3×3), 64/400 for
//! F(4×4, 5×5). Transforms belong to the phase that needs them. Scratch does not grow with the batch, and results do not depend
//! on the number of threads. Relative errors are up to 5e-6, where the direct kernels have 1e-6.

mod gradient;
mod product;
mod tiling;

use crate::device::cpu::compute::microkernel::MicroKernels;
use crate::device::cpu::compute::simd::Isa;
use crate::device::cpu::compute::winograd::{Filtering, Transforms};
use crate::device::cpu::operations::{BackwardData, BackwardWeights, Forward};
use crate::plan::{ConvGeometry, Phase};
use gradient::WeightGradient;
use product::{Product, Weights};
use tiling::{AxisSizes, Tiling};

/// A convolution's three phases.
pub(super) struct Winograd {
    filtering: Filtering,
    forward: Product,
    backward_data: Product,
    backward_weights: WeightGradient,
}

/// Fewer channels on either side than this are faster directly: the transforms would take most of the time.
const LEAST_CHANNELS: usize = 16;

/// Fewer tiles of 4 × 4 outputs than this read more memory of transformed filters than they save multiplications.
const LEAST_LARGE_TILES: usize = 24;

/// The same of 2 × 2 outputs.
const LEAST_SMALL_TILES: usize = 36;

/// Shared by all parts of a convolution.
#[derive(Clone, Copy)]
struct Means {
    kernels: &'static MicroKernels,
    transforms: &'static Transforms,
    threads: usize,
}

/// The scheme for a convolution, if Winograd serves it: stride and dilation 1, 3 × 3 or 5 × 5 taps, equal padding on opposite
/// sides and less than a filter, and
/// enough channels in each group. 3 × 3 takes tiles of 4 × 4 outputs, or of 2 × 2 where there would be few, or is left to the
/// direct kernels where there would be few of those.
pub(super) fn filtering(geometry: &ConvGeometry) -> Option<Filtering> {
    let g = geometry;
    let plain = g.stride == [1, 1] && g.dilation == [1, 1] && g.pad == g.pad_after;
    let fits = plain && g.kernel[0] == g.kernel[1] && g.pad.iter().all(|&pad| pad < g.kernel[0]);
    if !fits || g.group_c().min(g.group_k()) < LEAST_CHANNELS {
        return None;
    }
    match g.kernel[0] {
        3 if Tiling::new(g.n, forward_sizes(g), 4, 6).tiles() >= LEAST_LARGE_TILES => Some(Filtering::F4x3),
        3 if Tiling::new(g.n, forward_sizes(g), 2, 4).tiles() >= LEAST_SMALL_TILES => Some(Filtering::F2x3),
        5 => Some(Filtering::F4x5),
        _ => None,
    }
}

fn forward_sizes(g: &ConvGeometry) -> [AxisSizes; 2] {
    let axis = |input, output, pad| AxisSizes { input, output, pad };
    [axis(g.h, g.out_h(), g.pad[0]), axis(g.w, g.out_w(), g.pad[1])]
}

impl Winograd {
    /// None by the portable instructions, and where [`filtering`] finds no scheme.
    pub fn new(geometry: &ConvGeometry, threads: usize, isa: Isa) -> Option<Winograd> {
        let (g, filtering) = (geometry, filtering(geometry)?);
        let means = Means { kernels: MicroKernels::of(isa)?, transforms: Transforms::of(filtering, isa)?, threads };
        let tiling = |sizes| Tiling::new(g.n, sizes, means.transforms.outputs, means.transforms.side());
        let forward = forward_sizes(g);
        let backward = forward.map(|axis| AxisSizes {
            input: axis.output,
            output: axis.input,
            pad: means.transforms.taps - 1 - axis.pad,
        });
        let [c, k] = [g.group_c(), g.group_k()];
        Some(Winograd {
            filtering,
            forward: Product::new(means, tiling(forward), g.groups, [c, k]),
            backward_data: Product::new(means, tiling(backward), g.groups, [k, c]),
            backward_weights: WeightGradient::new(means, tiling(forward), g.groups, [c, k]),
        })
    }

    /// The word for it in the CSV, without the instruction set.
    pub fn name(&self) -> &'static str {
        match self.filtering {
            Filtering::F2x3 => "winograd_2x2_3x3",
            Filtering::F4x3 => "winograd_4x4_3x3",
            Filtering::F4x5 => "winograd_4x4_5x5",
        }
    }

    /// The side of the tiles that are transformed.
    pub fn tile(&self) -> u8 {
        match self.filtering {
            Filtering::F2x3 => 4,
            Filtering::F4x3 => 6,
            Filtering::F4x5 => 8,
        }
    }

    /// Scratch of a phase, in f32.
    pub fn workspace_floats(&self, phase: Phase) -> usize {
        match phase {
            Phase::Forward => self.forward.workspace_floats(),
            Phase::BackwardData => self.backward_data.workspace_floats(),
            Phase::BackwardWeights => self.backward_weights.workspace_floats(),
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 0,
        }
    }

    pub fn forward(&self, operands: Forward) {
        let input = operands.input();
        let Forward { weights, biases, output, workspace, .. } = operands;
        self.forward.run(input, Weights::AsTheyAre(weights), biases, output, false, workspace);
    }

    pub fn backward_data(&self, operands: BackwardData) {
        let BackwardData { output_gradient, weights, input_gradient, accumulate, workspace, .. } = operands;
        self.backward_data.run(
            output_gradient,
            Weights::TurnedAround(weights),
            &[],
            input_gradient,
            accumulate,
            workspace,
        );
    }

    pub fn backward_weights(&self, operands: BackwardWeights) {
        self.backward_weights.run(operands);
    }
}
