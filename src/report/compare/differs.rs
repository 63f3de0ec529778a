//! The differences between the sides before any figure: device, settings, versions, precision, clocks, rows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{RowKey, Side, Subject};
use crate::device::options::Launch;
use crate::profile::Status;
use crate::report::rows::{LabelColumns, StatusWord};
use crate::report::run::{Origin, Run};
use crate::report::run_file::{RunFile, as_written};

/// Parts of run.json that say how a run was made; what the machine reads out of its own sensors is not among them.
const COMPARED: [&str; 4] = ["program", "setup", "measuring", "machine"];
const NOT_COMPARED: [&str; 3] = ["setup.samples", "machine.settings_after", "machine.notes"];

/// Everything to be known before the figures, one statement each.
pub fn preface(a: &Side, b: &Side, unfixed: &[String]) -> Vec<String> {
    let mut statements = Vec::new();
    statements.extend(unknown(a, b));
    statements.extend(runs(a, b));
    if !unfixed.is_empty() {
        statements.push(format!(
            "This is no comparison of times: the clocks were not fixed ({}). Verdicts are about shares of the step, which \
             compare; times are shown and not judged. If you fixed the clocks yourself, say --clocks-fixed.",
            unfixed.join("; ")
        ));
    }
    statements.extend(states(a, b));
    statements.extend(only_on_one_side(a, b));
    statements
}

/// Why times do not compare, one reason per side.
pub fn unfixed_clocks(a: &Side, b: &Side) -> Vec<String> {
    let reason = |(name, side): (&str, &Side)| side.runs.iter().find_map(unfixed).map(|why| format!("{name}: {why}"));
    [("A", a), ("B", b)].into_iter().filter_map(reason).collect()
}

fn unfixed(run: &Run) -> Option<&'static str> {
    match (&run.origin, &run.header) {
        (Origin::Predicted { .. }, _) => None,
        (Origin::Measured { launch, .. }, _) if launch == Launch::Direct.name() => {
            Some("layertime never fixes a CPU's")
        }
        (Origin::Measured { .. }, None) => Some("there is no run.json to tell"),
        (Origin::Measured { .. }, Some(header)) if header.options.contains_key("lock_clocks") => None,
        (Origin::Measured { .. }, Some(_)) => Some("measured without --lock-clocks"),
    }
}

/// Settings in the order in which they matter to a reader; those not named here come last.
const FIRST: [&str; 11] = [
    "model",
    "model_file",
    "device",
    "precision",
    "layout",
    "launch",
    "threads",
    "options.",
    "input_gradient",
    "program.",
    "training.",
];

/// The differences in how the sides were made, the most important first.
pub fn differences(a: &Side, b: &Side) -> Vec<String> {
    let (a, b) = (facts(a), facts(b));
    let value = |values: Option<&BTreeSet<String>>| match values {
        Some(values) => values.iter().cloned().collect::<Vec<_>>().join(" / "),
        None => "-".into(),
    };
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let mut differing: Vec<&String> = names.into_iter().filter(|name| a.get(*name) != b.get(*name)).collect();
    let place =
        |name: &str| FIRST.iter().position(|first| name == *first || first.ends_with('.') && name.starts_with(first));
    differing.sort_by_key(|name| place(name).unwrap_or(FIRST.len()));
    let texts = differing.into_iter().map(|name| (name, value(a.get(name)), value(b.get(name))));
    let line = |(name, a, b): (&String, String, String)| match (a.contains('\n'), b.contains('\n')) {
        (true, true) => format!("{name} (another text)"),
        (true, false) => format!("{name} (a text) | {b}"),
        (false, true) => format!("{name} {a} | (a text)"),
        (false, false) => format!("{name} {a} | {b}"),
    };
    texts.map(line).collect()
}

