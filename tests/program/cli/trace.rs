//! `plot --trace`: a median step on a timeline. Expected durations are the medians in `phases.csv`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Program, Record, number, records};

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A complete event. Times are in nanoseconds, so that they are compared exactly.
struct Slice {
    name: String,
    process: u64,
    begin: i64,
    end: i64,
    args: Value,
}

struct Trace {
    slices: Vec<Slice>,
    /// The names of the processes.
    processes: Vec<String>,
}

fn trace(arguments: &str) -> Trace {
    let program = Program::new();
    let output = program.output(&format!("plot {arguments} --trace --out charts"));
    assert!(output.status.success(), "{output:?}");
    let file: PathBuf = program.folder.path().join("charts/trace.json");
    let json: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    let ns = |value: &Value| {
        let us = value.as_f64().unwrap();
        assert!((us * 1e3 - (us * 1e3).round()).abs() < 1e-3, "{us} µs is no whole number of nanoseconds");
        (us * 1e3).round() as i64
    };
    let of_kind = |kind: &'static str| events.iter().filter(move |event| event["ph"] == kind);
    let slices = of_kind("X").map(|event| Slice {
        name: event["name"].as_str().unwrap().into(),
        process: event["pid"].as_u64().unwrap(),
        begin: ns(&event["ts"]),
        end: ns(&event["ts"]) + ns(&event["dur"]),
        args: event["args"].clone(),
    });
    let names = of_kind("M").filter(|event| event["name"] == "process_name");
    let names = names.map(|event| event["args"]["name"].as_str().unwrap().to_owned());
    Trace { slices: slices.collect(), processes: names.collect() }
}

impl Trace {
    fn process(&self, process: u64) -> Vec<&Slice> {
        self.slices.iter().filter(|slice| slice.process == process).collect()
    }
}

/// The slices' depths. As a viewer does it: a slice belongs to the last one that is not over.
fn depths(slices: &[&Slice]) -> Vec<usize> {
    let mut open: Vec<&Slice> = Vec::new();
    let mut depths = Vec::new();
    for slice in slices {
        while open.len() > 3 || open.last().is_some_and(|last| last.end <= slice.begin && last.end > last.begin) {
            open.pop();
        }
        if let Some(outer) = open.last() {
            let inside = outer.begin <= slice.begin && slice.end <= outer.end;
            assert!(inside, "{} at {} overlaps {}", slice.name, slice.begin, outer.name);
        }
        depths.push(open.len());
        open.push(slice);
    }
    depths
}

fn rows(run: &Path, batch: &str, image: &str) -> Vec<Record> {
    let mut rows = records(&run.join("phases.csv"));
    rows.retain(|row| row["batch"] == batch && row["image"] == image);
    rows
}

/// The order that docs/measuring.md gives: forward, backward in reverse with the weights first, updates.
fn in_step_order(mut rows: Vec<Record>) -> Vec<Record> {
    rows.sort_by_key(|row| {
        let layer: i64 = row["layer_index"].parse().unwrap();
        match &*row["phase"] {
            "forward" => (0, layer, 0),
            "backward_weights" => (1, -layer, 0),
            "backward_data" => (1, -layer, 1),
            "weight_update" => (3, layer, 0),
            other => panic!("{other} in f32"),
        }
    });
    rows
}

