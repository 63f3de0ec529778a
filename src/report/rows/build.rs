//! From a measured batch and its statistics to rows. Figures that are not finite become `None`.

use super::*;
use crate::device::Ceilings;
use crate::plan::Cost;
use crate::profile::Measured;
use crate::profile::summary::{PartSummary, Summary};
use crate::stats::{self, Figure, Interval};

/// A phase that takes more than this many times what either ceiling asks for is bound by latency.
const LATENCY: f64 = 4.0;

/// One row per layer and phase, layer by layer.
pub fn phases(labels: &Labels, ceilings: &Ceilings, measured: &Measured, summary: Option<&Summary>) -> Vec<PhaseRow> {
    by_layer(measured)
        .into_iter()
        .map(|index| {
            let op = measured.ops[index];
            let layer = &measured.plan.layers[op.layer];
            let part = summary.map(|summary| &summary.ops[index]);
            let cost = layer.cost(op.phase);
            let algorithm = measured.algorithms.get(index).and_then(Option::as_ref);
            let conditions = measured.observed.conditions;
            PhaseRow {
                labels: labels.clone(),
                batch: measured.plan.batch,
                image: image_name(measured.plan.image()),
                layer_index: op.layer,
                layer: layer.name.clone(),
                kind: layer.kind.name().into(),
                group: layer.group(),
                phase: op.phase,
                status: measured.status,
                samples: summary.map(|summary| summary.samples),
                duration: part.map(|part| DurationColumns::of(&part.duration)).unwrap_or_default(),
                share: part.map(|part| ShareColumns::of(&part.share)).unwrap_or_default(),
                flops: cost.flops,
                bytes: cost.bytes,
                roof: part.map(|part| RoofColumns::of(cost, ceilings, part.duration.median)).unwrap_or_default(),
                algorithm: algorithm.map(|algorithm| algorithm.name.clone()),
                workspace_bytes: algorithm.map(|algorithm| algorithm.workspace_bytes),
                parameters: layer.parameters(),
                sm_clock_mhz: conditions.sm_clock_mhz.and_then(figure),
                mem_clock_mhz: conditions.mem_clock_mhz.and_then(figure),
                temperature_c: conditions.temperature_c.and_then(figure),
                throttled_samples: conditions.throttled_samples,
            }
        })
        .collect()
}

/// One row per total, the step's last.
pub fn summary(labels: &Labels, measured: &Measured, summary: Option<&Summary>) -> Vec<SummaryRow> {
    let parts: Vec<(Scope, Option<&PartSummary>)> = match summary {
        Some(summary) => summary.totals.iter().map(|(scope, part)| (*scope, Some(part))).collect(),
        None => Scope::of(&measured.plan, &measured.ops).into_iter().map(|scope| (scope, None)).collect(),
    };
    parts
        .into_iter()
        .map(|(scope, part)| {
            let duration = part.map(|part| DurationColumns::of(&part.duration)).unwrap_or_default();
            SummaryRow {
                labels: labels.clone(),
                batch: measured.plan.batch,
                image: image_name(measured.plan.image()),
                group: scope.group,
                phase: scope.phase,
                status: measured.status,
                samples: summary.map(|summary| summary.samples),
                mean_us: duration.mean_us,
                median_us: duration.median_us,
                ci95_low_us: duration.ci95_low_us,
                ci95_high_us: duration.ci95_high_us,
                share: part.map(|part| ShareColumns::of(&part.share)).unwrap_or_default(),
                step: if scope.is_step() { StepColumns::of(measured, summary) } else { StepColumns::default() },
            }
        })
        .collect()
}

/// One row per timed step and phase, step by step and in it layer by layer; `image` is [`image_name`]'s.
pub fn samples<'a>(
    labels: &'a Labels,
    image: &'a str,
    measured: &'a Measured,
) -> impl Iterator<Item = SampleRow<'a>> + 'a {
    let order = by_layer(measured);
    measured.samples.iter().enumerate().flat_map(move |(number, sample)| {
        let row = |index: usize| {
            let op = measured.ops[index];
            let layer = &measured.plan.layers[op.layer];
            SampleRow {
                labels,
                batch: measured.plan.batch,
                image,
                sample: number,
                layer_index: op.layer,
                layer: &layer.name,
                kind: layer.kind.name(),
                group: layer.group(),
                phase: op.phase,
                duration_us: figure(sample.phases_us[index]),
            }
        };
        order.iter().map(|&index| row(index)).collect::<Vec<_>>()
    })
}

/// The operations' indices, layer by layer and in each by phase.
fn by_layer(measured: &Measured) -> Vec<usize> {
    let mut order: Vec<usize> = (0..measured.ops.len()).collect();
    order.sort_by_key(|&index| (measured.ops[index].layer, measured.ops[index].phase));
    order
}

/// To six decimals (a picosecond, a millionth of a percent), which drops the noise of binary fractions; `None` unless finite.
pub(super) fn figure(value: f64) -> Option<f64> {
    value.is_finite().then(|| (value * 1e6).round() / 1e6)
}

fn ends(interval: Option<Interval>) -> (Option<f64>, Option<f64>) {
    (interval.and_then(|ends| figure(ends.low)), interval.and_then(|ends| figure(ends.high)))
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

impl ShareColumns {
    fn of(share: &Figure) -> ShareColumns {
        let (share_ci95_low_pct, share_ci95_high_pct) = ends(share.ci95);
        ShareColumns { share_pct: figure(share.value), share_ci95_low_pct, share_ci95_high_pct }
    }
}

impl RoofColumns {
    /// The roofline of Williams, Waterman and Patterson (2009), "Roofline: an insightful visual performance model":
    /// the ceiling that asks for the longer time is the roof.
    fn of(cost: Cost, ceilings: &Ceilings, median_us: f64) -> RoofColumns {
        let compute_us = cost.flops as f64 / ceilings.gemm_flops_per_s * 1e6;
        let memory_us = cost.bytes as f64 / ceilings.copy_bytes_per_s * 1e6;
        let roof_us = compute_us.max(memory_us);
        let bound = match (median_us > LATENCY * roof_us, compute_us >= memory_us) {
            (true, _) => Bound::Latency,
            (false, true) => Bound::Compute,
            (false, false) => Bound::Memory,
        };
        RoofColumns {
            gflops_per_s: figure(cost.flops as f64 / median_us / 1e3),
            gbytes_per_s: figure(cost.bytes as f64 / median_us / 1e3),
            bound: Some(bound),
            roof_pct: figure(100.0 * roof_us / median_us),
        }
    }
}

impl StepColumns {
    fn of(measured: &Measured, summary: Option<&Summary>) -> StepColumns {
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
}
