//! Literal measurements for the reports' tests.

use tempfile::TempDir;

use super::folder::Folder;
use super::header::{Header, MachineFacts, Measuring, Processor};
use super::rows::build::Batch;
use super::rows::{LabelColumns, PhaseRow, StepColumns, SummaryRow};
use super::run::{Figures, LayerPart, Measurement, Origin, Point, Run, Total};
use crate::device::{Algorithm, Ceilings, Training, Transform};
use crate::model::Model;
use crate::model::kind::Group;
use crate::plan::{Options, Phase, Plan};
use crate::profile::conditions::{Conditions, Observed};
use crate::profile::summary::{Scope, Summary};
use crate::profile::{Measured, Status};
use crate::stats::Interval;
use crate::step::{Sample, Step};

const SMALL: &str = r#"
name = "small"
input = [1, 4, 4]
[[layer]]
name = "conv1"
kind = "conv"
channels = 2
kernel = 3
[[layer]]
name = "relu1"
kind = "relu"
[[layer]]
name = "fc2"
kind = "fc"
outputs = 3
[[layer]]
name = "loss"
kind = "softmax_loss"
"#;

/// Two steps of a network with one layer of each group and a loss, 50 µs each.
pub fn measured(batch: usize) -> Measured {
    let model = Model::parse(SMALL, "small").unwrap();
    let step = Step::new(Plan::new(&model, Options::of_batch(batch)).unwrap());
    let sample = |conv1: f64, fc2: f64| Sample {
        phases_us: vec![conv1, 2.0, fc2, 1.0, 1.0, 6.0, 5.0, 3.0, 12.0, 2.0, 4.0],
        mark_us: 0.5,
    };
    let mut algorithms = vec![None; step.ops.len()];
    algorithms[0] = Some(Algorithm { name: "direct".into(), workspace_bytes: 64, transform: Transform::Plain });
    Measured {
        plan: step.plan,
        ops: step.ops,
        status: Status::Ok,
        algorithms,
        samples: vec![sample(10.0, 4.0), sample(12.0, 2.0)],
        plain_us: vec![50.0, 40.0],
        grouped: Vec::new(),
        wall_us: vec![80.0, 120.0],
        rank_spread_pct: Vec::new(),
        observed: Observed {
            conditions: Conditions { temperature_c: Some(61.0), ..Conditions::default() },
            ..Observed::default()
        },
        planned_bytes: 4096,
        measured_bytes: Some(5000),
    }
}

/// The same where the memory does not hold the step.
pub fn out_of_memory(batch: usize) -> Measured {
    Measured {
        status: Status::OutOfMemory,
        samples: Vec::new(),
        plain_us: Vec::new(),
        wall_us: Vec::new(),
        rank_spread_pct: Vec::new(),
        observed: Observed::default(),
        measured_bytes: None,
        ..measured(batch)
    }
}

/// A run of these that begins, without points.
pub fn run(samples: bool) -> Run {
    let measurement = Measurement {
        threads: Some(2),
        training: Training { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, seed: 1, dropout: true },
        measuring: Measuring { target: 0.01, max_time_s: 15.0, min_samples: 10, warm_up_s: None },
        samples,
    };
    let origin = Origin::Measured {
        device: "A processor, with a comma".into(),
        layout: "nchw".into(),
        launch: "direct".into(),
        measurement: Some(measurement),
    };
    // 1 µs for 1000 operations or for 100 bytes.
    let ceilings = Ceilings { gemm_flops_per_s: 1e9, copy_bytes_per_s: 1e8, copied_bytes: None };
    let cpu = Processor { model: "A processor".into(), threads: 4 };
    let machine = MachineFacts { cpu, ..MachineFacts::default() };
    Run::new("small", "f32", origin, Header { machine, ..Header::begin(SMALL, ceilings) })
}

/// The rows of a batch.
pub fn rows(labels: &LabelColumns, measured: &Measured) -> (Vec<PhaseRow>, Vec<SummaryRow>) {
    let roofline = run(false).header.unwrap().roofline();
    let summary = Summary::of(measured);
    let batch = Batch::measured(measured, summary.as_ref(), roofline, Vec::new());
    (batch.phases(labels), batch.summary(labels))
}

