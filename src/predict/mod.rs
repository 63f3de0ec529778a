//! The time of a training step on a GPU that is not here: `Plan → Predicted → rows`.
//!
//! A phase takes the longer of its multiply-adds at the part of the peak that such phases reach and its bytes at the part of
//! the bandwidth that they reach, and the cost of a launch on top ([`time`]). The parts are [`Constants`], fitted from
//! published measurements; the peaks are a [`Gpu`]'s datasheet. [`Spread`] says how far off that is. Nothing here is measured,
//! and all that is printed or written says so.

pub mod constants;
pub mod gpu;
pub mod program;
pub mod spread;
pub mod time;
pub mod work;

pub use constants::Constants;
pub use gpu::{Gpu, GpuError};
pub use program::Program;
pub use spread::Spread;

use crate::device::Ceilings;
use crate::device::options::{Layout, Search};
use crate::plan::Precision;
use crate::plan::{Bound, Cost, F32_BYTES, Phase, Plan};
use crate::stats::Interval;
use crate::step::{Op, Step};
use spread::Part;
use time::GpuRates;
use work::PhaseWork;

/// The conditions of a prediction, beside the plan.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The GPU.
    pub gpu: &'a Gpu,
    /// Arithmetic.
    pub precision: Precision,
    /// The choice of convolution algorithms.
    pub search: Search,
    /// Memory order of activations.
    pub layout: Layout,
    /// Whose step it is.
    pub program: Program,
    /// The phases that count.
    pub phases: &'a [Phase],
}

/// A predicted phase of one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PredictedPhase {
    /// Layer and phase.
    pub op: Op,
    /// Time in µs.
    pub us: f64,
    /// Operations and bytes.
    pub cost: Cost,
    /// The one of the three that made it as long as it is.
    pub bound: Bound,
}

/// A predicted training step at one batch and image size.
#[derive(Clone, Debug)]
pub struct Predicted {
    /// Shapes and costs.
    pub plan: Plan,
    /// Layer by layer, and in each by phase; those that count.
    pub phases: Vec<PredictedPhase>,
    /// The datasheet's peaks.
    pub ceilings: Ceilings,
    /// Bytes that a whole training step holds, scratch of algorithms and the driver's own share apart.
    pub planned_bytes: u64,
    /// Tells if the GPU's memory holds that.
    pub fits: bool,
    /// How far off such times are on this GPU in this program.
    pub spread: Spread,
}

impl Predicted {
    /// `Err` when the GPU does not have the plan's precision.
    pub fn new(plan: Plan, constants: &Constants, question: Question) -> Result<Predicted, GpuError> {
        let ceilings = question.gpu.ceilings(question.precision)?;
        let step = Step::new(plan);
        let planned_bytes = planned_bytes(&step, question.precision);
        let mut ops: Vec<Op> = step.ops.into_iter().filter(|op| question.phases.contains(&op.phase)).collect();
        ops.sort_by_key(|op| (op.layer, op.phase));
        let machine = GpuRates::new(constants, &question);
        let phase = |op: Op| {
            let layer = &step.plan.layers[op.layer];
            let time = machine.time(&PhaseWork::of(&step.plan.layers, layer, op.phase, planned_bytes as f64));
            PredictedPhase { op, us: time.us, cost: layer.cost(op.phase), bound: time.bound }
        };
        let phases = ops.into_iter().map(phase).collect();
        let spread = Spread::fitted().on(question.gpu, question.program);
        let fits = planned_bytes <= question.gpu.bytes();
        Ok(Predicted { phases, plan: step.plan, ceilings, planned_bytes, fits, spread })
    }

    /// The 95 % interval of the time of some phases, in µs.
    pub fn interval_us(&self, within: impl Fn(Op) -> bool) -> Interval {
        let parts: Vec<Part> = self.parts(within).into_iter().filter(|part| part.within).collect();
        self.spread.of_time(&parts)
    }

    /// The 95 % interval of the share of some phases, in percent of the step.
    pub fn interval_pct(&self, within: impl Fn(Op) -> bool) -> Interval {
        self.spread.of_share(&self.parts(within))
    }

    fn parts(&self, within: impl Fn(Op) -> bool) -> Vec<Part> {
        let part = |phase: &PredictedPhase| {
            let group = self.plan.layers[phase.op.layer].group();
            Part { us: phase.us, group, phase: phase.op.phase, within: within(phase.op) }
        };
        self.phases.iter().map(part).collect()
    }

    /// Σ phases.
    pub fn total_us(&self) -> f64 {
        // Not by `sum`, which makes -0.0 of nothing.
        self.phases.iter().fold(0.0, |total, phase| total + phase.us)
    }
}

/// Bytes that a whole training step holds. A parameter takes twelve in either case: weight, gradient and momentum in f32; or weight and momentum in f32 beside
/// weight and gradient of half the size.
pub fn planned_bytes(step: &Step, precision: Precision) -> u64 {
    let footprint = step.arena.footprint(&step.plan);
    let parameters = footprint.parameters + footprint.gradients + footprint.momentum;
    parameters + (footprint.activations + footprint.input) / F32_BYTES * precision.element_bytes()
}

#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod traps;
