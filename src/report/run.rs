//! One run in memory: measured here, read from files, or predicted.
//!
//! Everything that is printed, drawn, compared or written to `run.json` is made from a [`Run`]; the CSV files are made from
//! [rows](super::rows), and a [`Point`] from the same rows, so that what is printed is what was saved.

use std::path::PathBuf;
use std::sync::Arc;

use super::header::{Header, Measuring};
use super::rows::build::Batch;
use super::rows::{
    DurationColumns, GroupedColumns, LabelColumns, PhaseRow, ShareColumns, StatusWord, StepColumns, SummaryRow,
};
use super::run_file::PointRecord;
use crate::device::Training;
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::predict::Predicted;
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::stats::Interval;

/// Begins the device's name in the files of a prediction.
const PREDICTED: &str = "predicted: ";

/// One run, as far as it is known.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its folder, or the file it was read from.
    pub path: PathBuf,
    /// The name of its folder.
    pub run_id: String,
    /// The model's name.
    pub model: String,
    /// The precision of the arithmetic.
    pub precision: String,
    /// The source of its figures.
    pub origin: Origin,
    /// The head of its `run.json`; a bare CSV file has none.
    pub header: Option<Header>,
    /// Its batch and image sizes. Those read from files are by image in the file's order, then by batch.
    pub points: Vec<Point>,
}

/// The source of a run's figures.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Steps that ran.
    Measured {
        /// The device's name.
        device: String,
        /// The memory order of activations.
        layout: String,
        /// How steps reached the device.
        launch: String,
        /// How it was measured; unknown without a `run.json`.
        measurement: Option<Measurement>,
    },
    /// Arithmetic from a datasheet.
    Predicted {
        /// The GPU's title.
        gpu: String,
    },
}

/// How a run was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measurement {
    /// Threads that the device computes with, where there is a choice.
    pub threads: Option<usize>,
    /// The constants of training.
    pub training: Training,
    /// When a batch was measured enough.
    pub measuring: Measuring,
    /// Every timed step is in samples.csv.
    pub samples: bool,
}

/// One batch and image size.
#[derive(Clone, Debug)]
pub struct Point {
    /// Images per step.
    pub batch: usize,
    /// Height x width.
    pub image: Arc<str>,
    /// Ranks that trained together, each on a batch of its own.
    pub ranks: usize,
    /// How it went; a prediction is `Ok` where it fits in memory.
    pub status: Status,
    /// By layer, then by phase; empty where there are no figures.
    pub parts: Vec<LayerPart>,
    /// From summary.csv, or added up without intervals.
    pub totals: Vec<Total>,
    /// The step's own figures.
    pub step: StepColumns,
    /// The groups' figures in steps with few marks, and those of such a step, where there were any.
    pub grouped: Vec<(Option<Group>, GroupedColumns)>,
    /// The facts in run.json beyond the rows; a bare CSV file has none.
    pub record: Option<PointRecord>,
}

/// One phase of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPart {
    /// The layer's place in the model, from 0.
    pub index: u32,
    /// The layer's name.
    pub layer: Arc<str>,
    /// The layer's kind.
    pub kind: Arc<str>,
    /// The group that the kind belongs to.
    pub group: Group,
    /// The phase.
    pub phase: Phase,
    /// Operations, two per multiply-add; 0 where they are not known.
    pub flops: u64,
    /// Bytes read and written; 0 where they are not known.
    pub bytes: u64,
    /// Weights and biases of the layer; 0 where they are not known.
    pub parameters: u64,
    /// Time and share.
    pub figures: Figures,
}

/// All of a group, of a phase, or of the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Total {
    /// The group and phase that it is the total of.
    pub scope: Scope,
    /// Time and share.
    pub figures: Figures,
}

/// The time of one phase or total, and its share of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// Timed steps; 0 where nothing was sampled, as in a prediction.
    pub samples: u32,
    /// Mean time in µs.
    pub mean_us: f64,
    /// Sample standard deviation in µs.
    pub stddev_us: Option<f64>,
    /// Median time in µs.
    pub median_us: Option<f64>,
    /// The median's 95 % interval in µs.
    pub median_ci95: Option<Interval>,
    /// Mean share in percent of the step.
    pub share_pct: f64,
    /// The share's 95 % interval in percent.
    pub share_ci95: Option<Interval>,
}

impl Origin {
    /// From the columns of a file.
    pub fn of(labels: &LabelColumns, is_predicted: bool) -> Origin {
        let LabelColumns { device, layout, launch, .. } = labels.clone();
        match is_predicted {
            true => Origin::Predicted { gpu: device.strip_prefix(PREDICTED).unwrap_or(&device).into() },
            false => Origin::Measured { device, layout, launch, measurement: None },
        }
    }

