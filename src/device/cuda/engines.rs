//! The engines of cuDNN's graph API that a run may choose from.
//!
//! cuDNN's mode A proposes configurations for the GPU at hand; where none of them is permitted, its fallback does. Engines that convert
//! operands to a narrower type are never permitted. The same code serves a session on a GPU and [`choose`] for a GPU that is only described.

use super::driver::dnn::{ConvDirection, ConvGraph, ConvProblem, EngineConfig, EngineNotes, Heuristics, Target};
use super::driver::libraries::Libraries;
use super::driver::{CallError, Cause, Element};
use crate::device::options::Layout;
use crate::device::{DeviceError, Transform};
use crate::plan::{ConvGeometry, Phase, Precision};

/// The conditions that an engine must meet.
#[derive(Clone, Copy, Debug)]
pub struct EngineRules {
    /// f32 excludes tensor cores, which round operands to TF32.
    pub precision: Precision,
    /// Exclude engines that give other bits each time.
    pub deterministic: bool,
    /// The most scratch, in bytes.
    pub workspace_limit: Option<u64>,
}

impl EngineRules {
    /// Tells if an engine with these notes may be used.
    pub fn permit(&self, notes: EngineNotes, workspace_bytes: u64) -> bool {
        let rounds = notes.down_convert || notes.tensor_core && self.precision.convolutions() == Precision::F32;
        let varies = notes.nondeterministic && self.deterministic;
        !rounds && !varies && self.workspace_limit.is_none_or(|limit| workspace_bytes <= limit)
    }
}

/// The configurations that may be used, the most promising first: mode A's, or where none of these may, the fallback's.
pub fn candidates(graph: &ConvGraph, rules: &EngineRules) -> Result<(Heuristics, Vec<EngineConfig>), CallError> {
    let permitted = |from: Heuristics| -> Result<Vec<EngineConfig>, CallError> {
        let offers = match graph.configs(from) {
            Err(error) if error.cause == Cause::NotSupported => Vec::new(),
            offers => offers?,
        };
        Ok(offers.into_iter().filter(|offer| rules.permit(offer.notes, offer.workspace_bytes)).collect())
    };
    let proposed = permitted(Heuristics::ModeA)?;
    if !proposed.is_empty() {
        return Ok((Heuristics::ModeA, proposed));
    }
    Ok((Heuristics::Fallback, permitted(Heuristics::Fallback)?))
}

/// A family of algorithms, as published comparisons tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// A matrix product over unfolded windows.
    Gemm,
    /// The same on tensor cores.
    TensorCoreGemm,
    /// A Winograd transform.
    Winograd,
    /// A fast Fourier transform.
    Fft,
}

impl Family {
    /// The family of an engine.
    pub fn of(notes: EngineNotes) -> Family {
        match notes.transform {
            Transform::Winograd(_) => Family::Winograd,
            Transform::Fourier => Family::Fft,
            Transform::Plain if notes.tensor_core => Family::TensorCoreGemm,
            Transform::Plain => Family::Gemm,
        }
    }

    /// The family's word in tables.
    pub fn name(self) -> &'static str {
        match self {
            Family::Gemm => "gemm",
            Family::TensorCoreGemm => "tensor_core_gemm",
            Family::Winograd => "winograd",
            Family::Fft => "fft",
        }
    }
}

/// A GPU that is described to cuDNN, and need not be there.
pub struct DescribedGpu(Target);

// SAFETY: a description is only read.
unsafe impl Sync for DescribedGpu {}

impl DescribedGpu {
    /// Opens cuDNN and describes a GPU by cuDNN's JSON representation of its properties. A library named libcuda.so.1 must be there, but no
    /// driver.
    pub fn new(json: &str) -> Result<DescribedGpu, DeviceError> {
        Libraries::cudnn_alone()?;
        Target::described(json).map(DescribedGpu).map_err(unusable)
    }
}

