//! The fitted constants: what parts of its peaks a GPU reaches. `constants.toml` explains each.

use serde::{Deserialize, Serialize};

use super::gpu::Generation;
use super::program::Program;
use super::spread::Spread;
use crate::plan::Phase;

const TEXT: &str = include_str!("constants.toml");

/// All that the arithmetic needs beside a datasheet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    /// Convolutions.
    pub conv: ConvConstants,
    /// Fully connected layers.
    pub gemm: GemmConstants,
    /// Layers that only move data.
    pub memory: Memory,
    /// Exponent of the lowered clock of boards with few watts for their peak.
    pub power: f64,
    /// Part of its FLOP/s that a multiprocessor keeps busy whose lanes were doubled: GA10x and later.
    pub doubled: f64,
    /// FLOP a clock at which a multiprocessor's tensor cores wait for 16-bit operands half of the time.
    pub feed: f64,
    /// By generation, against Volta.
    pub generation: Generations,
    /// By program.
    pub program: Programs<Overhead>,
}

/// A figure for each phase of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByPhase {
    /// Of forward.
    pub forward: f64,
    /// Of backward_data.
    pub backward_data: f64,
    /// Of backward_weights.
    pub backward_weights: f64,
}

/// A figure for ordinary cores, for weight gradients there, and for tensor cores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByUnit {
    /// Ordinary cores, forward and backward_data.
    pub cores: f64,
    /// Weight gradients on either.
    pub backward_weights: f64,
    /// Tensor cores, forward and backward_data.
    pub tensor: f64,
}

/// Convolutions: parts of the peak FLOP/s by algorithm, and what lowers them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvConstants {
    /// Of the peak, direct algorithms on ordinary cores.
    pub direct: ByPhase,
    /// The same of Winograd, by the direct count: above 1 is possible.
    pub winograd: ByPhase,
    /// The same of FFT and of Winograd on windows from 5 x 5.
    pub large: ByPhase,
    /// Of the peak of tensor cores.
    pub tensor: ByPhase,
    /// Against f32, f16 in memory on ordinary cores.
    pub half: ByPhase,
    /// Channels at which a narrow result doubles the time.
    pub narrow: ByPhase,
    /// The same on tensor cores.
    pub narrow_tensor: f64,
    /// Rows of a filter's gradient at which the time doubles.
    pub patch: f64,
    /// Summands at which a short sum doubles the time.
    pub short: ByUnit,
    /// Multiprocessors without work, in time of a tile.
    pub waves: ByUnit,
    /// Extra operations of the gradients with a stride, data.
    pub strided_data: f64,
    /// The same, weights.
    pub strided_weights: f64,
    /// Passes over Winograd's transformed weights.
    pub transforms: f64,
    /// Passes over the operands to bring NCHW into tensor cores' order.
    pub reorder: f64,
    /// Time of the fastest algorithm against the library's own pick.
    pub search: f64,
    /// The same on windows from 5 x 5.
    pub search_large: f64,
}

/// Fully connected layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GemmConstants {
    /// Of the peak, ordinary cores.
    pub cores: f64,
    /// Of the peak, tensor cores.
    pub tensor: f64,
    /// Rows or columns at which a narrow result doubles the time, ordinary cores.
    pub narrow: f64,
    /// The same with the libraries of the generations before Volta.
    pub narrow_before_volta: f64,
    /// The same on tensor cores.
    pub narrow_tensor: f64,
    /// Summands at which a short sum doubles the time.
    pub short: f64,
    /// Multiprocessors without work, in time of a tile.
    pub waves: f64,
}

/// Parts of the memory bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Pooling, forward and backward.
    pub pool: ByPass,
    /// Batch normalisation.
    pub batchnorm: ByPass,
    /// Local response normalisation.
    pub lrn: ByPass,
    /// ReLU, dropout, sums, joins, losses.
    pub elementwise: ByPass,
    /// The weight update.
    pub update: f64,
    /// Operands of convolutions and fully connected layers.
    pub operands: f64,
    /// Time of an activation or a sum that the batch normalisation before it does on the way, against its own pass.
    pub fused: f64,
    /// Bytes a clock at which a multiprocessor's kernels, not the memory, take half of the time.
    pub load: f64,
    /// Rate of the L2 against the memory's.
    pub l2: f64,
}

/// Forward and backward.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByPass {
    /// Forward.
    pub forward: f64,
    /// Backward.
    pub backward: f64,
}