/// Each fact's values over the runs of a side: its labels, and what run.json knows beyond them.
fn facts(side: &Side) -> BTreeMap<String, BTreeSet<String>> {
    let mut facts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for run in &side.runs {
        let LabelColumns { model, device, precision, layout, launch, .. } = run.labels();
        let mut found = vec![
            ("model".to_owned(), model),
            ("device".into(), device),
            ("precision".into(), precision),
            ("layout".into(), layout),
            ("launch".into(), launch),
        ];
        if let Some(file) = RunFile::of(run) {
            let value = as_written(&file);
            COMPARED.iter().for_each(|part| leaves(part, &value[part], &mut found));
        }
        for (name, value) in found {
            facts.entry(name).or_default().insert(value);
        }
    }
    facts
}

/// The values at the ends of a tree, by path without `setup.` and `machine.`.
fn leaves(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    let name = path.trim_start_matches("setup.").trim_start_matches("machine.");
    match value {
        _ if NOT_COMPARED.contains(&path) => {}
        Value::Null => {}
        Value::Object(fields) => fields.iter().for_each(|(key, value)| leaves(&format!("{path}.{key}"), value, found)),
        Value::String(text) => found.push((name.into(), text.clone())),
        other => found.push((name.into(), other.to_string())),
    }
}

/// A side of which only the rows are known.
fn unknown(a: &Side, b: &Side) -> Option<String> {
    let bare = |side: &Side| side.runs.iter().any(|run| run.header.is_none());
    let which = match (bare(a), bare(b)) {
        (true, true) => "A and B have",
        (true, false) => "A has",
        (false, true) => "B has",
        (false, false) => return None,
    };
    Some(format!("{which} no run.json: versions, threads and settings are not known."))
}

fn runs(a: &Side, b: &Side) -> Option<String> {
    match (a.runs.len(), b.runs.len()) {
        (1, 1) => Some(
            "One run each: how much runs differ from one another is not seen. Give several: A1 A2 A3 --with B1 B2 B3."
                .into(),
        ),
        (1, _) | (_, 1) => Some("One side has one run: how much its runs differ from one another is not seen.".into()),
        _ => None,
    }
}

/// Batches that did not end well on a side.
fn states(a: &Side, b: &Side) -> Vec<String> {
    let of_side = |(name, side): (&str, &Side)| {
        let mut found: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
        for (run, point) in side.runs.iter().flat_map(|run| run.points.iter().map(move |point| (run, point))) {
            match run.status_word(point) {
                StatusWord::Of(Status::Ok) => {}
                word => drop(found.entry(word.name()).or_default().insert(point.batch)),
            }
        }
        let list = |batches: BTreeSet<usize>| batches.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        found
            .into_iter()
            .map(|(status, batches)| format!("{name} is {status} at batch {}.", list(batches)))
            .collect::<Vec<_>>()
    };
    [("A", a), ("B", b)].into_iter().flat_map(of_side).collect()
}

/// Layers, phases and batches without a counterpart.
fn only_on_one_side(a: &Side, b: &Side) -> Vec<String> {
    let only = |name: &str, side: &Side, other: &Side| {
        let unmatched: Vec<&RowKey> = side.keys().iter().filter(|key| !other.has(key)).collect();
        let (in_shared, alone): (Vec<&RowKey>, Vec<&RowKey>) = unmatched.into_iter().partition(|key| other.tried(key));
        let mut batches: Vec<String> =
            alone.iter().map(|key| format!("batch {} at {}", key.batch, key.image)).collect();
        batches.dedup();
        let mut layers: Vec<String> = Vec::new();
        for key in in_shared {
            if let Subject::Layer(layer, _, phase) = &key.of {
                let text = format!("{layer} {}", phase.name());
                if !layers.contains(&text) {
                    layers.push(text);
                }
            }
        }
        batches.extend(layers);
        (!batches.is_empty()).then(|| format!("Only in {name}: {}.", batches.join(", ")))
    };
    only("A", a, b).into_iter().chain(only("B", b, a)).collect()
}
