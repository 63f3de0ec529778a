//! A or B: one run, or several that are alike.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::{RowKey, Subject};
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::report::rows::LabelColumns;
use crate::report::run::{Figures, Run};
use crate::stats::Estimate;

/// The runs of one side, and their figures row by row.
#[derive(Debug)]
pub struct Side {
    /// The runs.
    pub runs: Vec<Run>,
    /// In the first run's order.
    keys: Vec<RowKey>,
    /// Of each run that has the row.
    figures: HashMap<RowKey, Vec<Figures>>,
    /// The worst of the runs.
    states: HashMap<(Arc<str>, usize), Status>,
}

impl Side {
    /// Puts runs together that are alike; `name` is what errors call them.
    pub fn new(name: &str, runs: Vec<Run>) -> Result<Side> {
        check_alike(name, &runs)?;
        let mut side = Side { runs: Vec::new(), keys: Vec::new(), figures: HashMap::new(), states: HashMap::new() };
        for run in &runs {
            for point in &run.points {
                let state = side.states.entry((point.image.clone(), point.batch)).or_insert(point.status);
                *state = worse(*state, point.status);
                let totals = point.totals.iter().map(|total| (Subject::Total(total.scope), total.figures));
                let parts = point
                    .parts
                    .iter()
                    .map(|part| (Subject::Layer(part.layer.clone(), part.group, part.phase), part.figures));
                let (step, others): (Vec<_>, Vec<_>) = totals.partition(|(of, _)| *of == Subject::Total(Scope::STEP));
                for (of, figures) in step.into_iter().chain(others).chain(parts) {
                    let key = RowKey { image: point.image.clone(), batch: point.batch, of };
                    let known = side.figures.entry(key.clone()).or_default();
                    if known.is_empty() {
                        side.keys.push(key);
                    }
                    known.push(figures);
                }
            }
        }
        side.runs = runs;
        Ok(side)
    }

    /// All rows, in the first run's order.
    pub fn keys(&self) -> &[RowKey] {
        &self.keys
    }

    /// Tells if a run of it has the row.
    pub fn has(&self, key: &RowKey) -> bool {
        self.figures.contains_key(key)
    }

    /// Tells if it measured, or tried to measure, this batch and image size.
    pub fn tried(&self, key: &RowKey) -> bool {
        self.status(key).is_some()
    }

    /// The worst status of the row's batch among the runs.
    pub fn status(&self, key: &RowKey) -> Option<Status> {
        self.states.get(&(key.image.clone(), key.batch)).copied()
    }

    /// The mean of a figure over the runs.
    pub fn mean(&self, key: &RowKey, figure: fn(&Figures) -> f64) -> f64 {
        let of_runs = &self.figures[key];
        of_runs.iter().map(figure).sum::<f64>() / of_runs.len() as f64
    }

    /// One run's own estimate, or that of several from what differs between them.
    pub fn estimate(
        &self,
        key: &RowKey,
        estimate: fn(&Figures) -> Option<Estimate>,
        value: fn(&Figures) -> Option<f64>,
    ) -> Option<Estimate> {
        match &**self.figures.get(key)? {
            [one] => estimate(one),
            several => Estimate::over_runs(&several.iter().map(value).collect::<Option<Vec<f64>>>()?),
        }
    }

    /// The batch and image sizes, for messages.
    pub fn batches(&self) -> String {
        let mut batches: Vec<String> = self.keys.iter().map(|key| format!("{} at {}", key.batch, key.image)).collect();
        batches.dedup();
        batches.join(", ")
    }
}

/// [`Status`] names the worst first.
fn worse(one: Status, other: Status) -> Status {
    if (one as u8) < (other as u8) { one } else { other }
}

/// Runs of one side say how runs differ by chance; by design they must not.
fn check_alike(name: &str, runs: &[Run]) -> Result<()> {
    let [first, others @ ..] = runs else { bail!("{name} holds no run") };
    for (index, run) in others.iter().enumerate() {
        let (one, other) = (first.labels(), run.labels());
        if runs[..=index].iter().any(|earlier| earlier.labels() == other) {
            bail!("{name} has the run {} twice", other.run_id);
        }
        let LabelColumns { model, device, precision, layout, launch, .. } = &other;
        let labels = [
            ("models", &one.model, model),
            ("devices", &one.device, device),
            ("precisions", &one.precision, precision),
            ("layouts", &one.layout, layout),
            ("launch modes", &one.launch, launch),
        ];
        if let Some((what, one, other)) = labels.into_iter().find(|(_, one, other)| one != other) {
            bail!("{name} mixes {what}, {one} and {other}: the runs of one side must be alike");
        }
        if let Some(difference) = first.differs_from(run) {
            bail!("the runs of {name} are not alike: {difference}");
        }
    }
    Ok(())
}
