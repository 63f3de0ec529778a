//! From a batch, measured or predicted, to its rows. Figures that are not finite become `None`.

use super::*;
use crate::plan::roofline::giga_per_s;
use crate::plan::{Plan, Roofline, image_name};
use crate::predict::Predicted;
use crate::profile::Measured;
use crate::profile::conditions::Conditions;
use crate::profile::summary::{Grouped, PartSummary, Summary};
use crate::report::run_file::PointRecord;
use crate::stats::{self, Figure, Interval};
use crate::step::Op;

/// One batch and image size on the way to its rows: a measurement with its statistics, or a prediction.
pub struct Batch<'a> {
    plan: &'a Plan,
    status: StatusWord,
    samples: Option<usize>,
    /// Layer by layer, and in each by phase.
    phases: Vec<PhaseTime<'a>>,
    /// In the order of [`Scope::of`].
    totals: Vec<(Scope, Time)>,
    step: StepColumns,
    grouped: Option<Grouped>,
    conditions: Conditions,
    /// The rates that phases are held against.
    roofline: Roofline,
    closure: Option<Figure>,
    notes: Vec<String>,
}

struct PhaseTime<'a> {
    op: Op,
    time: Time,
    /// `None` without a time.
    bound: Option<Bound>,
    algorithm: Option<&'a str>,
    workspace_bytes: Option<u64>,
    rank_spread_pct: Option<f64>,
}

/// The time of a phase or total; all of it is `None` where nothing was measured.
#[derive(Clone, Copy, Default)]
struct Time {
    /// As it was measured, for what is computed from it.
    median_us: Option<f64>,
    stddev_us: Option<f64>,
    duration: DurationColumns,
    share: ShareColumns,
}

