//! The fitted constants: the parts of its peaks that a GPU reaches.

use serde::{Deserialize, Serialize};

use crate::device::options::Search;
use crate::model::Kind;
use crate::plan::{Geometry, LayerPlan, Phase};

const TEXT: &str = include_str!("fractions.toml");

/// The parts of a GPU's peaks that its phases reach; above 1 where an FFT needs fewer multiplications. `fractions.toml` explains each.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fractions {
    /// Of the peak FLOP/s, convolutions.
    pub conv: Convolutions,
    /// Of the peak FLOP/s, fully connected layers.
    pub gemm: Gemm,
    /// Of the memory bandwidth.
    pub memory: Memory,
    /// The cost of a launch.
    pub launch: LaunchCost,
    /// The tiles that results are cut into.
    pub tile: Tile,
}

/// Convolutions, by the choice of their algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolutions {
    /// The library's own pick.
    pub heuristic: ConvFractions,
    /// The fastest of all.
    pub search: ConvFractions,
}

/// Parts of the peak FLOP/s, by phase.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvFractions {
    /// Of forward.
    pub forward: f64,
    /// Of backward_data.
    pub backward_data: f64,
    /// Of backward_weights.
    pub backward_weights: f64,
}

/// Parts of the peak FLOP/s that fully connected layers reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gemm {
    /// Forward.
    pub forward: f64,
    /// Both gradients.
    pub backward: f64,
}

/// Parts of the memory bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Of phases that read and write in order.
    pub streaming: f64,
    /// Of max pooling's gradient, which scatters.
    pub pooling_backward: f64,
}

/// The cost of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LaunchCost {
    /// Per phase, in µs.
    pub us: f64,
}

/// A tile of a convolution's result.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tile {
    /// Rows and columns.
    pub side: u64,
}

impl Fractions {
    /// The fitted ones.
    pub fn fitted() -> Fractions {
        toml::from_str(TEXT).expect("the program's own file, read by every test")
    }

    /// Of the peak FLOP/s. `tensor_cores` says whether the phase's multiply-adds run there.
    pub fn compute(&self, layer: &LayerPlan, phase: Phase, search: Search, tensor_cores: bool) -> f64 {
        match layer.geometry {
            Geometry::Conv(_) => match (search, tensor_cores) {
                (Search::Exhaustive, false) => self.conv.search.of(phase),
                (Search::Exhaustive, true) | (Search::Heuristic, _) => self.conv.heuristic.of(phase),
            },
            Geometry::Fc(_) => match phase {
                Phase::Forward => self.gemm.forward,
                Phase::BackwardData | Phase::BackwardWeights | Phase::LossScale | Phase::WeightUpdate => {
                    self.gemm.backward
                }
            },
            Geometry::Pool(_) | Geometry::Shapes => self.memory.streaming,
        }
    }

    /// Of the memory bandwidth.
    pub fn bandwidth(&self, kind: &Kind, phase: Phase) -> f64 {
        let scatters = matches!(kind, Kind::MaxPool(_)) && phase == Phase::BackwardData;
        if scatters { self.memory.pooling_backward } else { self.memory.streaming }
    }
}

impl ConvFractions {
    fn of(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Forward => self.forward,
            Phase::BackwardData => self.backward_data,
            Phase::BackwardWeights | Phase::LossScale | Phase::WeightUpdate => self.backward_weights,
        }
    }
}
