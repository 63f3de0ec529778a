//! The rows of `phases.csv`, `summary.csv` and `samples.csv`.
//!
//! Columns are in the order of the structs' fields, nested ones in place; the headers spell them out. `None` becomes an
//! empty field: not applicable, or not measured. The image is written as height x width: `224x224`.

mod build;
mod predicted;

use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};

use crate::model::kind::Group;
use crate::plan::{Bound, Phase, image_name};
use crate::profile::Status;
use crate::profile::summary::Scope;

pub use build::{phases, samples, summary};
pub use predicted::{predicted_phases, predicted_summary};

/// A kind of row, and the file of the run's folder in which it stands.
pub trait Row: Serialize {
    const FILE: &'static str;
    const HEADER: &'static [&'static str];
}

/// What all rows of a run have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Labels {
    pub run_id: String,
    pub model: String,
    pub device: String,
    pub precision: String,
    pub layout: String,
    pub launch: String,
}

/// Statistics of a duration in µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DurationColumns {
    pub median_us: Option<f64>,
    pub ci95_low_us: Option<f64>,
    pub ci95_high_us: Option<f64>,
    pub mean_us: Option<f64>,
    pub stddev_us: Option<f64>,
    pub min_us: Option<f64>,
    pub q1_us: Option<f64>,
    pub q3_us: Option<f64>,
    pub max_us: Option<f64>,
}

/// Percent of the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShareColumns {
    pub share_pct: Option<f64>,
    pub share_ci95_low_pct: Option<f64>,
    pub share_ci95_high_pct: Option<f64>,
}

/// How a phase stands against the device's measured ceilings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoofColumns {
    pub gflops_per_s: Option<f64>,
    pub gbytes_per_s: Option<f64>,
    pub bound: Option<Bound>,
    pub roof_pct: Option<f64>,
}

/// One phase of one layer at one batch and image size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseRow {
    pub labels: Labels,
    pub batch: usize,
    pub image: String,
    pub layer_index: usize,
    pub layer: String,
    pub kind: String,
    pub group: Group,
    pub phase: Phase,
    pub status: Status,
    pub samples: Option<usize>,
    pub duration: DurationColumns,
    pub share: ShareColumns,
    pub flops: u64,
    pub bytes: u64,
    pub roof: RoofColumns,
    pub algorithm: Option<String>,
    pub workspace_bytes: Option<u64>,
    pub parameters: u64,
    pub sm_clock_mhz: Option<f64>,
    pub mem_clock_mhz: Option<f64>,
    pub temperature_c: Option<f64>,
    pub throttled_samples: Option<usize>,
}

/// A group's, a phase's or the step's total at one batch and image size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SummaryRow {
    pub labels: Labels,
    pub batch: usize,
    pub image: String,
    /// `None` is written as `all`.
    #[serde(with = "or_all")]
    pub group: Option<Group>,
    #[serde(with = "or_all")]
    pub phase: Option<Phase>,
    pub status: Status,
    pub samples: Option<usize>,
    pub mean_us: Option<f64>,
    pub median_us: Option<f64>,
    pub ci95_low_us: Option<f64>,
    pub ci95_high_us: Option<f64>,
    pub share: ShareColumns,
    pub step: StepColumns,
}

/// Filled on the step's row only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepColumns {
    pub closure: Option<f64>,
    pub mark_us: Option<f64>,
    pub plain_step_us: Option<f64>,
    pub wall_step_us: Option<f64>,
    pub images_per_s: Option<f64>,
    pub planned_bytes: Option<u64>,
    pub measured_bytes: Option<u64>,
}

/// One phase of one timed step; `sample` counts the timed steps of a batch from 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampleRow<'a> {
    pub labels: &'a Labels,
    pub batch: usize,
    pub image: &'a str,
    pub sample: usize,
    pub layer_index: usize,
    pub layer: &'a str,
    pub kind: &'a str,
    pub group: Group,
    pub phase: Phase,
    pub duration_us: Option<f64>,
}

impl Row for PhaseRow {
    const FILE: &'static str = "phases.csv";
    #[rustfmt::skip]
    const HEADER: &'static [&'static str] = &[
        "run_id", "model", "device", "precision", "layout", "launch", "batch", "image",
        "layer_index", "layer", "kind", "group", "phase", "status", "samples",
        "median_us", "ci95_low_us", "ci95_high_us", "mean_us", "stddev_us", "min_us", "q1_us", "q3_us", "max_us",
        "share_pct", "share_ci95_low_pct", "share_ci95_high_pct",
        "flops", "bytes", "gflops_per_s", "gbytes_per_s", "bound", "roof_pct",
        "algorithm", "workspace_bytes", "parameters",
        "sm_clock_mhz", "mem_clock_mhz", "temperature_c", "throttled_samples",
    ];
}

impl Row for SummaryRow {
    const FILE: &'static str = "summary.csv";
    #[rustfmt::skip]
    const HEADER: &'static [&'static str] = &[
        "run_id", "model", "device", "precision", "layout", "launch", "batch", "image",
        "group", "phase", "status", "samples", "mean_us", "median_us", "ci95_low_us", "ci95_high_us",
        "share_pct", "share_ci95_low_pct", "share_ci95_high_pct",
        "closure", "mark_us", "plain_step_us", "wall_step_us", "images_per_s", "planned_bytes", "measured_bytes",
    ];
}

impl Row for SampleRow<'_> {
    const FILE: &'static str = "samples.csv";
    #[rustfmt::skip]
    const HEADER: &'static [&'static str] = &[
        "run_id", "model", "device", "precision", "layout", "launch", "batch", "image",
        "sample", "layer_index", "layer", "kind", "group", "phase", "duration_us",
    ];
}

impl SummaryRow {
    pub fn is_step(&self) -> bool {
        Scope { group: self.group, phase: self.phase }.is_step()
    }
}

/// A word, or `all` for `None`.
mod or_all {
    use super::*;

    const ALL: &str = "all";

    pub fn serialize<T: Serialize, S: serde::Serializer>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => value.serialize(to),
            None => to.serialize_str(ALL),
        }
    }

    pub fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: for<'word> Deserialize<'word>,
        D: serde::Deserializer<'de>,
    {
        let word = String::deserialize(from)?;
        if word == ALL { Ok(None) } else { T::deserialize(StrDeserializer::new(&word)).map(Some) }
    }
}
