//! From the samples of one batch and image size to the statistics of its phases, groups and whole step.

use super::Measured;
use crate::model::kind::Group;
use crate::plan::{Phase, Plan};
use crate::stats::{self, Figure};
use crate::step::{GroupedSample, Op};

/// One phase of one layer, or the total over a [`Scope`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PartSummary {
    /// In µs. Means add up: layers to groups to the step.
    pub duration: stats::SampleSummary,
    /// Percent of the step, computed inside each step over Σ phases, then averaged over steps.
    pub share: Figure,
}

/// The scope of a total: `None` stands for all groups or all phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Layers of this group.
    pub group: Option<Group>,
    /// This phase of them.
    pub phase: Option<Phase>,
}

/// The whole step's own figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFigures {
    /// Σ phases of a timed step over the plain step beside it.
    pub closure: Option<Figure>,
    /// Median length of an empty phase.
    pub mark_us: Option<f64>,
    /// Median plain step, in the device's time.
    pub plain_step_us: Option<f64>,
    /// Median plain step launched live, in the host's time.
    pub wall_step_us: Option<f64>,
    /// The batches of all ranks over the median plain step.
    pub images_per_s: Option<f64>,
}

/// The statistics of everything in one [`Measured`].
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Number of timed steps.
    pub samples: usize,
    /// In the order of [`Measured::ops`].
    pub ops: Vec<PartSummary>,
    /// In the order of [`Scope::of`].
    pub totals: Vec<(Scope, PartSummary)>,
    /// Figures that only the whole step has.
    pub step: StepFigures,
    /// The groups in steps with few marks, where there were enough of them.
    pub grouped: Option<Grouped>,
}

/// The groups in steps that are marked only where the group changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grouped {
    /// Mean µs and share of each group, in the order of [`Group::ALL`].
    pub groups: [(f64, Figure); 3],
    /// Mean µs of such a step.
    pub step_us: f64,
    /// Such a step over the plain step beside it.
    pub closure: Option<Figure>,
}

/// Fewer grouped steps say nothing.
pub const LEAST_GROUPED: usize = stats::MEDIAN_SAMPLES;

/// A step with marks takes as long as a plain one, but for this part.
const CLOSED: f64 = 0.03;

/// Tells if a step with marks is about as long as a plain one.
pub fn is_closed(closure: f64) -> bool {
    (1.0 - CLOSED..1.0 + CLOSED).contains(&closure)
}

impl Scope {
    /// The whole step.
    pub const STEP: Scope = Scope { group: None, phase: None };

    /// The totals that a plan's operations have: by group, then by phase, each group's own total after its phases. The
    /// whole step comes last.
    pub fn of(plan: &Plan, ops: &[Op]) -> Vec<Scope> {
        Scope::every().filter(|scope| *scope == Scope::STEP || ops.iter().any(|&op| scope.holds(plan, op))).collect()
    }

    /// All that there can be, in the same order.
    pub fn every() -> impl Iterator<Item = Scope> {
        let groups = Group::ALL.map(Some).into_iter().chain([None]);
        groups.flat_map(|group| Phase::ALL.map(Some).into_iter().chain([None]).map(move |phase| Scope { group, phase }))
    }

    /// Tells if this is the whole step.
    pub fn is_step(self) -> bool {
        self == Scope::STEP
    }

    /// `conv/forward`, `all/weight_update`, `all/all`.
    pub fn name(self) -> String {
        let group = self.group.map_or("all", Group::name);
        let phase = self.phase.map_or("all", Phase::name);
        format!("{group}/{phase}")
    }

    /// Tells if an operation counts in this total.
    pub fn holds(self, plan: &Plan, op: Op) -> bool {
        self.group.is_none_or(|group| group == plan.layers[op.layer].group())
            && self.phase.is_none_or(|phase| phase == op.phase)
    }
}

