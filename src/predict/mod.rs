//! The time of a training step on a GPU that is not here: `Plan → Predicted → rows`.
//!
//! A phase takes the longer of its multiply-adds at the part of the peak that such phases reach and its bytes at the part of
//! the bandwidth that they reach, and the cost of a launch on top. The parts are [`Fractions`], fitted from published
//! measurements; the peaks are a [`Gpu`]'s datasheet. A convolution of fewer [`tiles`] than the GPU has multiprocessors
//! leaves the others idle. Nothing here is measured, and all that is printed or written says so.

pub mod fractions;
pub mod gpu;
pub mod tiles;

pub use fractions::Fractions;
pub use gpu::{Gpu, GpuError};

use crate::device::Ceilings;
use crate::device::options::Search;
use crate::plan::Precision;
use crate::plan::{Bound, Cost, F32_BYTES, LayerPlan, Phase, Plan, Roofline};
use crate::step::{Op, Step};

/// The conditions of a prediction, beside the plan.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The GPU.
    pub gpu: &'a Gpu,
    /// Arithmetic.
    pub precision: Precision,
    /// The choice of convolution algorithms.
    pub search: Search,
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
}

impl Predicted {
    /// `Err` when the GPU does not have the plan's precision.
    pub fn new(plan: Plan, fractions: &Fractions, question: Question) -> Result<Predicted, GpuError> {
        let ceilings = question.gpu.ceilings(question.precision)?;
        let step = Step::new(plan);
        let planned_bytes = planned_bytes(&step, question.precision);
        let mut ops: Vec<Op> = step.ops.into_iter().filter(|op| question.phases.contains(&op.phase)).collect();
        ops.sort_by_key(|op| (op.layer, op.phase));
        let phases = ops.iter().map(|&op| phase(&step.plan.layers[op.layer], op, ceilings, fractions, question));
        let phases = phases.collect();
        Ok(Predicted { phases, plan: step.plan, ceilings, planned_bytes, fits: planned_bytes <= question.gpu.bytes() })
    }

    /// Σ phases.
    pub fn total_us(&self) -> f64 {
        // Not by `sum`, which makes -0.0 of nothing.
        self.phases.iter().fold(0.0, |total, phase| total + phase.us)
    }
}

fn phase(layer: &LayerPlan, op: Op, ceilings: Ceilings, fractions: &Fractions, question: Question) -> PredictedPhase {
    let Question { gpu, precision, search, .. } = question;
    let cost = layer.cost(op.phase);
    // Only multiply-adds run on tensor cores and in the precision's own rate.
    let peak = if cost.macs > 0 { ceilings.gemm_flops_per_s } else { gpu.f32_flops_per_s() };
    let compute = fractions.compute(layer, op.phase, search, gpu.uses_tensor_cores(precision));
    let busy = match tiles::of(layer, op.phase, fractions.tile.side) {
        Some(tiles) => (tiles as f64 / gpu.sms as f64).min(1.0),
        None => 1.0,
    };
    let bytes_per_s = ceilings.copy_bytes_per_s * fractions.bandwidth(&layer.kind, op.phase);
    let reached = Roofline { flops_per_s: peak * compute * busy, bytes_per_s, cached_bytes: 0 };
    let work_us = reached.roof_us(cost);
    let bound = reached.bound_unless(fractions.launch.us > work_us, cost);
    PredictedPhase { op, us: work_us + fractions.launch.us, cost, bound }
}

/// A parameter takes twelve bytes in either case: weight, gradient and momentum in f32; or weight and momentum in f32 beside
/// weight and gradient of half the size.
fn planned_bytes(step: &Step, precision: Precision) -> u64 {
    let footprint = step.arena.footprint(&step.plan);
    let parameters = footprint.parameters + footprint.gradients + footprint.momentum;
    parameters + (footprint.activations + footprint.input) / F32_BYTES * precision.element_bytes()
}

#[cfg(test)]
mod tests;
