//! Measuring one batch size: warm-up, pairs of timed and plain steps, the stopping rule, the summary.

pub mod conditions;
pub mod measure;
pub mod stopping;
pub mod summary;

use conditions::Observed;

use crate::device::Algorithm;
use crate::plan::Plan;
use crate::step::{Op, Sample};

/// How a batch size's measurement ended; the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The device's memory does not hold the step.
    OutOfMemory,
    /// A thermal or hardware slowdown was seen.
    Throttled,
    /// The target was not reached in the time given, or the device's settings changed meanwhile.
    Noisy,
    /// None of these.
    Ok,
}

impl Status {
    /// The status's word in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Status::OutOfMemory => "out_of_memory",
            Status::Throttled => "throttled",
            Status::Noisy => "noisy",
            Status::Ok => "ok",
        }
    }
}

/// Everything that one batch and image size gave, before any statistics.
#[derive(Clone, Debug)]
pub struct Measured {
    pub plan: Plan,
    pub ops: Vec<Op>,
    pub status: Status,
    /// Per operation, how it was computed where there was a choice.
    pub algorithms: Vec<Option<Algorithm>>,
    /// One per timed step; empty when out of memory.
    pub samples: Vec<Sample>,
    /// The plain step of each pair, beside the timed one of the same index.
    pub plain_us: Vec<f64>,
    /// Host time per plain step launched live, gaps included.
    pub wall_us: Vec<f64>,
    /// What the device was like meanwhile.
    pub observed: Observed,
    pub planned_bytes: u64,
    pub measured_bytes: Option<u64>,
}
