//! Runs read back, from a run's folder or from a bare `phases.csv`, also one concatenated from several runs.
//!
//! Rows are kept in a form that takes a fraction of the file's size, so that a file of a million rows is no trouble. What
//! is torn or incomplete is left out and said in [`Reading::notes`]; what is wrong is an error that names file and line.

mod build;
mod table;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::json::{self, SCHEMA_VERSION};
use super::rows::{Labels, PhaseRow, Row, ShareColumns, StepColumns, SummaryRow};
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::stats::Interval;

/// What one path held.
#[derive(Debug, Default)]
pub struct Reading {
    pub runs: Vec<Run>,
    /// What was left out, and what else to know, one line each.
    pub notes: Vec<String>,
}

/// One run, as far as its files tell.
#[derive(Clone, Debug)]
pub struct Run {
    pub path: PathBuf,
    pub labels: Labels,
    /// Its run.json; a bare CSV has none.
    pub run: Option<json::Run>,
    /// By image in the order of the file, then by batch.
    pub points: Vec<Point>,
}

/// One batch and image size.
#[derive(Clone, Debug)]
pub struct Point {
    pub batch: usize,
    pub image: Arc<str>,
    pub status: Status,
    /// By layer, then by phase; empty where nothing was measured.
    pub parts: Vec<LayerPart>,
    /// From summary.csv, or added up without intervals.
    pub totals: Vec<Total>,
    pub step: StepColumns,
}

/// One phase of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerPart {
    pub index: u32,
    pub layer: Arc<str>,
    pub kind: Arc<str>,
    pub group: Group,
    pub phase: Phase,
    pub flops: u64,
    pub bytes: u64,
    pub figures: Figures,
}

/// All of a group, of a phase, or of the step.
#[derive(Clone, Debug, PartialEq)]
pub struct Total {
    pub scope: Scope,
    pub figures: Figures,
}

/// The figures of one phase or total. Times are above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// 0 where nothing was sampled, as in a prediction.
    pub samples: u32,
    pub mean_us: f64,
    pub stddev_us: Option<f64>,
    pub median_us: Option<f64>,
    pub median_ci95: Option<Interval>,
    pub share_pct: f64,
    pub share_ci95: Option<Interval>,
}

/// Reads the folder of a run, or a CSV file of phases.
pub fn open(path: &Path) -> Result<Reading> {
    let folder = path.is_dir();
    let mut builder = build::Builder::new(path);
    if folder && !path.join(PhaseRow::FILE).exists() {
        bail!("{} is no run's folder: it has no {}", path.display(), PhaseRow::FILE);
    }
    // Before the rows, so that another schema is said to be one.
    let run = if folder { run_json(&path.join("run.json"))? } else { None };
    let phases = if folder { path.join(PhaseRow::FILE) } else { path.to_owned() };
    table::rows::<PhaseRow>(&phases, &mut builder)?;
    let summary = path.join(SummaryRow::FILE);
    if folder && summary.exists() {
        table::rows::<SummaryRow>(&summary, &mut builder)?;
    }
    let mut reading = builder.finish().with_context(|| phases.display().to_string())?;
    let mut points = reading.runs.iter().flat_map(|run| &run.points).peekable();
    let why = match (points.peek(), reading.notes.first()) {
        // Only what does not fit has no figures.
        (Some(_), _) => "no batch fits in memory".into(),
        (None, Some(note)) => note.clone(),
        (None, None) => "it has a header and no rows".into(),
    };
    if !points.any(Point::is_measured) {
        bail!("{} holds no batch that was measured whole: {why}", phases.display());
    }
    if let Some(run) = run {
        reading.attach(run);
    }
    Ok(reading)
}

