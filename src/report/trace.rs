//! One step on a timeline, as trace events in JSON for <https://ui.perfetto.dev> or `chrome://tracing`.
//!
//! Each run and image size is a process with one thread. Slices nest: the step, its passes (forward, backward, update), layers,
//! phases. A phase lasts its median, in the place that it has in a step; what holds phases lasts as long as they do together. The
//! format is the "Trace Event Format" of Chromium: complete events (`X`) with `ts` and `dur` in µs. Both are whole
//! nanoseconds, since Perfetto reads no less: rounding apart, neither gaps nor overlaps arise.

use std::collections::HashMap;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::plot;
use super::rows::PhaseRow;
use super::run::{Point, Run};
use crate::plan::Phase;
use crate::step::{self, Op};

/// The trace of the same batches that the charts by layer show: that of `batch`, or the largest whose shares are known. `rows` are
/// those of all the runs.
pub fn json(runs: &[Run], rows: &[PhaseRow], batch: Option<usize>) -> Result<Vec<u8>> {
    let mut events = Vec::new();
    let mut process = 0;
    for run in runs {
        for point in run.images().iter().filter_map(|image| plot::at(run, image, batch)) {
            process += 1;
            events.extend(names(run, point, process));
            events.extend(step_of(run, point, rows, process));
        }
    }
    let head =
        json!({ "program": concat!("layertime ", env!("CARGO_PKG_VERSION")), "durations": "medians of the phases" });
    Ok(serde_json::to_vec(&json!({ "displayTimeUnit": "ms", "otherData": head, "traceEvents": events }))?)
}

/// The names that a viewer shows beside the slices.
fn names(run: &Run, point: &Point, process: usize) -> [Value; 2] {
    let name = |kind: &str, name: String| json!({ "ph": "M", "name": kind, "pid": process, "tid": 1, "args": { "name": name } });
    let title = format!("{}, image {}, batch {}", run.heading(), point.image, point.batch);
    let what = if run.is_predicted() { "one predicted step" } else { "one median step" };
    [name("process_name", title), name("thread_name", what.into())]
}

/// The slices of a step, the outer before the inner.
fn step_of(run: &Run, point: &Point, rows: &[PhaseRow], process: usize) -> Vec<Value> {
    let phases = in_order(run, point, rows);
    let title = format!("step, batch {}", point.batch);
    let mut slices = Slices { events: Vec::new(), process };
    let status = run.status_word(point).name();
    let args = json!({ "run": run.run_id, "image": &*point.image, "status": status, "closure": point.step.closure });
    slices.holding(&title, "step", &phases, args);
    for pass in phases.chunk_by(|one, next| pass(one) == pass(next)) {
        slices.holding(pass_name(&pass[0]), "pass", pass, json!({}));
        for layer in pass.chunk_by(|one, next| one.row.layer_index == next.row.layer_index) {
            let PhaseRow { kind, group, parameters, .. } = layer[0].row;
            let args = json!({ "kind": kind, "group": group.name(), "parameters": parameters });
            slices.holding(&layer[0].row.layer, group.name(), layer, args);
            layer.iter().for_each(|phase| slices.phase(phase));
        }
    }
    slices.events
}

/// A phase in its place.
struct PlacedPhase<'a> {
    row: &'a PhaseRow,
    begin_ns: u64,
    ns: u64,
}

