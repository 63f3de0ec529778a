//! The head of a run, everything beside its figures: who measured, with what, when, and how it ended.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::device::Ceilings;
use crate::plan::Roofline;

/// The head of a run, as `run.json` holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
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
    /// The text of the model's description.
    pub model_file: String,
    /// The gradient of the image is computed too.
    pub input_gradient: bool,
    /// Further options that change what the device does: workspace limit, deterministic algorithms, locked clocks.
    pub options: BTreeMap<String, String>,
    /// The machine.
    pub machine: MachineFacts,
    /// The highest rates: measured, in a prediction the peaks of the datasheet.
    pub ceilings: Ceilings,
}

/// A version of this program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgramVersion {
    /// As in Cargo.toml.
    pub version: String,
    /// The commit it was built from, where that was known.
    pub git_commit: Option<String>,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// In progress; a killed run says so for ever.
    Running,
    /// Nothing is missing.
    Complete,
    /// Ended by a signal.
    Interrupted,
    /// Ended by an error.
    Failed,
}

/// One `--resume`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// UTC, ISO 8601.
    pub at: String,
    /// The command line.
    pub argv: Vec<String>,
    /// The program by which the batches from here on were measured.
    #[serde(default)]
    pub program: Option<ProgramVersion>,
}

/// When a batch was measured enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measuring {
    /// Half-width of the step's interval over its median.
    pub target: f64,
    /// Longest time for one batch in seconds, warm-up apart.
    pub max_time_s: f64,
    /// Fewest timed steps.
    pub min_samples: usize,
    /// Least time of the warm-up in seconds; unknown in runs of 0.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_up_s: Option<f64>,
}

/// The machine that a run ran on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MachineFacts {
    /// The host's processor.
    pub cpu: Processor,
    /// Driver, libraries with their versions and files, and whatever else the device tells of itself.
    pub device: BTreeMap<String, String>,
    /// A GPU's settings before anything was changed.
    pub settings_before: Option<BTreeMap<String, String>>,
    /// A GPU's settings after everything was put back.
    pub settings_after: Option<BTreeMap<String, String>>,
    /// Variables that change how a device's libraries compute, where they are set.
    pub environment: BTreeMap<String, String>,
    /// Notes for a reader of the figures, such as a power cap.
    pub notes: Vec<String>,
}

/// The host's processor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Processor {
    /// Its name.
    pub model: String,
    /// Hardware threads that this process may use.
    pub threads: usize,
}

impl std::fmt::Display for ProgramVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "layertime {}", self.version)?;
        match &self.git_commit {
            Some(commit) => write!(f, " (commit {})", commit.get(..10).unwrap_or(commit)),
            None => Ok(()),
        }
    }
}

impl ProgramVersion {
    /// This program.
    pub fn current() -> ProgramVersion {
        ProgramVersion {
            version: env!("CARGO_PKG_VERSION").into(),
            git_commit: option_env!("LAYERTIME_GIT_COMMIT").map(Into::into),
        }
    }
}

impl RunState {
    /// The word in `run.json`.
    pub fn name(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Complete => "complete",
            RunState::Interrupted => "interrupted",
            RunState::Failed => "failed",
        }
    }
}

impl Header {
    /// A run that begins now, with no options and an unknown machine.
    pub fn begin(model_file: impl Into<String>, ceilings: Ceilings) -> Header {
        Header {
            program: ProgramVersion::current(),
            state: RunState::Running,
            argv: argv(),
            started: now(),
            ended: None,
            resumed: Vec::new(),
            model_file: model_file.into(),
            input_gradient: false,
            options: BTreeMap::new(),
            machine: MachineFacts::default(),
            ceilings,
        }
    }

    /// Adds the notes that are not there yet.
    pub fn note(&mut self, notes: impl IntoIterator<Item = String>) {
        for note in notes {
            if !self.machine.notes.contains(&note) {
                self.machine.notes.push(note);
            }
        }
    }

    /// The rates that phases are held against.
    pub fn roofline(&self) -> Roofline {
        self.ceilings.roofline()
    }
}

/// This process's command line.
pub fn argv() -> Vec<String> {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// UTC to the second, ISO 8601.
pub fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
