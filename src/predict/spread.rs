//! How far off predictions are, and the intervals that follow.
//!
//! Errors of figures that their GPU's fit has not seen are taken as factors. A step's has three parts: one that all of a GPU's
//! phases share, one that its phases of a kind share (convolutions by phase, fully connected layers, all else), and one that is
//! each phase's own. A share is free of the first.

use serde::{Deserialize, Serialize};

use super::constants::{ByPhase, Programs};
use super::gpu::Gpu;
use super::program::Program;
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::stats::Interval;

/// Standard deviations in a normal distribution's two-sided 95 %.
const NORMAL_95: f64 = 1.96;

/// Standard deviations of the logarithm of predicted over published.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Shared by all phases on a GPU.
    pub step: f64,
    /// Shared by a GPU's convolutions in a phase.
    pub conv: ByPhase,
    /// Shared by a GPU's fully connected layers.
    pub gemm: f64,
    /// Shared by a GPU's other layers and updates.
    pub other: f64,
    /// A phase's own.
    pub single: f64,
    /// Factor on all of them by program; 1 where no whole steps of it were published.
    pub program: Programs<f64>,
    /// The same where fewer than twenty whole steps of the generation were published.
    pub neighbour: f64,
    /// Ends of a 95 % interval against those of a normal distribution.
    pub tail: f64,
}

/// A predicted phase, as far as errors are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Predicted time.
    pub us: f64,
    /// The layer's group.
    pub group: Group,
    /// The phase.
    pub phase: Phase,
    /// Tells if it belongs to the figure in question.
    pub within: bool,
}

impl Spread {
    /// Of figures without an error.
    pub fn none() -> Spread {
        Spread {
            program: Programs::each(|_| 1.0),
            step: 0.0,
            conv: ByPhase { forward: 0.0, backward_data: 0.0, backward_weights: 0.0 },
            gemm: 0.0,
            other: 0.0,
            single: 0.0,
            neighbour: 1.0,
            tail: 1.0,
        }
    }

    /// As it is on a GPU in a program.
    pub fn on(self, gpu: &Gpu, program: Program) -> Spread {
        let known = gpu.generation.is_some_and(|generation| generation.is_measured());
        self.scaled(self.program.of(program) * if known { 1.0 } else { self.neighbour })
    }

    fn scaled(self, factor: f64) -> Spread {
        let ByPhase { forward, backward_data, backward_weights } = self.conv;
        Spread {
            step: self.step * factor,
            conv: ByPhase {
                forward: forward * factor,
                backward_data: backward_data * factor,
                backward_weights: backward_weights * factor,
            },
            gemm: self.gemm * factor,
            other: self.other * factor,
            single: self.single * factor,
            ..self
        }
    }

    /// Standard deviation of the logarithm of a sum.
    pub fn of_sum(&self, weights: &Sensitivity) -> f64 {
        self.step.hypot(self.varied(weights))
    }

    /// The 95 % interval of a sum, in µs.
    pub fn of_time(&self, parts: &[Part]) -> Interval {
        let total: f64 = parts.iter().map(|part| part.us).sum();
        let reach = (NORMAL_95 * self.tail * self.of_sum(&Sensitivity::of_sum(parts))).exp();
        Interval { low: total / reach, high: total * reach }
    }

    /// The 95 % interval of the share of those within, in percent: on the logarithm of its odds, so that it stays between 0 and 100.
    pub fn of_share(&self, parts: &[Part]) -> Interval {
        let total: f64 = parts.iter().map(|part| part.us).sum();
        let within: f64 = parts.iter().filter(|part| part.within).map(|part| part.us).sum();
        let share = if total > 0.0 { within / total } else { 0.0 };
        if share <= 0.0 || share >= 1.0 {
            return Interval { low: 100.0 * share, high: 100.0 * share };
        }
        let moved = parts.iter().map(|part| {
            let is_within = if part.within { 1.0 } else { 0.0 };
            (part, part.us / total * (is_within - share))
        });
        // A small change of a share is its odds' times share · (1 − share).
        let reach = (NORMAL_95 * self.tail * self.varied(&Sensitivity::new(moved)) / (share * (1.0 - share))).exp();
        let odds = share / (1.0 - share);
        let percent = |odds: f64| 100.0 * odds / (1.0 + odds);
        Interval { low: percent(odds / reach), high: percent(odds * reach) }
    }

    /// The effect of what a kind's phases share and of what each has of its own.
    fn varied(&self, weights: &Sensitivity) -> f64 {
        let conv = &self.conv;
        let sigmas = [conv.forward, conv.backward_data, conv.backward_weights, self.gemm, self.other];
        let shared: f64 = weights.kinds.iter().zip(sigmas).map(|(weight, sigma)| (weight * sigma).powi(2)).sum();
        (shared + weights.squares * self.single.powi(2)).sqrt()
    }
}

/// How much errors of phases move a figure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sensitivity {
    /// Σ over the phases of each kind.
    kinds: [f64; 5],
    /// Σ of the squares over all.
    squares: f64,
}

impl Sensitivity {
    /// Of a sum: each phase by its part of it.
    pub fn of_sum(parts: &[Part]) -> Sensitivity {
        let total: f64 = parts.iter().map(|part| part.us).sum();
        let total = if total > 0.0 { total } else { 1.0 };
        Sensitivity::new(parts.iter().map(|part| (part, part.us / total)))
    }

    fn new<'p>(weighted: impl Iterator<Item = (&'p Part, f64)>) -> Sensitivity {
        weighted.fold(Sensitivity::default(), |mut all, (part, weight)| {
            all.kinds[kind(part)] += weight;
            all.squares += weight * weight;
            all
        })
    }
}

/// Its place among the kinds that share an error.
fn kind(part: &Part) -> usize {
    match (part.group, part.phase) {
        (_, Phase::WeightUpdate | Phase::AllReduce | Phase::LossScale) | (Group::Other, _) => 4,
        (Group::Conv, Phase::Forward) => 0,
        (Group::Conv, Phase::BackwardData) => 1,
        (Group::Conv, Phase::BackwardWeights) => 2,
        (Group::Fc, Phase::Forward | Phase::BackwardData | Phase::BackwardWeights) => 3,
    }
}