/// A convolution's phase, as a session would ask for it.
#[derive(Clone, Copy, Debug)]
pub struct ConvQuery {
    /// Sizes.
    pub geometry: ConvGeometry,
    /// Forward or a backward phase.
    pub phase: Phase,
    /// Arithmetic and storage.
    pub precision: Precision,
    /// Layout of the tensors.
    pub layout: Layout,
}

/// cuDNN's choice for a convolution's phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineChoice {
    /// Engine and knobs.
    pub name: String,
    /// The engine's family.
    pub family: Family,
    /// Scratch that the plan needs.
    pub workspace_bytes: u64,
    /// Mode A offered nothing that was permitted.
    pub fallback: bool,
    /// Configurations that were permitted.
    pub permitted: usize,
    /// Plans that were made.
    pub plans: usize,
    /// Plans that could not be made, with the reason.
    pub failed: Vec<String>,
    /// Plans whose scratch was not what their configuration said.
    pub resized: usize,
}

/// Asks cuDNN for the engines of a convolution's phase on a described GPU, and makes plans of the first `most` that are permitted and need no
/// compiling. `None` where nothing is permitted.
pub fn choose(
    gpu: &DescribedGpu,
    query: &ConvQuery,
    rules: &EngineRules,
    most: usize,
) -> Result<Option<EngineChoice>, DeviceError> {
    let graph = ConvGraph::new(&problem(query, false), &gpu.0).map_err(unusable)?;
    let (from, configs) = candidates(&graph, rules).map_err(unusable)?;
    let Some(first) = configs.first() else { return Ok(None) };
    let mut choice = EngineChoice {
        name: first.name(),
        family: Family::of(first.notes),
        workspace_bytes: first.workspace_bytes,
        fallback: from == Heuristics::Fallback,
        permitted: configs.len(),
        plans: 0,
        failed: Vec::new(),
        resized: 0,
    };
    for config in configs.iter().filter(|config| !config.notes.compiled).take(most) {
        match config.plan() {
            Ok(plan) => {
                choice.plans += 1;
                choice.resized += usize::from(plan.workspace_bytes != config.workspace_bytes);
            }
            Err(error) => choice.failed.push(format!("{}: {error}", config.name())),
        }
    }
    Ok(Some(choice))
}

/// The graph API's form of a phase.
pub fn problem(query: &ConvQuery, accumulate: bool) -> ConvProblem {
    let &ConvQuery { geometry, phase, precision, layout } = query;
    let direction = match phase {
        Phase::Forward => ConvDirection::Forward,
        Phase::BackwardData => ConvDirection::BackwardData,
        Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => {
            ConvDirection::BackwardFilter
        }
    };
    ConvProblem { geometry, element: Element::of(precision), layout, direction, accumulate }
}

fn unusable(error: CallError) -> DeviceError {
    DeviceError::Unusable(format!("cuDNN cannot plan: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_exclude_what_rounds_varies_or_is_too_large() {
        let rules = |precision, deterministic| EngineRules { precision, deterministic, workspace_limit: Some(100) };
        let tensor_core = EngineNotes { tensor_core: true, ..EngineNotes::default() };
        let narrow = EngineNotes { down_convert: true, ..EngineNotes::default() };
        let varying = EngineNotes { nondeterministic: true, ..EngineNotes::default() };
        assert!(!rules(Precision::F32, false).permit(tensor_core, 0));
        assert!(rules(Precision::Tf32, false).permit(tensor_core, 0));
        assert!(!rules(Precision::F16, false).permit(narrow, 0));
        assert!(rules(Precision::F32, false).permit(varying, 100) && !rules(Precision::F32, true).permit(varying, 0));
        assert!(!rules(Precision::F16, false).permit(tensor_core, 101));
    }

    #[test]
    fn families() {
        let notes = EngineNotes { tensor_core: true, transform: Transform::Winograd(None), ..EngineNotes::default() };
        assert_eq!(Family::of(notes), Family::Winograd);
        assert_eq!(Family::of(EngineNotes { transform: Transform::Plain, ..notes }), Family::TensorCoreGemm);
        assert_eq!(Family::of(EngineNotes::default()).name(), "gemm");
    }
}
