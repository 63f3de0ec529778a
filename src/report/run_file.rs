//! `run.json`: everything about a run that is not a row.
//!
//! Reading ignores fields that it does not know. A field that was added later has a default, so that old files go on being
//! read; [`SCHEMA_VERSION`] grows only when they could not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::doubt;
use super::header::{Header, MachineFacts, Measuring, ProgramVersion, Resumed, RunState};
use super::rows::LabelColumns;
use super::run::{Measurement, Origin, Run};
use super::verdict::{self, Answer, Crossover};
use crate::device::{Ceilings, Training};

/// The file's name in a run's folder.
pub const FILE: &str = "run.json";

/// Grows when files of earlier versions can no longer be read.
pub const SCHEMA_VERSION: u32 = 1;

/// The file's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFile {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The folder's name.
    pub run_id: String,
    /// The program that began the run.
    pub program: ProgramVersion,
    /// How the run stands.
    pub state: RunState,
    /// The command line that began the run.
    pub argv: Vec<String>,
    /// UTC, ISO 8601.
    pub started: String,
    /// UTC, ISO 8601.
    pub ended: Option<String>,
    /// One entry per `--resume`.
    pub resumed: Vec<Resumed>,
    /// The settings that are equal within a run.
    pub setup: SetupRecord,
    /// `null` in a prediction.
    pub measuring: Option<Measuring>,
    /// The machine.
    pub machine: MachineFacts,
    /// The highest rates.
    pub ceilings: Ceilings,
    /// Every batch and image size whose rows are in the CSV files.
    pub points: Vec<PointRecord>,
    /// All of them, by image and then by batch.
    #[serde(skip_deserializing)]
    pub crossovers: Vec<Crossover>,
    /// The verdict, image by image.
    #[serde(skip_deserializing)]
    pub answers: Vec<Answer>,
    /// Why the ceilings look wrong, where they do.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    pub ceilings_doubt: Option<String>,
}

/// The settings that must be equal for two batches' figures to stand in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetupRecord {
    /// The model's name.
    pub model: String,
    /// The text of its description.
    pub model_file: String,
    /// The device's name; in a prediction `predicted: ` and the GPU's.
    pub device: String,
    /// The precision of the arithmetic.
    pub precision: String,
    /// The memory order of activations; nothing in a prediction.
    pub layout: String,
    /// How steps reach the device; nothing in a prediction.
    pub launch: String,
    /// Threads that the device computes with; 0 where it has none to choose.
    pub threads: usize,
    /// `null` in a prediction.
    pub training: Option<Training>,
    /// The gradient of the image is computed too.
    pub input_gradient: bool,
    /// samples.csv is written.
    pub samples: bool,
    /// Further options that change what the device does.
    pub options: BTreeMap<String, String>,
}

/// One batch and image size, with what its rows have no column for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointRecord {
    /// Images per step.
    pub batch: usize,
    /// Height x width.
    pub image: String,
    /// As in the CSV files.
    pub status: String,
    /// Rows in phases.csv: what tells a whole batch from a torn one.
    pub phases: usize,
    /// Σ phases of a timed step over the plain step beside it.
    pub closure: Option<f64>,
    /// Its 95 % interval.
    pub closure_ci95: Option<[f64; 2]>,
    /// Standard deviations in µs of the totals of summary.csv, by [`Scope::name`](crate::profile::summary::Scope::name).
    #[serde(default)]
    pub stddev_us: BTreeMap<String, f64>,
    /// Notes for a reader of this batch's figures.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl SetupRecord {
    fn of(run: &Run, header: &Header) -> SetupRecord {
        let LabelColumns { model, device, precision, layout, launch, .. } = run.labels();
        let measurement = run.origin.measurement();
        SetupRecord {
            model,
            model_file: header.model_file.clone(),
            device,
            precision,
            layout,
            launch,
            threads: measurement.and_then(|measurement| measurement.threads).unwrap_or(0),
            training: measurement.map(|measurement| measurement.training),
            input_gradient: header.input_gradient,
            samples: measurement.is_some_and(|measurement| measurement.samples),
            options: header.options.clone(),
        }
    }
}