/// The reach of a generation against Volta.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Ordinary cores.
    pub cores: f64,
    /// Tensor cores.
    pub tensor: f64,
    /// Memory.
    pub bandwidth: f64,
}

/// By generation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the generation of its name")]
pub struct Generations {
    pub kepler: Reach,
    pub maxwell: Reach,
    pub pascal: Reach,
    pub volta: Reach,
    pub turing: Reach,
    pub ampere: Reach,
    pub ampere_ga10x: Reach,
    pub ada: Reach,
    pub hopper: Reach,
    pub blackwell: Reach,
}

/// The time that a program adds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overhead {
    /// Per phase of a layer, in µs.
    pub launch_us: f64,
    /// The time of its passes against layertime's own: casts, copies, layers in pieces.
    pub passes: f64,
    /// The same again on tensor cores with elements of 16 bits.
    pub half_passes: f64,
}

/// By program.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the program of its name")]
pub struct Programs<T> {
    pub layertime: T,
    pub caffe: T,
    pub mxnet: T,
    pub ngc: T,
    pub pytorch: T,
    pub pytorch_eager: T,
    pub tensorflow: T,
    pub tensorflow_2018: T,
    pub tensorflow_xla: T,
    pub torch7: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConstantsFile {
    constants: Constants,
    spread: Spread,
}

impl Constants {
    /// The fitted ones.
    pub fn fitted() -> Constants {
        file().constants
    }
}

impl Spread {
    /// The fitted one.
    pub fn fitted() -> Spread {
        file().spread
    }
}

fn file() -> ConstantsFile {
    toml::from_str(TEXT).expect("the program's own file, read by every test")
}

impl ByPhase {
    /// Of a phase; of weights where it is none of a convolution's.
    pub fn of(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Forward => self.forward,
            Phase::BackwardData => self.backward_data,
            Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => self.backward_weights,
        }
    }
}

impl ByUnit {
    /// Of a phase on ordinary or tensor cores.
    pub fn of(&self, phase: Phase, tensor: bool) -> f64 {
        match (phase, tensor) {
            (Phase::Forward | Phase::BackwardData, false) => self.cores,
            (Phase::Forward | Phase::BackwardData, true) => self.tensor,
            (Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate, _) => {
                self.backward_weights
            }
        }
    }
}

impl ByPass {
    /// Of a phase.
    pub fn of(&self, phase: Phase) -> f64 {
        if phase == Phase::Forward { self.forward } else { self.backward }
    }
}

impl Generations {
    /// Of one generation.
    pub fn of(&self, generation: Generation) -> &Reach {
        match generation {
            Generation::Kepler => &self.kepler,
            Generation::Maxwell => &self.maxwell,
            Generation::Pascal => &self.pascal,
            Generation::Volta => &self.volta,
            Generation::Turing => &self.turing,
            Generation::Ampere => &self.ampere,
            Generation::AmpereGa10x => &self.ampere_ga10x,
            Generation::Ada => &self.ada,
            Generation::Hopper => &self.hopper,
            Generation::Blackwell => &self.blackwell,
        }
    }
}

impl<T> Programs<T> {
    /// Made program by program.
    pub fn each(of: impl Fn(Program) -> T) -> Programs<T> {
        Programs {
            layertime: of(Program::Layertime),
            caffe: of(Program::Caffe),
            mxnet: of(Program::Mxnet),
            ngc: of(Program::Ngc),
            pytorch: of(Program::Pytorch),
            pytorch_eager: of(Program::PytorchEager),
            tensorflow: of(Program::Tensorflow),
            tensorflow_2018: of(Program::Tensorflow2018),
            tensorflow_xla: of(Program::TensorflowXla),
            torch7: of(Program::Torch7),
        }
    }

    /// Of one program.
    pub fn of(&self, program: Program) -> &T {
        match program {
            Program::Layertime => &self.layertime,
            Program::Caffe => &self.caffe,
            Program::Mxnet => &self.mxnet,
            Program::Ngc => &self.ngc,
            Program::Pytorch => &self.pytorch,
            Program::PytorchEager => &self.pytorch_eager,
            Program::Tensorflow => &self.tensorflow,
            Program::Tensorflow2018 => &self.tensorflow_2018,
            Program::TensorflowXla => &self.tensorflow_xla,
            Program::Torch7 => &self.torch7,
        }
    }
}
