//! The rows of `phases.csv`, `summary.csv` and `samples.csv`.
//!
//! [`columns`] lists the columns of each file once: the header, the reader, the writer and `docs/csv.md` are made from that
//! list. To add a column, add a field here, a line in [`columns`] and its value in [`build`]. `None` is an empty field: not
//! applicable, or not measured. The image is written as height x width: `224x224`.

pub mod build;
pub mod columns;
pub mod field;

use crate::model::kind::Group;
use crate::plan::{Bound, Phase};
use crate::profile::Status;
use crate::profile::summary::Scope;
use field::{CsvField, OrAll};

/// A kind of row, and the file in which it stands.
pub trait Row: Sized + 'static {
    /// The file's name in a run's folder.
    const FILE: &'static str;

    /// All columns in the file's order. New ones follow at the end.
    fn columns() -> Vec<Column<Self>>;

    /// A row to be filled from a file. Columns that the file lacks stay as they are here.
    fn blank() -> Self;
}

/// One column of a file.
pub struct Column<R> {
    /// The name in the header.
    pub name: &'static str,
    /// The unit, or what kind of text it is.
    pub unit: &'static str,
    /// The meaning, for the documentation.
    pub meaning: &'static str,
    /// When the field is empty; nothing for a field that never is.
    pub empty: &'static str,
    /// A file without this column means nothing and is refused. Any other column that is missing reads as empty.
    pub required: bool,
    /// The field in a row.
    pub field: fn(&mut R) -> &mut dyn CsvField,
}

/// The columns that all rows of a run share, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelColumns {
    /// The name of the run's folder.
    pub run_id: String,
    /// The model's name.
    pub model: String,
    /// The device's name; in a prediction `predicted: ` and the GPU's.
    pub device: String,
    /// The precision of the arithmetic.
    pub precision: String,
    /// The memory order of activations; nothing in a prediction.
    pub layout: String,
    /// How steps reached the device; nothing in a prediction.
    pub launch: String,
}

/// The first columns of every file: whose figures these are, and at which batch and image size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PointColumns {
    /// The run.
    pub labels: LabelColumns,
    /// Images per step.
    pub batch: usize,
    /// Height x width.
    pub image: String,
}

/// The word in the column `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusWord {
    /// Not measured.
    Predicted,
    /// How the measurement of the batch ended.
    Of(Status),
}

/// Statistics of a duration in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DurationColumns {
    /// Median.
    pub median_us: Option<f64>,
    /// Lower end of the median's 95 % interval.
    pub ci95_low_us: Option<f64>,
    /// Upper end of the median's 95 % interval.
    pub ci95_high_us: Option<f64>,
    /// Mean.
    pub mean_us: Option<f64>,
    /// Sample standard deviation.
    pub stddev_us: Option<f64>,
    /// Minimum.
    pub min_us: Option<f64>,
    /// First quartile.
    pub q1_us: Option<f64>,
    /// Third quartile.
    pub q3_us: Option<f64>,
    /// Maximum.
    pub max_us: Option<f64>,
}

/// Percent of the step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ShareColumns {
    /// Mean share.
    pub share_pct: Option<f64>,
    /// Lower end of its 95 % interval.
    pub share_ci95_low_pct: Option<f64>,
    /// Upper end of its 95 % interval.
    pub share_ci95_high_pct: Option<f64>,
}

/// How a phase stands against the ceilings: the device's measured ones, the datasheet's in a prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RoofColumns {
    /// Operations over the median time, 10⁹ per second.
    pub gflops_per_s: Option<f64>,
    /// Bytes over the median time, 10⁹ per second.
    pub gbytes_per_s: Option<f64>,
    /// The limit of the phase's time.
    pub bound: Option<Bound>,
    /// The least time that the ceilings allow, in percent of the median time.
    pub roof_pct: Option<f64>,
}

/// The device's state meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConditionColumns {
    /// The clock that it computed at, in MHz.
    pub sm_clock_mhz: Option<f64>,
    /// The memory's clock in MHz.
    pub mem_clock_mhz: Option<f64>,
    /// The highest temperature in °C.
    pub temperature_c: Option<f64>,
    /// Timed steps with a thermal or hardware slowdown.
    pub throttled_samples: Option<usize>,
    /// Timed steps with clocks held down by the power limit.
    pub power_capped_samples: Option<usize>,
}