/// A point's phases in the order of the step. A layer is known by its place in the model.
fn in_order<'a>(run: &Run, point: &Point, rows: &'a [PhaseRow]) -> Vec<PlacedPhase<'a>> {
    let of_point = |row: &&PhaseRow| {
        let at = &row.point;
        at.labels.run_id == run.run_id && at.batch == point.batch && *at.image == *point.image
    };
    let rows: Vec<&PhaseRow> = rows.iter().filter(of_point).collect();
    let mut layers: Vec<usize> = rows.iter().map(|row| row.layer_index).collect();
    layers.sort_unstable();
    layers.dedup();
    let known: HashMap<(usize, Phase), &PhaseRow> =
        rows.iter().map(|row| ((row.layer_index, row.phase), *row)).collect();
    let row = |layer: usize, phase| known.get(&(layers[layer], phase)).copied();
    let mut begin_ns = 0;
    let placed = |Op { layer, phase }| {
        let row = row(layer, phase)?;
        let us = row.duration.median_us.or(row.duration.mean_us)?;
        let ns = (us * 1e3).round() as u64;
        let placed = PlacedPhase { row, begin_ns, ns };
        begin_ns += ns;
        Some(placed)
    };
    step::ordered(layers.len(), |layer, phase| row(layer, phase).is_some()).into_iter().filter_map(placed).collect()
}

/// The passes of a step.
#[derive(Clone, Copy, PartialEq)]
enum PassOfStep {
    Forward,
    Backward,
    Update,
}

fn pass(phase: &PlacedPhase) -> PassOfStep {
    match phase.row.phase {
        Phase::Forward => PassOfStep::Forward,
        Phase::BackwardData | Phase::BackwardWeights | Phase::AllReduce => PassOfStep::Backward,
        Phase::LossScale | Phase::WeightUpdate => PassOfStep::Update,
    }
}

fn pass_name(phase: &PlacedPhase) -> &'static str {
    match pass(phase) {
        PassOfStep::Forward => "forward pass",
        PassOfStep::Backward => "backward pass",
        PassOfStep::Update => "update",
    }
}

struct Slices {
    events: Vec<Value>,
    process: usize,
}

impl Slices {
    /// A slice over neighbouring phases; `args` are its own, beside the sums of theirs.
    fn holding(&mut self, name: &str, category: &str, phases: &[PlacedPhase], args: Value) {
        let sum = |field: fn(&PhaseRow) -> Option<u64>| phases.iter().filter_map(|phase| field(phase.row)).sum::<u64>();
        let share: f64 = phases.iter().filter_map(|phase| phase.row.share.share_pct).sum();
        let mut all =
            json!({ "flops": sum(|row| row.flops), "bytes": sum(|row| row.bytes), "share_pct": rounded(share) });
        if let (Some(all), Value::Object(own)) = (all.as_object_mut(), args) {
            all.extend(own);
        }
        let begin_ns = phases.first().map_or(0, |phase| phase.begin_ns);
        self.slice(name, category, begin_ns, phases.iter().map(|phase| phase.ns).sum(), all);
    }

    fn phase(&mut self, PlacedPhase { row, begin_ns, ns }: &PlacedPhase) {
        let PhaseRow { duration, share, roof, .. } = row;
        let args = json!({
            "layer": row.layer,
            "kind": row.kind,
            "group": row.group.name(),
            "flops": row.flops,
            "bytes": row.bytes,
            "algorithm": row.algorithm,
            "workspace_bytes": row.workspace_bytes,
            "share_pct": share.share_pct,
            "median_us": duration.median_us,
            "ci95_low_us": duration.ci95_low_us,
            "ci95_high_us": duration.ci95_high_us,
            "gflops_per_s": roof.gflops_per_s,
            "gbytes_per_s": roof.gbytes_per_s,
            "roof_pct": roof.roof_pct,
        });
        self.slice(row.phase.name(), row.group.name(), *begin_ns, *ns, args);
    }

    fn slice(&mut self, name: &str, category: &str, begin_ns: u64, ns: u64, args: Value) {
        let known = |args: Value| match args {
            Value::Object(args) => args.into_iter().filter(|(_, value)| !value.is_null()).collect(),
            _ => Map::new(),
        };
        let us = |ns: u64| ns as f64 / 1e3;
        self.events.push(json!({
            "ph": "X", "name": name, "cat": category, "pid": self.process, "tid": 1,
            "ts": us(begin_ns), "dur": us(ns), "args": known(args),
        }));
    }
}

/// To six digits after the point, as in the CSV files.
fn rounded(percent: f64) -> f64 {
    (percent * 1e6).round() / 1e6
}
