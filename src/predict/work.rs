//! The work of a phase as the formula sees it: a matrix product, or bytes to move.

use crate::model::kind::Activation;
use crate::model::{Kind, Source};
use crate::plan::{ConvGeometry, FcGeometry, Geometry, LayerPlan, Mover, Phase};

/// Rows of Winograd's output tiles; smaller maps are padded to them.
const WINOGRAD_TILE: usize = 4;
/// Elements of a transformed 3 x 3 filter, written and read, beside the filter's own nine.
const TRANSFORMED: usize = 2 * 36 + 9;
/// Below this many channels no algorithm with fewer operations is in use.
const LEAST_CHANNELS: usize = 8;

/// One phase of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseWork {
    /// The phase.
    pub phase: Phase,
    /// The kind of work.
    pub does: Does,
    /// Bytes, each operand once.
    pub bytes: f64,
    /// Bytes that pass through the L2 before its operands come again: its own where they are fresh, else the step's.
    pub footprint: f64,
}

/// The kind of work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Does {
    /// A convolution as a matrix product.
    Conv(MatrixProduct, Shortcut),
    /// A fully connected layer.
    Gemm(MatrixProduct),
    /// Data moved by a kind of layer.
    Move(Mover),
    /// Data moved by a ReLU or a sum behind a batch normalisation, which a library can do on the way.
    BehindNorm,
    /// The weight update, or the check of gradients.
    Update,
}

/// m x k times k x n.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixProduct {
    /// Rows of the result.
    pub m: f64,
    /// Columns of the result.
    pub n: f64,
    /// Summands.
    pub k: f64,
    /// Such products side by side.
    pub groups: f64,
    /// Multiply-adds of all of them, by the direct count.
    pub macs: f64,
}

/// The savings of an algorithm on a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shortcut {
    /// The algorithm.
    pub algorithm: FastAlgorithm,
    /// Input channels of a group.
    pub channels: f64,
    /// True with a stride.
    pub strided: bool,
}

/// Algorithms with fewer operations on ordinary cores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FastAlgorithm {
    /// None.
    Direct,
    /// On 3 x 3 windows.
    Winograd {
        /// Pixels after padding to tiles, against those before.
        padding: f64,
        /// Bytes of the transformed weights.
        weight_bytes: f64,
    },
    /// On square windows from 5 x 5: FFT, and Winograd's larger forms.
    Large,
}

impl PhaseWork {
    /// Of a planned phase of one of these layers, in a step that holds `step_bytes`.
    pub fn of(layers: &[LayerPlan], layer: &LayerPlan, phase: Phase, step_bytes: f64) -> PhaseWork {
        let bytes = layer.cost(phase).bytes as f64;
        if matches!(phase, Phase::WeightUpdate | Phase::AllReduce | Phase::LossScale) {
            return PhaseWork { phase, does: Does::Update, bytes, footprint: step_bytes };
        }
        match &layer.geometry {
            Geometry::Conv(conv) => {
                let transposed = matches!(layer.kind, Kind::ConvTranspose(_));
                PhaseWork::conv(conv, if transposed { phase.exchanged() } else { phase }, bytes, step_bytes)
            }
            Geometry::Fc(fc) => PhaseWork::fc(fc, phase, bytes, step_bytes),
            Geometry::Pool(_) | Geometry::Shapes => {
                // What the layer before wrote is still there, as far as it fits beside what is written.
                let does = if is_passed_by(layers, layer) { Does::BehindNorm } else { Does::Move(layer.mover()) };
                PhaseWork { phase, does, bytes, footprint: 3.0 * bytes }
            }
        }
    }