impl Summary {
    /// `None` without samples, or with one that is not finite.
    pub fn of(measured: &Measured) -> Option<Summary> {
        let Measured { plan, ops, samples, .. } = measured;
        let steps: Vec<f64> = samples.iter().map(|sample| sample.total_us()).collect();
        let part = |holds: &dyn Fn(Op) -> bool| {
            let of_sample = |phases: &[f64]| {
                ops.iter().zip(phases).filter(|&(&op, _)| holds(op)).map(|(_, duration)| duration).sum::<f64>()
            };
            let durations: Vec<f64> = samples.iter().map(|sample| of_sample(&sample.phases_us)).collect();
            Some(PartSummary {
                duration: stats::SampleSummary::of(&durations)?,
                share: stats::share(&durations, &steps)?,
            })
        };
        let ops_parts = ops.iter().map(|&wanted| part(&|op| op == wanted)).collect::<Option<Vec<PartSummary>>>()?;
        let totals = Scope::of(plan, ops)
            .into_iter()
            .map(|scope| Some((scope, part(&|op| scope.holds(plan, op))?)))
            .collect::<Option<Vec<_>>>()?;
        let (step, grouped) = (StepFigures::of(measured, &steps), Grouped::of(measured));
        Some(Summary { samples: samples.len(), ops: ops_parts, totals, step, grouped })
    }
}

impl Grouped {
    fn of(Measured { grouped, .. }: &Measured) -> Option<Grouped> {
        if grouped.len() < LEAST_GROUPED {
            return None;
        }
        let steps: Vec<f64> = grouped.iter().map(GroupedSample::total_us).collect();
        let plain: Vec<f64> = grouped.iter().map(|sample| sample.plain_us).collect();
        let mean = |us: &[f64]| Some(stats::SampleSummary::of(us)?.mean);
        let group = |group: Group| {
            let us: Vec<f64> = grouped.iter().map(|sample| sample.groups_us[group as usize]).collect();
            Some((mean(&us)?, stats::share(&us, &steps)?))
        };
        let [conv, fc, other] = Group::ALL.map(group);
        Some(Grouped { groups: [conv?, fc?, other?], step_us: mean(&steps)?, closure: stats::closure(&steps, &plain) })
    }
}

impl Summary {
    /// The statistics of a total; `None` where no operation counts in it.
    pub fn total(&self, scope: Scope) -> Option<&PartSummary> {
        self.totals.iter().find(|(of, _)| *of == scope).map(|(_, part)| part)
    }

    /// The mean share of a group in the step, in percent; 0 of a group without layers. Where marks stretch a timed step, that in steps with
    /// few marks.
    pub fn share(&self, group: Group) -> f64 {
        let stretched = self.step.closure.is_some_and(|closure| !is_closed(closure.value));
        if let Some(grouped) = self.grouped.filter(|_| stretched) {
            return grouped.groups[group as usize].1.value;
        }
        self.total(Scope { group: Some(group), phase: None }).map_or(0.0, |part| part.share.value)
    }
}