impl RunFile {
    /// `None` for a run that has no header.
    pub fn of(run: &Run) -> Option<RunFile> {
        let header = run.header.as_ref()?;
        let setup = SetupRecord::of(run, header);
        let Header { program, state, argv, started, ended, resumed, machine, ceilings, .. } = header.clone();
        Some(RunFile {
            schema_version: SCHEMA_VERSION,
            run_id: run.run_id.clone(),
            program,
            state,
            argv,
            started,
            ended,
            resumed,
            setup,
            measuring: run.origin.measurement().map(|measurement| measurement.measuring),
            machine,
            ceilings,
            points: run.points.iter().filter_map(|point| point.record.clone()).collect(),
            crossovers: verdict::crossovers(run),
            answers: verdict::answers(run),
            ceilings_doubt: doubt::of_ceilings(run),
        })
    }

    /// Reads the file of a run's folder; `None` where there is none.
    pub fn read(folder: &Path) -> Result<Option<RunFile>> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let path = folder.join(FILE);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let damaged = || format!("{} is damaged", path.display());
        let version = serde_json::from_slice::<Version>(&text).with_context(damaged)?.schema_version;
        if version != SCHEMA_VERSION {
            bail!(
                "{} has schema {version} and this layertime reads schema {SCHEMA_VERSION}: use the one that wrote it",
                path.display()
            );
        }
        serde_json::from_slice(&text).with_context(damaged).map(Some)
    }

    /// The run without its points, and what is known of these.
    pub fn into_run(self, folder: &Path) -> (Run, Vec<PointRecord>) {
        let RunFile { run_id, setup, measuring, points, .. } = self;
        let SetupRecord { model, model_file, device, precision, layout, launch, .. } = setup;
        let measurement = setup.training.zip(measuring).map(|(training, measuring)| Measurement {
            threads: Some(setup.threads).filter(|&threads| threads > 0),
            training,
            measuring,
            samples: setup.samples,
        });
        let is_predicted = Origin::names_prediction(&device);
        let labels = LabelColumns { run_id, model, device, precision, layout, launch };
        let origin = match Origin::of(&labels, is_predicted) {
            Origin::Measured { device, layout, launch, .. } => Origin::Measured { device, layout, launch, measurement },
            predicted @ Origin::Predicted { .. } => predicted,
        };
        let header = Header {
            program: self.program,
            state: self.state,
            argv: self.argv,
            started: self.started,
            ended: self.ended,
            resumed: self.resumed,
            model_file,
            input_gradient: setup.input_gradient,
            options: setup.options,
            machine: self.machine,
            ceilings: self.ceilings,
        };
        let LabelColumns { run_id, model, precision, .. } = labels;
        let run =
            Run { path: folder.into(), run_id, model, precision, origin, header: Some(header), points: Vec::new() };
        (run, points)
    }
}

impl Run {
    /// Says why `other`'s figures cannot be added to this run's; `None` where they can, and where too little is known.
    pub fn refuses(&self, other: &Run) -> Option<String> {
        let [ours, theirs] = [self, other].map(|run| Some(SetupRecord::of(run, run.header.as_ref()?)));
        ours?.unlike(&theirs?)
    }

    /// Says how `other` was set up unlike this run, whichever of them wrote samples.csv.
    pub fn differs_from(&self, other: &Run) -> Option<String> {
        let [ours, theirs] = [self, other].map(|run| {
            let setup = SetupRecord::of(run, run.header.as_ref()?);
            Some(SetupRecord { samples: false, ..setup })
        });
        ours?.unlike(&theirs?)
    }
}

impl SetupRecord {
    fn unlike(&self, other: &SetupRecord) -> Option<String> {
        let differences = differences("", &as_written(self), &as_written(other));
        (!differences.is_empty()).then(|| differences.join("; "))
    }
}

