//! From a prediction to rows. What only a measurement gives stays empty: samples, intervals, spread, clocks.
//!
//! The status is always `predicted`, the first in the contract's order that holds. Where the GPU's memory does not hold the
//! step, the figures are empty and `planned_bytes` says why.

use super::build::figure;
use super::*;
use crate::device::Ceilings;
use crate::predict::{Predicted, PredictedPhase};

/// One row per layer and phase, layer by layer.
pub fn predicted_phases(labels: &Labels, predicted: &Predicted) -> Vec<PhaseRow> {
    let total_us = predicted.total_us();
    let row = |phase: &PredictedPhase| {
        let layer = &predicted.plan.layers[phase.op.layer];
        let us = predicted.fits.then_some(phase.us);
        PhaseRow {
            labels: labels.clone(),
            batch: predicted.plan.batch,
            image: image_name(predicted.plan.image()),
            layer_index: phase.op.layer,
            layer: layer.name.clone(),
            kind: layer.kind.name().into(),
            group: layer.group(),
            phase: phase.op.phase,
            status: Status::Predicted,
            samples: None,
            duration: us.map(DurationColumns::predicted).unwrap_or_default(),
            share: us.map(|us| ShareColumns::predicted(us, total_us)).unwrap_or_default(),
            flops: phase.cost.flops,
            bytes: phase.cost.bytes,
            roof: us.map(|_| RoofColumns::predicted(phase, predicted.ceilings)).unwrap_or_default(),
            algorithm: None,
            workspace_bytes: None,
            parameters: layer.parameters(),
            sm_clock_mhz: None,
            mem_clock_mhz: None,
            temperature_c: None,
            throttled_samples: None,
        }
    };
    predicted.phases.iter().map(row).collect()
}

/// One row per total, the step's last.
pub fn predicted_summary(labels: &Labels, predicted: &Predicted) -> Vec<SummaryRow> {
    let ops: Vec<_> = predicted.phases.iter().map(|phase| phase.op).collect();
    let total_us = predicted.total_us();
    let row = |scope: Scope| {
        let within = predicted.phases.iter().filter(|phase| scope.holds(&predicted.plan, phase.op));
        let us = predicted.fits.then_some(within.map(|phase| phase.us).sum::<f64>());
        let duration = us.map(DurationColumns::predicted).unwrap_or_default();
        SummaryRow {
            labels: labels.clone(),
            batch: predicted.plan.batch,
            image: image_name(predicted.plan.image()),
            group: scope.group,
            phase: scope.phase,
            status: Status::Predicted,
            samples: None,
            mean_us: duration.mean_us,
            median_us: duration.median_us,
            ci95_low_us: None,
            ci95_high_us: None,
            share: us.map(|us| ShareColumns::predicted(us, total_us)).unwrap_or_default(),
            step: if scope.is_step() { StepColumns::predicted(predicted) } else { StepColumns::default() },
        }
    };
    Scope::of(&predicted.plan, &ops).into_iter().map(row).collect()
}

impl DurationColumns {
    /// One figure stands for the mean and the median alike.
    fn predicted(us: f64) -> DurationColumns {
        DurationColumns { median_us: figure(us), mean_us: figure(us), ..DurationColumns::default() }
    }
}

impl ShareColumns {
    fn predicted(us: f64, total_us: f64) -> ShareColumns {
        ShareColumns { share_pct: figure(100.0 * us / total_us), ..ShareColumns::default() }
    }
}

impl RoofColumns {
    /// Against the datasheet's peaks.
    fn predicted(phase: &PredictedPhase, ceilings: Ceilings) -> RoofColumns {
        let (flops, bytes) = (phase.cost.flops as f64, phase.cost.bytes as f64);
        let roof_us = (flops / ceilings.gemm_flops_per_s).max(bytes / ceilings.copy_bytes_per_s) * 1e6;
        RoofColumns {
            gflops_per_s: figure(flops / phase.us / 1e3),
            gbytes_per_s: figure(bytes / phase.us / 1e3),
            bound: Some(phase.bound),
            roof_pct: figure(100.0 * roof_us / phase.us),
        }
    }
}

impl StepColumns {
    fn predicted(predicted: &Predicted) -> StepColumns {
        let images_per_s = predicted.plan.batch as f64 / predicted.total_us() * 1e6;
        StepColumns {
            images_per_s: figure(images_per_s).filter(|_| predicted.fits),
            planned_bytes: Some(predicted.planned_bytes),
            ..StepColumns::default()
        }
    }
}