impl<'a> Batch<'a> {
    /// A measured batch; `notes` are for a reader of its figures.
    pub fn measured(
        measured: &'a Measured,
        summary: Option<&Summary>,
        roofline: Roofline,
        notes: Vec<String>,
    ) -> Batch<'a> {
        let plan = &measured.plan;
        let phase = |index: usize| {
            let (op, algorithm) = (measured.ops[index], measured.algorithms.get(index).and_then(Option::as_ref));
            let time = summary.map(|summary| Time::measured(&summary.ops[index])).unwrap_or_default();
            PhaseTime {
                op,
                time,
                bound: time.median_us.map(|us| roofline.bound(plan.layers[op.layer].cost(op.phase), us)),
                algorithm: algorithm.map(|algorithm| &*algorithm.name),
                workspace_bytes: algorithm.map(|algorithm| algorithm.workspace_bytes),
                rank_spread_pct: measured.rank_spread_pct.get(index).copied(),
            }
        };
        let totals = match summary {
            Some(summary) => summary.totals.iter().map(|(scope, part)| (*scope, Time::measured(part))).collect(),
            None => Scope::of(plan, &measured.ops).into_iter().map(|scope| (scope, Time::default())).collect(),
        };
        Batch {
            plan,
            status: StatusWord::Of(measured.status),
            samples: summary.map(|summary| summary.samples),
            phases: by_layer(measured).into_iter().map(phase).collect(),
            totals,
            step: StepColumns::measured(measured, summary),
            grouped: summary.and_then(|summary| summary.grouped),
            conditions: measured.observed.conditions,
            roofline,
            closure: summary.and_then(|summary| summary.step.closure),
            notes,
        }
    }

    /// A predicted batch; its intervals come from errors of predictions. What only a measurement gives stays empty: samples, spread,
    /// clocks. Where the GPU's memory does not hold the step, all figures are, and `planned_bytes` says why.
    pub fn predicted(predicted: &'a Predicted) -> Batch<'a> {
        let fits = predicted.fits;
        let time = |within: &dyn Fn(Op) -> bool| {
            if fits { Time::predicted(predicted, within) } else { Time::default() }
        };
        let phases = predicted.phases.iter().map(|phase| PhaseTime {
            op: phase.op,
            time: time(&|op| op == phase.op),
            bound: Some(phase.bound).filter(|_| fits),
            algorithm: None,
            workspace_bytes: None,
            rank_spread_pct: None,
        });
        let ops: Vec<Op> = predicted.phases.iter().map(|phase| phase.op).collect();
        let total = |scope: Scope| (scope, time(&|op| scope.holds(&predicted.plan, op)));
        let ceilings = predicted.ceilings;
        Batch {
            plan: &predicted.plan,
            status: StatusWord::Predicted,
            samples: None,
            phases: phases.collect(),
            totals: Scope::of(&predicted.plan, &ops).into_iter().map(total).collect(),
            step: StepColumns::predicted(predicted),
            grouped: None,
            conditions: Conditions::default(),
            roofline: ceilings.roofline(),
            closure: None,
            notes: if fits { Vec::new() } else { vec!["does not fit in the GPU's memory".into()] },
        }
    }

    /// One row per layer and phase, layer by layer.
    pub fn phases(&self, labels: &LabelColumns) -> Vec<PhaseRow> {
        let point = self.point(labels);
        let row = |phase: &PhaseTime| {
            let layer = &self.plan.layers[phase.op.layer];
            let cost = layer.cost(phase.op.phase);
            PhaseRow {
                point: point.clone(),
                layer_index: phase.op.layer,
                layer: layer.name.clone(),
                kind: layer.kind.name().into(),
                group: layer.group(),
                phase: phase.op.phase,
                status: self.status,
                samples: self.samples,
                duration: phase.time.duration,
                share: phase.time.share,
                flops: Some(cost.flops),
                bytes: Some(cost.bytes),
                roof: phase.time.median_us.map_or_else(RoofColumns::default, |us| RoofColumns {
                    gflops_per_s: figure(giga_per_s(cost.flops, us)),
                    gbytes_per_s: figure(giga_per_s(cost.bytes, us)),
                    bound: phase.bound,
                    roof_pct: figure(100.0 * self.roofline.roof_us(cost) / us),
                }),
                algorithm: phase.algorithm.map(Into::into),
                workspace_bytes: phase.workspace_bytes,
                parameters: Some(layer.parameters()),
                conditions: ConditionColumns::of(self.conditions),
                together: RankColumns {
                    ranks: Some(self.plan.share.ranks).filter(|&ranks| ranks > 1),
                    rank_spread_pct: phase.rank_spread_pct.and_then(figure),
                },
            }
        };
        self.phases.iter().map(row).collect()
    }

    /// One row per total, the step's last.
    pub fn summary(&self, labels: &LabelColumns) -> Vec<SummaryRow> {
        let point = self.point(labels);
        let row = |(scope, time): &(Scope, Time)| SummaryRow {
            point: point.clone(),
            group: OrAll(scope.group),
            phase: OrAll(scope.phase),
            status: self.status,
            samples: self.samples,
            duration: time.duration.without_spread(),
            share: time.share,
            step: if scope.is_step() { self.step } else { StepColumns::default() },
            grouped: self.grouped.map_or_else(GroupedColumns::default, |grouped| GroupedColumns::of(grouped, *scope)),
        };
        self.totals.iter().map(row).collect()
    }

    /// The part of `run.json` that is about this batch.
    pub fn record(&self) -> PointRecord {
        let stddev = |(scope, time): &(Scope, Time)| Some((scope.name(), time.stddev_us?));
        PointRecord {
            batch: self.plan.batch,
            image: image_name(self.plan.image()),
            status: self.status.name().into(),
            phases: self.phases.len(),
            closure: self.closure.map(|closure| closure.value),
            closure_ci95: self.closure.and_then(|closure| closure.ci95).map(|ends| [ends.low, ends.high]),
            stddev_us: self.totals.iter().filter_map(stddev).collect(),
            notes: self.notes.clone(),
        }
    }

    fn point(&self, labels: &LabelColumns) -> PointColumns {
        PointColumns { labels: labels.clone(), batch: self.plan.batch, image: image_name(self.plan.image()) }
    }
}

/// One row per timed step and phase, step by step and in it layer by layer.
pub fn samples<'a>(labels: &LabelColumns, measured: &'a Measured) -> impl Iterator<Item = SampleRow> + 'a {
    let image = image_name(measured.plan.image());
    let point = PointColumns { labels: labels.clone(), batch: measured.plan.batch, image };
    let order = by_layer(measured);
    let indices =
        (0..measured.samples.len()).flat_map(move |sample| order.clone().into_iter().map(move |op| (sample, op)));
    indices.map(move |(sample, index)| {
        let op = measured.ops[index];
        let layer = &measured.plan.layers[op.layer];
        SampleRow {
            point: point.clone(),
            sample,
            layer_index: op.layer,
            layer: layer.name.clone(),
            kind: layer.kind.name().into(),
            group: layer.group(),
            phase: op.phase,
            duration_us: figure(measured.samples[sample].phases_us[index]),
        }
    })
}

/// The operations' indices, layer by layer and in each by phase.
fn by_layer(measured: &Measured) -> Vec<usize> {
    let mut order: Vec<usize> = (0..measured.ops.len()).collect();
    order.sort_by_key(|&index| (measured.ops[index].layer, measured.ops[index].phase));
    order
}

/// Rounds to six decimals (a picosecond, a millionth of a percent), which drops the noise of binary fractions; `None` unless finite.
fn figure(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 1e6).round() / 1e6)
}