/// A run's folder with these batches.
pub fn folder(run: Run, measured: impl IntoIterator<Item = Measured>) -> (TempDir, Folder) {
    // Flushing thousands of files takes minutes on a disk and no time in memory.
    let out = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let mut folder = Folder::create(out.path(), run).unwrap();
    measured.into_iter().for_each(|measured| folder.append(&measured).unwrap());
    (out, folder)
}

/// How a measured run was measured.
pub fn measurement(run: &mut Run) -> &mut Measurement {
    match &mut run.origin {
        Origin::Measured { measurement: Some(measurement), .. } => measurement,
        other => panic!("{other:?} tells of no measurement"),
    }
}

/// The head of a run.
pub fn header(run: &mut Run) -> &mut Header {
    run.header.as_mut().unwrap()
}

/// One phase that takes the whole of a step of 1 µs.
pub fn part() -> LayerPart {
    let figures = Figures {
        samples: 10,
        mean_us: 1.0,
        stddev_us: None,
        median_us: None,
        median_ci95: None,
        share_pct: 100.0,
        share_ci95: None,
    };
    LayerPart {
        index: 0,
        layer: "conv1".into(),
        kind: "conv".into(),
        group: Group::Conv,
        phase: Phase::Forward,
        flops: 144,
        bytes: 176,
        parameters: 20,
        figures,
    }
}

/// A built-in network whose phases take as long as their operations do, and at least a little.
pub fn built_in(model: &str, batches: &[usize]) -> Run {
    let model = Model::named(model).unwrap();
    let point = |&batch: &usize| {
        let plan = Plan::new(&model, Options::of_batch(batch)).unwrap();
        let phases =
            plan.layers.iter().enumerate().flat_map(|(index, layer)| layer.phases().map(move |phase| (index, phase)));
        let us = |index: usize, phase: Phase| {
            let cost = plan.layers[index].cost(phase);
            20.0 + cost.flops as f64 / 1e5 + cost.bytes as f64 / 1e4
        };
        let phases: Vec<(usize, Phase)> = phases.collect();
        let step: f64 = phases.iter().map(|&(index, phase)| us(index, phase)).sum();
        let figures = |us: f64| Figures {
            samples: 10,
            mean_us: us,
            stddev_us: Some(0.02 * us),
            median_us: Some(us),
            median_ci95: Some(Interval { low: 0.9 * us, high: 1.1 * us }),
            share_pct: 100.0 * us / step,
            share_ci95: Some(Interval { low: 98.0 * us / step, high: 102.0 * us / step }),
        };
        let parts: Vec<LayerPart> = phases
            .iter()
            .map(|&(index, phase)| {
                let layer = &plan.layers[index];
                let cost = layer.cost(phase);
                LayerPart {
                    index: index as u32,
                    layer: (&*layer.name).into(),
                    kind: layer.kind.name().into(),
                    group: layer.group(),
                    phase,
                    flops: cost.flops,
                    bytes: cost.bytes,
                    parameters: layer.parameters(),
                    figures: figures(us(index, phase)),
                }
            })
            .collect();
        let totals = Scope::every().map(|scope| {
            let of_scope = parts.iter().filter(|part| part.is_in(scope));
            Total { scope, figures: figures(of_scope.map(|part| part.figures.mean_us).sum()) }
        });
        let totals = totals.collect();
        let step = StepColumns::default();
        Point { parts, totals, step, ..Point::new(batch, "224x224".into(), Status::Ok) }
    };
    let origin = Origin::Measured {
        device: "A graphics processor with a long name 80GB".into(),
        layout: "nchw".into(),
        launch: "queued".into(),
        measurement: None,
    };
    let (run_id, precision) = (model.name.clone(), "f32".into());
    let points = batches.iter().map(point).collect();
    Run { path: "run".into(), run_id, model: model.name, precision, origin, header: None, points }
}