    /// Tells if a file's column `device` names a GPU that was not here.
    pub fn names_prediction(device: &str) -> bool {
        device.starts_with(PREDICTED)
    }

    /// The columns device, layout and launch.
    fn columns(&self) -> [String; 3] {
        match self.clone() {
            Origin::Measured { device, layout, launch, .. } => [device, layout, launch],
            Origin::Predicted { gpu } => [format!("{PREDICTED}{gpu}"), String::new(), String::new()],
        }
    }

    /// How it was measured, where that is known.
    pub fn measurement(&self) -> Option<&Measurement> {
        match self {
            Origin::Measured { measurement, .. } => measurement.as_ref(),
            Origin::Predicted { .. } => None,
        }
    }
}

impl Run {
    /// A run that begins now, without points. Its folder gives it the path and the `run_id`.
    pub fn new(model: impl Into<String>, precision: impl ToString, origin: Origin, header: Header) -> Run {
        Run {
            path: PathBuf::new(),
            run_id: String::new(),
            model: model.into(),
            precision: precision.to_string(),
            origin,
            header: Some(header),
            points: Vec::new(),
        }
    }

    /// Adds a batch that is not to be saved.
    pub fn add_predicted(&mut self, predicted: &Predicted) {
        let (batch, labels) = (Batch::predicted(predicted), self.labels());
        self.points.push(Point::of_rows(&batch.phases(&labels), &batch.summary(&labels), batch.record()));
    }

    /// The columns that its rows share.
    pub fn labels(&self) -> LabelColumns {
        let [device, layout, launch] = self.origin.columns();
        let (run_id, model, precision) = (self.run_id.clone(), self.model.clone(), self.precision.clone());
        LabelColumns { run_id, model, device, precision, layout, launch }
    }

    /// Image sizes in the order in which they come.
    pub fn images(&self) -> Vec<Arc<str>> {
        let mut images: Vec<Arc<str>> = Vec::new();
        for point in &self.points {
            if !images.contains(&point.image) {
                images.push(point.image.clone());
            }
        }
        images
    }

    /// The points of one image size, by batch.
    pub fn at(&self, image: &str) -> Vec<&Point> {
        let mut points: Vec<&Point> = self.points.iter().filter(|point| &*point.image == image).collect();
        points.sort_by_key(|point| point.batch);
        points
    }

    /// Those of them that have figures.
    pub fn measured(&self, image: &str) -> Vec<&Point> {
        self.at(image).into_iter().filter(|point| point.is_measured()).collect()
    }

    /// The largest batch of an image size whose shares are known, else the largest measured.
    pub fn largest(&self, image: &str) -> Option<&Point> {
        let points = self.measured(image);
        points.iter().rev().find(|point| point.shares_unknown().is_none()).or(points.last()).copied()
    }

    /// Tells if nothing of it was measured.
    pub fn is_predicted(&self) -> bool {
        matches!(self.origin, Origin::Predicted { .. })
    }

    /// The word in the column `status` of a point.
    pub fn status_word(&self, point: &Point) -> StatusWord {
        if self.is_predicted() { StatusWord::Predicted } else { StatusWord::Of(point.status) }
    }

    /// The model and whose figures these are.
    pub fn who(&self) -> String {
        let model = &self.model;
        match &self.origin {
            Origin::Measured { device, .. } => format!("{model} on {device}"),
            Origin::Predicted { gpu } => format!("{model}, predicted for {gpu}"),
        }
    }

    /// The same with precision and layout; a prediction has no layout.
    pub fn heading(&self) -> String {
        let (who, precision) = (self.who(), &self.precision);
        let ranks = self.points.iter().map(|point| point.ranks).max().filter(|&ranks| ranks > 1);
        let ranks = ranks.map_or(String::new(), |ranks| format!(", {ranks} ranks"));
        match &self.origin {
            Origin::Measured { layout, .. } if !layout.is_empty() => format!("{who}, {precision}, {layout}{ranks}"),
            Origin::Measured { .. } | Origin::Predicted { .. } => format!("{who}, {precision}"),
        }
    }
}

impl Point {
    /// Makes a point of its rows.
    pub fn of_rows(phases: &[PhaseRow], totals: &[SummaryRow], record: PointRecord) -> Point {
        let mut point = Point::new(record.batch, record.image.as_str().into(), Status::Ok);
        point.parts = phases.iter().filter_map(|row| LayerPart::of(row, &mut |name| name.into())).collect();
        if let Some(first) = phases.first() {
            point.status = first.status.in_memory(!point.parts.is_empty());
            point.ranks = first.together.ranks.unwrap_or(1);
        }
        for row in totals {
            point.add_total(row);
        }
        point.settle_shares();
        point.attach(record);
        point
    }