impl StepFigures {
    fn of(measured: &Measured, steps: &[f64]) -> StepFigures {
        let median = |samples: &[f64]| stats::SampleSummary::of(samples).map(|summary| summary.median);
        let marks: Vec<f64> = measured.samples.iter().map(|sample| sample.mark_us).collect();
        let images = measured.plan.batch * measured.plan.share.ranks;
        let [plain_step_us, wall_step_us] = [&measured.plain_us, &measured.wall_us].map(|us| median(us));
        StepFigures {
            closure: stats::closure(steps, &measured.plain_us),
            mark_us: median(&marks),
            plain_step_us,
            wall_step_us,
            images_per_s: plain_step_us.map(|plain| images as f64 / plain * 1e6),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::report::fixture;
    use crate::step::Sample;

    fn total(summary: &Summary, group: Option<Group>, phase: Option<Phase>) -> PartSummary {
        summary.totals.iter().find(|(scope, _)| *scope == Scope { group, phase }).unwrap().1
    }

    /// Two steps of `small`: conv1 and fc2 have no other input gradient than fc2's, relu1 has one.
    /// Forward conv1 10, relu1 2, fc2 4, loss 1; backward loss 1, fc2 weights 6 and data 5, relu1 3, conv1 weights 12;
    /// update conv1 2, fc2 4: 50 µs. The second step takes 2 µs longer in conv1's forward and 2 less in fc2's.
    #[test]
    fn small_step_by_hand() {
        let summary = Summary::of(&fixture::measured(1)).unwrap();
        let conv = total(&summary, Some(Group::Conv), None);
        assert_eq!((conv.duration.mean, conv.duration.min, conv.duration.max), (25.0, 24.0, 26.0));
        assert_eq!(conv.share.value, 50.0);
        let fc_forward = total(&summary, Some(Group::Fc), Some(Phase::Forward));
        assert_eq!((fc_forward.duration.mean, fc_forward.share.value), (3.0, 6.0));
        assert_eq!(total(&summary, None, Some(Phase::WeightUpdate)).duration.mean, 6.0);
        assert_eq!(total(&summary, None, None).share.value, 100.0);
        assert!(summary.totals.last().unwrap().0.is_step());
        // Plain steps of 50 and 40 µs: ratios 1 and 1.25. Wall 80 and 120: median 100 µs for one image.
        assert_eq!(summary.step.closure.unwrap().value, 1.125);
        assert_eq!(summary.step.mark_us, Some(0.5));
        assert_eq!(summary.step.plain_step_us, Some(45.0));
        assert_eq!(summary.step.images_per_s, Some(1e6 / 45.0));
    }

    #[test]
    fn a_phase_that_no_layer_has_is_no_total() {
        let measured = fixture::measured(1);
        let scopes = Scope::of(&measured.plan, &measured.ops);
        assert!(!scopes.contains(&Scope { group: Some(Group::Conv), phase: Some(Phase::BackwardData) }));
        assert!(!scopes.contains(&Scope { group: Some(Group::Other), phase: Some(Phase::WeightUpdate) }));
        // conv 3 + its total, fc 4 + 1, other 2 + 1, all 4 + 1.
        assert_eq!(scopes.len(), 4 + 5 + 3 + 5);
    }

    #[test]
    fn no_samples_no_summary() {
        assert_eq!(Summary::of(&fixture::out_of_memory(8)), None);
    }

    proptest! {
        /// Shares add up to 100 ± 0.01, and means from layers to groups to the step.
        #[test]
        fn parts_add_up(steps in prop::collection::vec(prop::collection::vec(0.01f64..1e6, 11), 1..40)) {
            let mut measured = fixture::measured(4);
            measured.samples = steps.into_iter().map(|phases_us| Sample { phases_us, mark_us: 0.1 }).collect();
            let summary = Summary::of(&measured).unwrap();
            let step = total(&summary, None, None);
            let close = |sum: f64, whole: f64| (sum - whole).abs() <= 1e-9 * whole;
            prop_assert!((summary.ops.iter().map(|op| op.share.value).sum::<f64>() - 100.0).abs() < 0.01);
            prop_assert!(close(summary.ops.iter().map(|op| op.duration.mean).sum(), step.duration.mean));
            let groups = Group::ALL.map(|group| total(&summary, Some(group), None));
            prop_assert!((groups.iter().map(|group| group.share.value).sum::<f64>() - 100.0).abs() < 0.01);
            prop_assert!(close(groups.iter().map(|group| group.duration.mean).sum(), step.duration.mean));
            for (group, whole) in Group::ALL.into_iter().zip(groups) {
                let phases = summary.totals.iter().filter(|(scope, _)| scope.group == Some(group) && scope.phase.is_some());
                prop_assert!(close(phases.map(|(_, part)| part.duration.mean).sum(), whole.duration.mean));
            }
        }
    }
}