/// `None` where there is no such file.
fn run_json(path: &Path) -> Result<Option<json::Run>> {
    #[derive(serde::Deserialize)]
    struct Version {
        schema_version: u32,
    }
    let text = match std::fs::read(path) {
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

impl Reading {
    /// Gives a run what its run.json knows.
    fn attach(&mut self, json: json::Run) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.labels.run_id == json.run_id) {
            for point in &mut run.points {
                let known = json.points.iter().find(|known| known.batch == point.batch && *known.image == *point.image);
                for total in &mut point.totals {
                    total.figures.stddev_us = known.and_then(|known| known.stddev_us.get(&total.scope.name())).copied();
                }
            }
            if json.state != json::State::Complete {
                let state = serde_json::to_string(&json.state).unwrap_or_default().replace('"', "");
                self.notes.push(format!("{}: the run's state is {state}", run.path.display()));
            }
            run.run = Some(json);
        }
    }
}

impl Run {
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

    /// The measured points of one image size, by batch.
    pub fn measured(&self, image: &str) -> Vec<&Point> {
        self.points.iter().filter(|point| &*point.image == image && point.is_measured()).collect()
    }

    /// The largest batch of an image size that is ok, else the largest measured.
    pub fn largest(&self, image: &str) -> Option<&Point> {
        let points = self.measured(image);
        let ok = points.iter().rev().find(|point| matches!(point.status, Status::Ok | Status::Predicted));
        ok.or(points.last()).copied()
    }

    /// Whether nothing of it was measured.
    pub fn is_predicted(&self) -> bool {
        self.points.iter().any(|point| point.status == Status::Predicted)
    }

    /// Whose figures these are.
    pub fn who(&self) -> String {
        let Labels { model, device, .. } = &self.labels;
        match device.strip_prefix("predicted: ") {
            Some(gpu) => format!("{model}, predicted for {gpu}"),
            None => format!("{model} on {device}"),
        }
    }

    /// The same with precision and layout; a prediction has no layout.
    pub fn heading(&self) -> String {
        let Labels { precision, layout, .. } = &self.labels;
        let parts = [self.who(), precision.clone(), layout.clone()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }

    /// The totals as rows, for the verdict.
    pub fn summaries(&self) -> Vec<SummaryRow> {
        self.points.iter().flat_map(|point| point.summaries(&self.labels)).collect()
    }
}

impl Point {
    pub fn is_measured(&self) -> bool {
        !self.parts.is_empty()
    }

    pub fn total(&self, scope: Scope) -> Option<&Figures> {
        self.totals.iter().find(|total| total.scope == scope).map(|total| &total.figures)
    }

    /// Of all its phases; a group without layers takes none.
    pub fn share(&self, group: Group) -> f64 {
        self.total(Scope { group: Some(group), phase: None }).map_or(0.0, |figures| figures.share_pct)
    }

    fn summaries(&self, labels: &Labels) -> Vec<SummaryRow> {
        let row = |scope: Scope, figures: Option<&Figures>| SummaryRow {
            labels: labels.clone(),
            batch: self.batch,
            image: self.image.to_string(),
            group: scope.group,
            phase: scope.phase,
            status: self.status,
            samples: figures.map(|figures| figures.samples as usize),
            mean_us: figures.map(|figures| figures.mean_us),
            median_us: figures.and_then(|figures| figures.median_us),
            ci95_low_us: figures.and_then(|figures| Some(figures.median_ci95?.low)),
            ci95_high_us: figures.and_then(|figures| Some(figures.median_ci95?.high)),
            share: ShareColumns {
                share_pct: figures.map(|figures| figures.share_pct),
                share_ci95_low_pct: figures.and_then(|figures| Some(figures.share_ci95?.low)),
                share_ci95_high_pct: figures.and_then(|figures| Some(figures.share_ci95?.high)),
            },
            step: if scope.is_step() { self.step } else { StepColumns::default() },
        };
        match self.is_measured() {
            true => self.totals.iter().map(|total| row(total.scope, Some(&total.figures))).collect(),
            false => vec![row(Scope { group: None, phase: None }, None)],
        }
    }
}

#[cfg(test)]
mod tests;
