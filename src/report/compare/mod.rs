//! Two runs side by side, or several of each: what differs in how they were made, then figures and verdicts row by row.
//!
//! One figure is judged: times where the clocks were fixed, else shares. The rows that are judged are those that are shown,
//! and the verdicts are corrected for their number ([`stats::verdicts`]), in two tables with half of the error each.

mod csv;
mod differs;
mod side;
mod table;

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Result, bail};

use super::run::Figures;
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::stats::{self, Difference, Estimate, Verdict};
pub use csv::{ComparedRow, text as csv};
pub use side::Side;
pub use table::{differs, text as table};

/// The choices of a user.
#[derive(Clone, Debug)]
pub struct CompareSettings {
    /// Batches to compare; empty for all totals, and layers at the largest.
    pub batches: Vec<usize>,
    /// Largest difference that counts as the same: a fraction of a time, or of the step for shares.
    pub margin: Option<f64>,
    /// Rows that take a smaller part of the step are left out.
    pub min_share: f64,
    /// The user fixed the clocks.
    pub clocks_fixed: bool,
}

/// The figure that the verdicts are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// Durations, where the clocks were fixed.
    Times,
    /// Shares of the step.
    Shares,
}

/// The subject of a row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A group, a phase or the step.
    Total(Scope),
    /// A phase of a layer, with the layer's group.
    Layer(Arc<str>, Group, Phase),
}

/// One batch and image size, and a subject there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// Height x width.
    pub image: Arc<str>,
    /// Images per step.
    pub batch: usize,
    /// The subject.
    pub of: Subject,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Batch, image and subject.
    pub key: RowKey,
    /// Means or medians, whichever differ more clearly.
    pub statistic: Statistic,
    /// A's and B's times in µs; of several runs the mean on the log scale.
    pub times_us: [f64; 2],
    /// A's and B's shares in percent of the step.
    pub share_pct: [f64; 2],
    /// ln(B/A) of the times.
    pub time: Option<Difference>,
    /// B's share less A's, in points of the step.
    pub share: Option<Difference>,
    /// `None` where nothing is judged: the step's own share, the times of a throttled batch.
    pub verdict: Option<Verdict>,
}

/// The statistic by which two times are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// Their means.
    Mean,
    /// Their medians.
    Median,
}

/// Two sides compared, row by row.
#[derive(Debug)]
pub struct Comparison {
    /// The figure that is judged.
    pub judged: Judged,
    /// As in [`CompareSettings::margin`].
    pub margin: f64,
    /// As in [`CompareSettings::min_share`].
    pub min_share: f64,
    /// Numbers of runs of A and of B.
    pub runs: [usize; 2],
    /// Differences in how the sides were made, the most important first.
    pub differences: Vec<String>,
    /// Statements to read before any figure.
    pub preface: Vec<String>,
    /// The step and its groups.
    pub wholes: Vec<Compared>,
    /// Phases and layers.
    pub details: Vec<Compared>,
    /// Rows below `min_share`.
    pub left_out: usize,
}

impl Comparison {
    /// Compares two sides. Fails where they have no batch and image size in common.
    pub fn of(a: &Side, b: &Side, settings: &CompareSettings) -> Result<Comparison> {
        let unfixed = if settings.clocks_fixed { Vec::new() } else { differs::unfixed_clocks(a, b) };
        let judged = if unfixed.is_empty() { Judged::Times } else { Judged::Shares };
        let margin = settings.margin.unwrap_or(judged.margin());
        let (keys, left_out) = keys(a, b, settings)?;
        let rows = keys.into_iter().map(|key| row(key, a, b, judged));
        // The whole and its parts are two families, so that many layers do not hide a slower step.
        let (mut wholes, mut details): (Vec<_>, Vec<_>) = rows.partition(|(line, _)| line.key.of.is_whole());
        for family in [&mut wholes, &mut details] {
            let judged_rows = || family.iter().filter(|(line, _)| line.is_judged(a, b, judged));
            let differences: Vec<Vec<Difference>> = judged_rows().map(|(_, row)| row.clone()).collect();
            let margin = judged.margin_of_differences(margin);
            let mut verdicts = stats::verdicts(&differences, margin, stats::ALPHA / 2.0).into_iter();
            for (line, _) in family.iter_mut().filter(|(line, _)| line.is_judged(a, b, judged)) {
                line.verdict = verdicts.next();
            }
        }
        let lines = |family: Vec<(Compared, Vec<Difference>)>| family.into_iter().map(|(line, _)| line).collect();
        Ok(Comparison {
            judged,
            margin,
            min_share: settings.min_share,
            runs: [a.runs.len(), b.runs.len()],
            differences: differs::differences(a, b),
            preface: differs::preface(a, b, &unfixed),
            wholes: lines(wholes),
            details: lines(details),
            left_out,
        })
    }

    /// The rows that are slower by more than this fraction; `None` where times are not judged.
    pub fn slower_by(&self, fraction: f64) -> Option<Vec<&Compared>> {
        let slower = |line: &&Compared| line.verdict == Some(Verdict::Slower) && line.ratio() > 1.0 + fraction;
        (self.judged == Judged::Times).then(|| self.lines().filter(slower).collect())
    }

    /// All rows.
    pub fn lines(&self) -> impl Iterator<Item = &Compared> {
        self.wholes.iter().chain(&self.details)
    }
}