fn assert_is_the_step(slices: &[&Slice], rows: Vec<Record>) {
    let depths = depths(slices);
    let at = |depth: usize| slices.iter().zip(&depths).filter(move |(_, at)| **at == depth).map(|(slice, _)| slice);
    let (rows, phases) = (in_step_order(rows), at(3).collect::<Vec<_>>());
    assert_eq!(phases.len(), rows.len());
    let mut end = 0;
    for (slice, row) in phases.iter().zip(&rows) {
        assert_eq!((&slice.name, slice.args["layer"].as_str().unwrap()), (&row["phase"], &*row["layer"]));
        let (ns, median) = ((slice.end - slice.begin) as f64, number(row, "median_us"));
        assert!((ns - median * 1e3).abs() <= 0.5 + 1e-6, "{ns} ns is not {median} µs: {row:?}");
        assert_eq!(slice.begin, end, "{row:?}");
        end = slice.end;
        for name in ["flops", "bytes", "share_pct"] {
            assert_eq!(slice.args[name].as_f64().unwrap(), number(row, name), "{name}: {row:?}");
        }
        assert_eq!(slice.args["group"], *row["group"]);
        assert_eq!(slice.args["algorithm"].as_str().unwrap_or_default(), row["algorithm"]);
    }
    let sum: f64 = rows.iter().map(|row| number(row, "median_us")).sum();
    let step: Vec<_> = at(0).collect();
    assert_eq!((step.len(), step[0].begin, step[0].end), (1, 0, end));
    assert!((end as f64 / 1e3 - sum).abs() < 0.001 * rows.len() as f64, "{end} ns, {sum} µs");
    let passes: Vec<&str> = at(1).map(|slice| &*slice.name).collect();
    assert_eq!(passes, ["forward pass", "backward pass", "update"]);
    for slice in at(2) {
        let inside = phases.iter().filter(|phase| slice.begin <= phase.begin && phase.end <= slice.end);
        let inside: Vec<_> = inside.filter(|phase| phase.args["layer"] == *slice.name).collect();
        let ns: i64 = inside.iter().map(|phase| phase.end - phase.begin).sum();
        assert!(
            !inside.is_empty() && ns == slice.end - slice.begin,
            "{} holds its phases and nothing else",
            slice.name
        );
        let flops: f64 = inside.iter().map(|phase| phase.args["flops"].as_f64().unwrap()).sum();
        assert_eq!(slice.args["flops"].as_f64(), Some(flops), "{}", slice.name);
    }
}

/// The batch is that of the charts by layer: here 2, since 1 was noisy and smaller.
#[test]
fn phases_stand_in_their_order_and_last_their_medians() {
    let run = format!("{}", home().join("tests/runs/measured").display());
    let of_default = trace(&run);
    assert_is_the_step(&of_default.process(1), rows(&home().join("tests/runs/measured"), "2", "16x16"));
    assert_eq!(of_default.processes, ["tiny on AMD EPYC, f32, nhwc, image 16x16, batch 2"]);
    assert_is_the_step(
        &trace(&format!("{run} --batch 1")).process(1),
        rows(&home().join("tests/runs/measured"), "1", "16x16"),
    );
}

#[test]
fn runs_and_image_sizes_are_processes() {
    let program = Program::new();
    let measured =
        program.output("run --model tiny --device cpu --batch 2 --image 16,24 --max-time 100ms --target 100%");
    assert!(measured.status.success(), "{measured:?}");
    let (images, predicted) = (program.run_folder(), home().join("tests/runs/predicted"));
    let file = records(&images.join("phases.csv"));
    let mut sizes: Vec<&str> = file.iter().map(|row| &*row["image"]).collect();
    sizes.dedup();
    let both = trace(&format!("{} {}", images.display(), predicted.display()));
    assert!(sizes.len() > 1 && both.processes.len() == sizes.len() + 1, "{:?}", both.processes);
    for (index, size) in sizes.iter().enumerate() {
        assert!(both.processes[index].contains(&format!("image {size}, batch ")), "{:?}", both.processes);
        let batch = both.processes[index].rsplit_once(' ').unwrap().1;
        assert_is_the_step(&both.process(index as u64 + 1), rows(&images, batch, size));
    }
    let last = both.processes.last().unwrap();
    assert!(last.contains("predicted for"), "{last}");
    let batch = last.rsplit_once(' ').unwrap().1;
    assert_is_the_step(&both.process(both.processes.len() as u64), rows(&predicted, batch, "16x16"));
}
