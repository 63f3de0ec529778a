//! The fitted constants: what part of its peaks a GPU reaches.

use serde::{Deserialize, Serialize};

use crate::device::options::Search;
use crate::model::Kind;
use crate::plan::{Geometry, LayerPlan, Phase};

const TEXT: &str = include_str!("fractions.toml");

/// How far below (or, with FFT, above) a GPU's peaks its phases run. `fractions.toml` says what each means.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fractions {
    pub conv: Convolutions,
    pub gemm: Gemm,
    pub memory: Memory,
    pub launch: Launch,
    pub tile: Tile,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolutions {
    pub heuristic: Conv,
    pub search: Conv,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    pub forward: f64,
    pub backward_data: f64,
    pub backward_weights: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gemm {
    pub forward: f64,
    pub backward: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    pub streaming: f64,
    pub pooling_backward: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    pub us: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tile {
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

impl Conv {
    fn of(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Forward => self.forward,
            Phase::BackwardData => self.backward_data,
            Phase::BackwardWeights | Phase::LossScale | Phase::WeightUpdate => self.backward_weights,
        }
    }
}
