//! `run.json`: everything about a run that is not a row.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::rows::Labels;
use super::verdict::Crossover;
use crate::device::{Ceilings, Training};
use crate::profile::Status;

/// Grows when a field changes its meaning or goes; new fields alone do not raise it.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub schema_version: u32,
    /// The folder's name.
    pub run_id: String,
    pub program: Program,
    pub state: State,
    /// The command line that began the run.
    pub argv: Vec<String>,
    /// UTC, ISO 8601.
    pub started: String,
    pub ended: Option<String>,
    /// One entry per `--resume`.
    pub resumed: Vec<Resumed>,
    pub setup: Setup,
    /// `None` in a prediction.
    pub measuring: Option<Measuring>,
    pub machine: Machine,
    /// Measured; in a prediction, the peaks of the datasheet.
    pub ceilings: Ceilings,
    /// Every batch and image size whose rows are in the CSV files.
    pub points: Vec<Point>,
    /// All of them, by image and then by batch.
    pub crossovers: Vec<Crossover>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    pub version: String,
    pub git_commit: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Also what a killed run says.
    Running,
    Complete,
    Interrupted,
    Failed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    pub at: String,
    pub argv: Vec<String>,
    /// By which the batches from here on were measured.
    #[serde(default)]
    pub program: Option<Program>,
}

/// What must be equal for two batches' figures to stand in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    pub model: String,
    /// The description's text.
    pub model_file: String,
    pub device: String,
    pub precision: String,
    pub layout: String,
    pub launch: String,
    /// Threads that the device computes with; 0 where it has none to choose.
    pub threads: usize,
    /// `None` in a prediction, where they make no difference.
    pub training: Option<Training>,
    pub input_gradient: bool,
    /// Whether samples.csv is written.
    pub samples: bool,
    /// Further options that change what the device does: workspace limit, deterministic algorithms, locked clocks.
    pub options: BTreeMap<String, String>,
}

/// When a batch was measured enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measuring {
    /// Half-width of the step's interval over its median.
    pub target: f64,
    pub max_time_s: f64,
    pub min_samples: usize,
}

/// What it ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: Cpu,
    /// Driver, libraries with their versions and files, and whatever else the device tells of itself.
    pub device: BTreeMap<String, String>,
    /// A GPU's settings before anything was changed, and after everything was put back.
    pub settings_before: Option<BTreeMap<String, String>>,
    pub settings_after: Option<BTreeMap<String, String>>,
    /// Variables that change how a device's libraries compute, where they are set.
    pub environment: BTreeMap<String, String>,
    /// What a reader of the figures should know, such as a power cap.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    pub model: String,
    /// Hardware threads that this process may use.
    pub threads: usize,
}

/// One batch and image size, with what its rows have no column for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub batch: usize,
    pub image: String,
    pub status: Status,
    /// Rows in phases.csv: what tells a whole batch from a torn one.
    pub phases: usize,
    pub closure: Option<f64>,
    pub closure_ci95: Option<[f64; 2]>,
    /// Standard deviations of the totals of summary.csv, by [`Scope::name`](crate::profile::summary::Scope::name).
    #[serde(default)]
    pub stddev_us: BTreeMap<String, f64>,
    /// What a reader of this batch's figures should know.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl std::fmt::Display for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "layertime {}", self.version)?;
        match &self.git_commit {
            Some(commit) => write!(f, " (commit {})", commit.get(..10).unwrap_or(commit)),
            None => Ok(()),
        }
    }
}

impl Setup {
    pub fn labels(&self, run_id: String) -> Labels {
        let Setup { model, device, precision, layout, launch, .. } = self.clone();
        Labels { run_id, model, device, precision, layout, launch }
    }
}

impl Run {
    /// A run that begins now. Its folder gives it the `run_id`.
    pub fn new(setup: Setup, measuring: Option<Measuring>, machine: Machine, ceilings: Ceilings) -> Run {
        let program = Program {
            version: env!("CARGO_PKG_VERSION").into(),
            git_commit: option_env!("LAYERTIME_GIT_COMMIT").map(Into::into),
        };
        Run {
            schema_version: SCHEMA_VERSION,
            run_id: String::new(),
            program,
            state: State::Running,
            argv: argv(),
            started: now(),
            ended: None,
            resumed: Vec::new(),
            setup,
            measuring,
            machine,
            ceilings,
            points: Vec::new(),
            crossovers: Vec::new(),
        }
    }

    /// Adds what is not noted yet.
    pub fn note(&mut self, notes: impl IntoIterator<Item = String>) {
        for note in notes {
            if !self.machine.notes.contains(&note) {
                self.machine.notes.push(note);
            }
        }
    }

    pub fn labels(&self) -> Labels {
        self.setup.labels(self.run_id.clone())
    }

    /// Why `other`'s figures cannot be added to this run's, in words.
    pub fn refuses(&self, other: &Run) -> Option<String> {
        if self.schema_version != other.schema_version {
            return Some(format!("its run.json has schema {}, this program's {}", self.schema_version, SCHEMA_VERSION));
        }
        let differences = differences("", &as_written(&self.setup), &as_written(&other.setup));
        (!differences.is_empty()).then(|| differences.join("; "))
    }
}

/// By way of text, for numbers as they are in the file: as a value 0.01f32 is 0.009999999776.
pub fn as_written(part: &impl Serialize) -> Value {
    serde_json::to_string(part).and_then(|text| serde_json::from_str(&text)).unwrap_or_default()
}

/// What is not equal, by the innermost name.
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

pub fn argv() -> Vec<String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// UTC to the second, ISO 8601.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::fixture;

    #[test]
    fn comes_back_as_it_went() {
        let mut run = fixture::run(true);
        run.setup.training.as_mut().unwrap().learning_rate = 0.1 + 0.2;
        let text = serde_json::to_string_pretty(&run).unwrap();
        assert_eq!(serde_json::from_str::<super::Run>(&text).unwrap(), run);
        assert!(text.contains("\"schema_version\": 1") && text.contains("\"state\": \"running\""), "{text}");
    }

    #[test]
    fn only_the_same_setup_goes_on() {
        let run = fixture::run(false);
        let mut other = fixture::run(false);
        other.measuring = None;
        other.machine.notes.push("other machine notes do not matter".into());
        assert_eq!(run.refuses(&other), None);
        other.setup.precision = "f16".into();
        other.setup.training.as_mut().unwrap().momentum = 0.0;
        let refusal = run.refuses(&other).unwrap();
        assert_eq!(refusal, "precision was f32, now f16; momentum was 0.9, now 0.0");
        other.setup = run.setup.clone();
        other.setup.options.insert("lock_clocks".into(), "1410 MHz".into());
        assert_eq!(run.refuses(&other).unwrap(), "lock_clocks was not given, now 1410 MHz");
        other.setup = run.setup.clone();
        other.setup.model_file.push('\n');
        assert_eq!(run.refuses(&other).unwrap(), "the model's description is another");
        other.schema_version = 2;
        assert!(run.refuses(&other).unwrap().contains("schema"));
    }
}