/// A part as a reader of the file finds it. By way of text, for numbers as they are there: as a value 0.01f32 is 0.009999999776.
pub fn as_written(part: &impl Serialize) -> Value {
    serde_json::to_string(part).and_then(|text| serde_json::from_str(&text)).unwrap_or_default()
}

/// Says what is not equal, by the innermost name.
fn differences(name: &str, ours: &Value, theirs: &Value) -> Vec<String> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            let of = |side: &Map<String, Value>, name: &String| side.get(name).cloned().unwrap_or_default();
            names.into_iter().flat_map(|name| differences(name, &of(ours, name), &of(theirs, name))).collect()
        }
        _ if ours == theirs => Vec::new(),
        _ if name == "model_file" => vec!["the model's description is another".into()],
        _ => vec![format!("{name} was {}, now {}", spoken(ours), spoken(theirs))],
    }
}

fn spoken(value: &Value) -> String {
    match value {
        Value::Null => "not given".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    /// The run that a text of `run.json` holds.
    fn read(text: &str) -> Result<Run> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), text).unwrap();
        Ok(RunFile::read(folder.path())?.unwrap().into_run(folder.path()).0)
    }

    #[test]
    fn comes_back_as_it_went() {
        let mut run = fixture::run(true);
        fixture::measurement(&mut run).training.learning_rate = 0.1 + 0.2;
        // A number that is read as its neighbour unless care is taken.
        fixture::header(&mut run).ceilings.copy_bytes_per_s = 1.0150000000000001;
        fixture::header(&mut run).ceilings.gemm_flops_per_s = 31.245270191439438;
        let text = serde_json::to_string_pretty(&RunFile::of(&run)).unwrap();
        let back = read(&text).unwrap();
        assert_eq!((back.header.as_ref(), &back.origin), (run.header.as_ref(), &run.origin));
        assert_eq!(serde_json::to_string_pretty(&RunFile::of(&back)).unwrap(), text);
        assert!(text.contains("\"schema_version\": 1") && text.contains("\"state\": \"running\""), "{text}");
    }

    /// A later version's file is read as long as its schema is the same.
    #[test]
    fn unknown_fields_are_ignored() {
        let text = serde_json::to_string_pretty(&RunFile::of(&fixture::run(true))).unwrap();
        let later = text.replace('{', "{ \"new\": 1,").replace("\"new\": 1,}", "}");
        let later = later.replace("\"options\": { \"new\": 1,", "\"options\": {");
        let later = later
            .replace("\"device\": { \"new\": 1,", "\"device\": {")
            .replace("\"environment\": { \"new\": 1,", "\"environment\": {");
        assert!(later.matches("\"new\"").count() >= 7, "{later}");
        assert_eq!(read(&later).unwrap().origin, fixture::run(true).origin);
        let error = read(&text.replace("\"schema_version\": 1", "\"schema_version\": 2")).unwrap_err().to_string();
        assert!(error.contains("schema 2") && error.contains("reads schema 1"), "{error}");
    }

    #[test]
    fn only_the_same_setup_goes_on() {
        let run = fixture::run(false);
        let mut other = fixture::run(false);
        fixture::measurement(&mut other).measuring.target = 0.5;
        fixture::header(&mut other).machine.notes.push("other machine notes do not matter".into());
        assert_eq!(run.refuses(&other), None);
        other.precision = "f16".into();
        fixture::measurement(&mut other).training.momentum = 0.0;
        let refusal = run.refuses(&other).unwrap();
        assert_eq!(refusal, "precision was f32, now f16; momentum was 0.9, now 0.0");
        let mut other = fixture::run(false);
        fixture::header(&mut other).options.insert("lock_clocks".into(), "1410 MHz".into());
        assert_eq!(run.refuses(&other).unwrap(), "lock_clocks was not given, now 1410 MHz");
        let mut other = fixture::run(false);
        fixture::header(&mut other).model_file.push('\n');
        assert_eq!(run.refuses(&other).unwrap(), "the model's description is another");
    }
}