/// Several ranks that trained together; empty with one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RankColumns {
    /// How many there were.
    pub ranks: Option<usize>,
    /// How much less the fastest took than the slowest, in percent of the slowest.
    pub rank_spread_pct: Option<f64>,
}

/// One phase of one layer at one batch and image size.
#[derive(Clone, Debug, PartialEq)]
pub struct PhaseRow {
    /// Run, batch and image.
    pub point: PointColumns,
    /// The layer's place in the model, from 0.
    pub layer_index: usize,
    /// The layer's name.
    pub layer: String,
    /// The layer's kind.
    pub kind: String,
    /// The group that the kind belongs to.
    pub group: Group,
    /// The phase.
    pub phase: Phase,
    /// How the batch went.
    pub status: StatusWord,
    /// Timed steps.
    pub samples: Option<usize>,
    /// The phase's time.
    pub duration: DurationColumns,
    /// Its share of the step.
    pub share: ShareColumns,
    /// Operations, two per multiply-add.
    pub flops: Option<u64>,
    /// Bytes read and written, each operand once.
    pub bytes: Option<u64>,
    /// Its place below the ceilings.
    pub roof: RoofColumns,
    /// The algorithm, where there was a choice.
    pub algorithm: Option<String>,
    /// The algorithm's scratch memory.
    pub workspace_bytes: Option<u64>,
    /// Weights and biases of the layer.
    pub parameters: Option<u64>,
    /// The device meanwhile.
    pub conditions: ConditionColumns,
    /// The ranks that trained together.
    pub together: RankColumns,
}

/// A group's, a phase's or the step's total at one batch and image size.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// Run, batch and image.
    pub point: PointColumns,
    /// The group, or all.
    pub group: OrAll<Group>,
    /// The phase, or all.
    pub phase: OrAll<Phase>,
    /// How the batch went.
    pub status: StatusWord,
    /// Timed steps.
    pub samples: Option<usize>,
    /// The total's time; its spread has no columns here.
    pub duration: DurationColumns,
    /// Its share of the step.
    pub share: ShareColumns,
    /// Filled on the step's row only.
    pub step: StepColumns,
    /// Filled on rows of all phases.
    pub grouped: GroupedColumns,
}

/// The whole step's own figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepColumns {
    /// Σ phases of a timed step over the plain step beside it, median of the pairs.
    pub closure: Option<f64>,
    /// Median length of an empty phase in µs.
    pub mark_us: Option<f64>,
    /// Median plain step in µs, on the device's clock.
    pub plain_step_us: Option<f64>,
    /// Median plain step in µs, on the host's clock and launched live.
    pub wall_step_us: Option<f64>,
    /// Images per second.
    pub images_per_s: Option<f64>,
    /// Memory that the step holds.
    pub planned_bytes: Option<u64>,
    /// Memory that was in use on the device.
    pub measured_bytes: Option<u64>,
}

/// A group, or the step, in steps that are marked only where the group changes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupedColumns {
    /// Mean time in µs.
    pub grouped_us: Option<f64>,
    /// Share of such a step.
    pub share: ShareColumns,
    /// Such a step over the plain step beside it; filled on the step's row only.
    pub closure: Option<f64>,
}

/// One phase of one timed step.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRow {
    /// Run, batch and image.
    pub point: PointColumns,
    /// Counts the timed steps of a batch from 0.
    pub sample: usize,
    /// The layer's place in the model, from 0.
    pub layer_index: usize,
    /// The layer's name.
    pub layer: String,
    /// The layer's kind.
    pub kind: String,
    /// The group that the kind belongs to.
    pub group: Group,
    /// The phase.
    pub phase: Phase,
    /// The phase's time in µs.
    pub duration_us: Option<f64>,
}

impl StatusWord {
    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            StatusWord::Predicted => "predicted",
            StatusWord::Of(status) => status.name(),
        }
    }
}

impl SummaryRow {
    /// The group and phase that the total is over.
    pub fn scope(&self) -> Scope {
        Scope { group: self.group.0, phase: self.phase.0 }
    }
}