fn ends(interval: Option<Interval>) -> (Option<f64>, Option<f64>) {
    (interval.and_then(|ends| figure(ends.low)), interval.and_then(|ends| figure(ends.high)))
}

impl Time {
    fn measured(part: &PartSummary) -> Time {
        let PartSummary { duration, share } = part;
        Time {
            median_us: Some(duration.median),
            stddev_us: duration.stddev,
            duration: DurationColumns::of(duration),
            share: ShareColumns::of(share),
        }
    }

    /// Of some phases. One figure stands for the mean and the median alike.
    fn predicted(predicted: &Predicted, within: &dyn Fn(Op) -> bool) -> Time {
        let us: f64 = predicted.phases.iter().filter(|phase| within(phase.op)).map(|phase| phase.us).sum();
        let (ci95_low_us, ci95_high_us) = ends(Some(predicted.interval_us(within)));
        let (share_ci95_low_pct, share_ci95_high_pct) = ends(Some(predicted.interval_pct(within)));
        let (median_us, mean_us) = (figure(us), figure(us));
        let share_pct = figure(100.0 * us / predicted.total_us());
        Time {
            median_us: Some(us),
            stddev_us: None,
            duration: DurationColumns { median_us, mean_us, ci95_low_us, ci95_high_us, ..DurationColumns::default() },
            share: ShareColumns { share_pct, share_ci95_low_pct, share_ci95_high_pct },
        }
    }
}

impl DurationColumns {
    fn of(duration: &stats::SampleSummary) -> DurationColumns {
        let (ci95_low_us, ci95_high_us) = ends(duration.ci95);
        DurationColumns {
            median_us: figure(duration.median),
            ci95_low_us,
            ci95_high_us,
            mean_us: figure(duration.mean),
            stddev_us: duration.stddev.and_then(figure),
            min_us: figure(duration.min),
            q1_us: figure(duration.q1),
            q3_us: figure(duration.q3),
            max_us: figure(duration.max),
        }
    }
}

impl DurationColumns {
    /// The columns that summary.csv has.
    fn without_spread(self) -> DurationColumns {
        let DurationColumns { median_us, ci95_low_us, ci95_high_us, mean_us, .. } = self;
        DurationColumns { median_us, ci95_low_us, ci95_high_us, mean_us, ..DurationColumns::default() }
    }
}

impl ShareColumns {
    fn of(share: &Figure) -> ShareColumns {
        let (share_ci95_low_pct, share_ci95_high_pct) = ends(share.ci95);
        ShareColumns { share_pct: figure(share.value), share_ci95_low_pct, share_ci95_high_pct }
    }
}

impl ConditionColumns {
    fn of(conditions: Conditions) -> ConditionColumns {
        ConditionColumns {
            sm_clock_mhz: conditions.sm_clock_mhz.and_then(figure),
            mem_clock_mhz: conditions.mem_clock_mhz.and_then(figure),
            temperature_c: conditions.temperature_c.and_then(figure),
            throttled_samples: conditions.throttled_samples,
            power_capped_samples: conditions.power_capped_samples,
        }
    }
}

impl GroupedColumns {
    fn of(grouped: Grouped, Scope { group, phase }: Scope) -> GroupedColumns {
        match (group, phase) {
            (_, Some(_)) => GroupedColumns::default(),
            (None, None) => GroupedColumns {
                grouped_us: figure(grouped.step_us),
                share: ShareColumns { share_pct: Some(100.0), ..ShareColumns::default() },
                closure: grouped.closure.and_then(|closure| figure(closure.value)),
            },
            (Some(group), None) => {
                let (us, share) = grouped.groups[group as usize];
                GroupedColumns { grouped_us: figure(us), share: ShareColumns::of(&share), closure: None }
            }
        }
    }
}

impl StepColumns {
    fn measured(measured: &Measured, summary: Option<&Summary>) -> StepColumns {
        let step = summary.map(|summary| summary.step);
        StepColumns {
            closure: step.and_then(|step| figure(step.closure?.value)),
            mark_us: step.and_then(|step| figure(step.mark_us?)),
            plain_step_us: step.and_then(|step| figure(step.plain_step_us?)),
            wall_step_us: step.and_then(|step| figure(step.wall_step_us?)),
            images_per_s: step.and_then(|step| figure(step.images_per_s?)),
            planned_bytes: Some(measured.planned_bytes),
            measured_bytes: measured.measured_bytes,
        }
    }

    fn predicted(predicted: &Predicted) -> StepColumns {
        let images_per_s = predicted.plan.batch as f64 / predicted.total_us() * 1e6;
        StepColumns {
            images_per_s: figure(images_per_s).filter(|_| predicted.fits),
            planned_bytes: Some(predicted.planned_bytes),
            ..StepColumns::default()
        }
    }
}