    /// A point without figures.
    pub(super) fn new(batch: usize, image: Arc<str>, status: Status) -> Point {
        let (parts, totals, step) = (Vec::new(), Vec::new(), StepColumns::default());
        Point { batch, image, ranks: 1, status, parts, totals, step, grouped: Vec::new(), record: None }
    }

    /// Takes a row of summary.csv.
    pub(super) fn add_total(&mut self, row: &SummaryRow) {
        let scope = row.scope();
        let figures = Figures::of(row.samples, row.duration, row.share);
        self.totals.extend(figures.map(|figures| Total { scope, figures }));
        if scope.is_step() {
            self.step = row.step;
        }
        if scope.phase.is_none() && row.grouped.share.share_pct.is_some() {
            self.grouped.push((scope.group, row.grouped));
        }
    }

    /// Takes what run.json knows, the totals' standard deviations among it.
    pub(super) fn attach(&mut self, record: PointRecord) {
        for total in &mut self.totals {
            total.figures.stddev_us = record.stddev_us.get(&total.scope.name()).copied();
        }
        self.record = Some(record);
    }

    /// Tells if it has figures.
    pub fn is_measured(&self) -> bool {
        !self.parts.is_empty()
    }

    /// The figures of a total.
    pub fn total(&self, scope: Scope) -> Option<&Figures> {
        self.totals.iter().find(|total| total.scope == scope).map(|total| &total.figures)
    }

    /// The figures of a group over all its phases; a group without layers has none.
    pub fn group(&self, group: Group) -> Option<&Figures> {
        self.total(Scope { group: Some(group), phase: None })
    }

    /// The share in percent of all of a group's phases; a group without layers takes none.
    pub fn share(&self, group: Group) -> f64 {
        self.group(group).map_or(0.0, |figures| figures.share_pct)
    }

    /// The batches of all ranks over the median plain step; in a prediction over the step.
    pub fn images_per_s(&self) -> Option<f64> {
        let plain = self.step.plain_step_us.map(|us| (self.batch * self.ranks) as f64 / us * 1e6);
        plain.or(self.step.images_per_s)
    }

    /// Its phases, layer by layer.
    pub fn layers(&self) -> impl Iterator<Item = &[LayerPart]> {
        self.parts.chunk_by(|one, next| one.index == next.index)
    }
}

impl LayerPart {
    /// `None` for a row without figures; `name` gives one copy of each name.
    pub(super) fn of(row: &PhaseRow, name: &mut dyn FnMut(&str) -> Arc<str>) -> Option<LayerPart> {
        let figures = Figures::of(row.samples, row.duration, row.share)?;
        Some(LayerPart {
            index: row.layer_index as u32,
            layer: name(&row.layer),
            kind: name(&row.kind),
            group: row.group,
            phase: row.phase,
            flops: row.flops.unwrap_or(0),
            bytes: row.bytes.unwrap_or(0),
            parameters: row.parameters.unwrap_or(0),
            figures,
        })
    }

    /// Tells if a total counts it.
    pub fn is_in(&self, scope: Scope) -> bool {
        scope.group.is_none_or(|group| group == self.group) && scope.phase.is_none_or(|phase| phase == self.phase)
    }
}

impl Figures {
    /// `None` without a time or a share.
    pub(super) fn of(samples: Option<usize>, duration: DurationColumns, share: ShareColumns) -> Option<Figures> {
        Some(Figures {
            samples: samples.unwrap_or(0) as u32,
            mean_us: duration.mean_us.or(duration.median_us)?,
            stddev_us: duration.stddev_us,
            median_us: duration.median_us,
            median_ci95: interval(duration.ci95_low_us, duration.ci95_high_us),
            share_pct: share.share_pct?,
            share_ci95: interval(share.share_ci95_low_pct, share.share_ci95_high_pct),
        })
    }
}

pub(super) fn interval(low: Option<f64>, high: Option<f64>) -> Option<Interval> {
    Some(Interval { low: low?, high: high? })
}

impl StatusWord {
    /// How the point went: a prediction without figures is one that does not fit.
    pub(super) fn in_memory(self, has_figures: bool) -> Status {
        match self {
            StatusWord::Of(status) => status,
            StatusWord::Predicted if has_figures => Status::Ok,
            StatusWord::Predicted => Status::OutOfMemory,
        }
    }
}
