//! Measuring one batch size: warm-up, pairs of timed and plain steps, the stopping rule, the summary.

pub mod conditions;
pub mod load;
pub mod measure;
pub mod profiler;
pub mod stopping;
pub mod summary;
mod together;

use conditions::Observed;

use crate::device::Algorithm;
use crate::plan::Plan;
use crate::step::{GroupedSample, Op, Sample};

/// The end of a batch size's measurement; the first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The batch does not fit.
    OutOfMemory,
    /// A thermal or hardware slowdown was seen.
    Throttled,
    /// The target or the number of samples was not reached in the time given, or the device's settings changed meanwhile.
    Noisy,
    /// The target was reached.
    Ok,
}

impl Status {
    /// The status's word in tables and CSV.
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
    /// Shapes and costs.
    pub plan: Plan,
    /// The step's operations, in order.
    pub ops: Vec<Op>,
    /// How it ended.
    pub status: Status,
    /// Per operation, how it was computed where there was a choice.
    pub algorithms: Vec<Option<Algorithm>>,
    /// One per timed step; empty when out of memory.
    pub samples: Vec<Sample>,
    /// The plain step of each pair, beside the timed one of the same index.
    pub plain_us: Vec<f64>,
    /// Steps marked only where the group of layers changes; made where marks stretch a timed step.
    pub grouped: Vec<GroupedSample>,
    /// Host time per plain step launched live, gaps included.
    pub wall_us: Vec<f64>,
    /// Per operation, how much less the fastest rank took than the slowest, in percent; empty with one rank.
    pub rank_spread_pct: Vec<f64>,
    /// The device's state meanwhile.
    pub observed: Observed,
    /// Bytes that the session holds, scratch included.
    pub planned_bytes: u64,
    /// Bytes that the device's memory in use grew by, where it tells.
    pub measured_bytes: Option<u64>,
}