impl Judged {
    /// Unless the user says otherwise.
    fn margin(self) -> f64 {
        match self {
            Judged::Times => 0.02,
            Judged::Shares => 0.005,
        }
    }

    /// In the unit of the differences: ln of a ratio, points.
    fn margin_of_differences(self, margin: f64) -> f64 {
        match self {
            Judged::Times => margin.ln_1p(),
            Judged::Shares => 100.0 * margin,
        }
    }
}

impl Compared {
    /// B over A.
    pub fn ratio(&self) -> f64 {
        self.times_us[1] / self.times_us[0]
    }

    fn is_judged(&self, a: &Side, b: &Side, judged: Judged) -> bool {
        let throttled = |side: &Side| side.status(&self.key) == Some(Status::Throttled);
        match judged {
            Judged::Times => self.time.is_some() && !throttled(a) && !throttled(b),
            Judged::Shares => self.share.is_some() && self.key.of != Subject::Total(Scope::STEP),
        }
    }
}

impl Subject {
    /// The step and its groups.
    fn is_whole(&self) -> bool {
        matches!(self, Subject::Total(Scope { phase: None, .. }))
    }
}

/// The rows to compare, in A's order, and the number of those that are too small.
fn keys(a: &Side, b: &Side, settings: &CompareSettings) -> Result<(Vec<RowKey>, usize)> {
    let shared: Vec<&RowKey> = a.keys().iter().filter(|key| b.has(key)).collect();
    if shared.is_empty() {
        bail!("A and B have no batch and image size in common: A has {}, B {}", a.batches(), b.batches());
    }
    if let Some(missing) = settings.batches.iter().find(|&&batch| !shared.iter().any(|key| key.batch == batch)) {
        bail!("batch {missing} is not in both: A has {}, B {}", a.batches(), b.batches());
    }
    let detailed = detailed(&shared, a, b);
    let wanted = |key: &&&RowKey| match &*settings.batches {
        [] => key.of.is_whole() || detailed.contains(&(key.image.clone(), key.batch)),
        batches => batches.contains(&key.batch),
    };
    let (kept, small): (Vec<&RowKey>, Vec<&RowKey>) = shared.iter().filter(wanted).partition(|key| {
        let share = |side: &Side| side.mean(key, |figures| figures.share_pct);
        // Chosen by the average of both sides, which says nothing of their difference, a filter leaves the verdicts as
        // sure as they were (Bourgon, Gentleman and Huber 2010, Proc. Natl. Acad. Sci. 107:9546).
        key.of.is_whole() || (share(a) + share(b)) / 2.0 >= 100.0 * settings.min_share
    });
    Ok((kept.into_iter().cloned().collect(), small.len()))
}

/// Per image, the largest batch that is ok on both sides, else the largest of all.
fn detailed(shared: &[&RowKey], a: &Side, b: &Side) -> HashSet<(Arc<str>, usize)> {
    let fine = |key: &RowKey| {
        let fine = |side: &Side| side.status(key) == Some(Status::Ok);
        fine(a) && fine(b)
    };
    let images: HashSet<&Arc<str>> = shared.iter().map(|key| &key.image).collect();
    let largest = |image: &Arc<str>| {
        let of_image = shared.iter().filter(|key| key.image == *image);
        of_image.map(|key| (fine(key), key.batch)).max().map(|(_, batch)| (image.clone(), batch))
    };
    images.into_iter().filter_map(largest).collect()
}

/// A row, and the differences that it is judged by.
fn row(key: RowKey, a: &Side, b: &Side, judged: Judged) -> (Compared, Vec<Difference>) {
    let between = |estimate: fn(&Figures) -> Option<Estimate>, value: fn(&Figures) -> Option<f64>| {
        Some(Difference::between(a.estimate(&key, estimate, value)?, b.estimate(&key, estimate, value)?))
    };
    let mean = between(
        |one| Estimate::ln_mean(one.mean_us, one.stddev_us?, one.samples as usize),
        |one| Some(one.mean_us.ln()),
    );
    let median = between(
        |one| Estimate::ln_median(one.median_us?, one.median_ci95?, one.samples as usize),
        |one| Some(one.median_us?.ln()),
    );
    let share =
        between(|one| Estimate::share(one.share_pct, one.share_ci95?, one.samples as usize), |one| Some(one.share_pct));
    let times: Vec<Difference> = mean.into_iter().chain(median).collect();
    let time = stats::clearest(&times).copied();
    let statistic = if time.is_some() && time == median { Statistic::Median } else { Statistic::Mean };
    let ln_time: fn(&Figures) -> f64 = match statistic {
        Statistic::Mean => |figures| figures.mean_us.ln(),
        Statistic::Median => |figures| figures.median_us.unwrap_or(figures.mean_us).ln(),
    };
    let line = Compared {
        statistic,
        times_us: [a, b].map(|side| side.mean(&key, ln_time).exp()),
        share_pct: [a, b].map(|side| side.mean(&key, |figures| figures.share_pct)),
        time,
        share,
        verdict: None,
        key,
    };
    let judgeable = match judged {
        Judged::Times => times,
        Judged::Shares => share.into_iter().collect(),
    };
    (line, judgeable)
}

#[cfg(test)]
mod tests;