    /// Of a convolution.
    pub fn conv(conv: &ConvGeometry, phase: Phase, bytes: f64, footprint: f64) -> PhaseWork {
        let (out_pixels, in_pixels) = (conv.n * conv.out_h() * conv.out_w(), conv.n * conv.h * conv.w);
        let window = conv.kernel[0] * conv.kernel[1];
        let (c, k) = (conv.group_c(), conv.group_k());
        let strides = conv.stride[0] * conv.stride[1];
        let (m, n, sum) = match phase {
            Phase::Forward => (out_pixels, k, (c * window) as f64),
            Phase::BackwardData => (in_pixels, c, (k * window) as f64 / strides as f64),
            Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => {
                (c * window, k, out_pixels as f64)
            }
        };
        let product =
            MatrixProduct { m: m as f64, n: n as f64, k: sum, groups: conv.groups as f64, macs: conv.macs() as f64 };
        let up = |side: usize| side.next_multiple_of(WINOGRAD_TILE);
        let algorithm = match conv.kernel {
            _ if strides > 1 || c < LEAST_CHANNELS || conv.dilation != [1, 1] => FastAlgorithm::Direct,
            [3, 3] => FastAlgorithm::Winograd {
                padding: (up(conv.out_h()) * up(conv.out_w())) as f64 / (conv.out_h() * conv.out_w()) as f64,
                weight_bytes: (4 * conv.k * c * TRANSFORMED) as f64,
            },
            [h, w] if h == w && h >= 5 => FastAlgorithm::Large,
            [_, _] => FastAlgorithm::Direct,
        };
        let shortcut = Shortcut { algorithm, channels: c as f64, strided: strides > 1 };
        PhaseWork { phase, does: Does::Conv(product, shortcut), bytes, footprint }
    }

    /// Of a fully connected layer.
    fn fc(fc: &FcGeometry, phase: Phase, bytes: f64, footprint: f64) -> PhaseWork {
        let (images, inputs, outputs) = (fc.n as f64, fc.inputs as f64, fc.outputs as f64);
        let [m, n, k] = match phase {
            Phase::Forward => [images, outputs, inputs],
            Phase::BackwardData => [images, inputs, outputs],
            Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => {
                [inputs, outputs, images]
            }
        };
        PhaseWork::gemm([m, n, k], phase, bytes, footprint)
    }

    /// Of a matrix product by itself: m, n, k.
    pub fn gemm([m, n, k]: [f64; 3], phase: Phase, bytes: f64, footprint: f64) -> PhaseWork {
        let product = MatrixProduct { m, n, k, groups: 1.0, macs: m * n * k };
        PhaseWork { phase, does: Does::Gemm(product), bytes, footprint }
    }
}

/// Tells if a layer is a ReLU or a sum behind a batch normalisation.
fn is_passed_by(layers: &[LayerPlan], layer: &LayerPlan) -> bool {
    matches!(layer.kind, Kind::Activation(Activation::Relu) | Kind::Add) && is_behind_norm(layers, layer)
}

/// Tells if a batch normalisation, or a sum behind one, gives one of its inputs.
fn is_behind_norm(layers: &[LayerPlan], layer: &LayerPlan) -> bool {
    layer.inputs.iter().any(|source| match *source {
        Source::Image => false,
        Source::Layer(index) => {
            let before = &layers[index];
            matches!(before.kind, Kind::BatchNorm(_)) || before.kind == Kind::Add && is_behind_norm(layers, before)
        }
    })
}

/// Side of the square tiles that a result is cut into, one per multiprocessor.
const TILE: f64 = 64.0;
/// Summands from which a long sum is split among multiprocessors.
const SPLIT: f64 = 512.0;
impl MatrixProduct {
    /// Columns that its tiles compute, against those there are: a tile has at least half its side.
    pub fn padding(&self) -> f64 {
        let columns = self.n.max(TILE / 2.0);
        (columns / TILE).ceil() * TILE / columns
    }

    /// Pieces of work, long sums split where `splits`.
    pub fn pieces(&self, splits: bool) -> f64 {
        let tiles = (self.m / TILE).ceil().max(1.0) * (self.n / TILE).ceil().max(1.0) * self.groups;
        if splits { tiles * (self.k / SPLIT).max(1.0) } else { tiles }
    }
}
