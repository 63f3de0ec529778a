//! From rows in any order to runs and their points.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};

use super::StoredRuns;
use super::file::Take;
use crate::plan::{LARGEST_BATCH, LARGEST_IMAGE, Precision};
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::report::rows::{
    DurationColumns, LabelColumns, PhaseRow, PointColumns, ShareColumns, StatusWord, SummaryRow,
};
use crate::report::run::{Figures, LayerPart, Origin, Point, Run, Total};
use crate::stats::Interval;
use crate::units::quotable;

/// More than eleven days.
const LONGEST_US: f64 = 1e12;
/// The largest share in percent, with what rounding adds.
const MOST_PCT: f64 = 100.01;

/// How far from 100 the shares of a whole batch's rows may add up to.
const WHOLE: f64 = 0.5;

/// Takes the rows of phases.csv, then those of summary.csv.
pub struct RunBuilder {
    path: PathBuf,
    names: HashSet<Arc<str>>,
    runs: Vec<Run>,
    /// A run's index by the columns that its rows share, apart for what was predicted.
    by_labels: [HashMap<LabelColumns, usize>; 2],
    /// Index of a point in its run.
    by_batch: HashMap<(usize, usize, Arc<str>), usize>,
    notes: Vec<String>,
    torn: Vec<u64>,
}

impl RunBuilder {
    pub fn new(path: &Path) -> RunBuilder {
        RunBuilder {
            path: path.to_owned(),
            names: HashSet::new(),
            runs: Vec::new(),
            by_labels: [HashMap::new(), HashMap::new()],
            by_batch: HashMap::new(),
            notes: Vec::new(),
            torn: Vec::new(),
        }
    }

    /// The index of the run of a row, where there is one.
    fn run(&self, labels: &LabelColumns, status: StatusWord) -> Option<usize> {
        self.by_labels[usize::from(status == StatusWord::Predicted)].get(labels).copied()
    }

    /// The point of a row, made when it is the first. Other labels make another run, whatever its `run_id`.
    fn point(&mut self, of: &PointColumns, word: StatusWord, status: Status) -> (usize, usize) {
        let PointColumns { labels, batch, image } = of;
        let image = name(&mut self.names, image);
        let run = self.run(labels, word).unwrap_or_else(|| {
            let is_predicted = word == StatusWord::Predicted;
            self.by_labels[usize::from(is_predicted)].insert(labels.clone(), self.runs.len());
            let (origin, path) = (Origin::of(labels, is_predicted), self.path.clone());
            let LabelColumns { run_id, model, precision, .. } = labels.clone();
            self.runs.push(Run { path, run_id, model, precision, origin, header: None, points: Vec::new() });
            self.runs.len() - 1
        });
        let points = &mut self.runs[run].points;
        let point = *self.by_batch.entry((run, *batch, image.clone())).or_insert_with(|| {
            points.push(Point::new(*batch, image, status));
            points.len() - 1
        });
        (run, point)
    }

    /// Answers the runs, with complete points only.
    pub fn finish(mut self) -> Result<StoredRuns> {
        if let [first, rest @ ..] = &*self.torn {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            self.notes.insert(0, format!("left out: a torn row on line {first}{more} of {}", self.path.display()));
        }
        for run in &mut self.runs {
            let images = run.images();
            run.points.sort_by_key(|point| (images.iter().position(|image| *image == point.image), point.batch));
            for point in &mut run.points {
                point.check_unique(&run.run_id)?;
            }
            let name = &run.run_id;
            run.points.retain(|point| {
                let sum: f64 = point.parts.iter().map(|part| part.figures.share_pct).sum();
                let whole = !point.is_measured() || (sum - 100.0).abs() <= WHOLE;
                if !whole {
                    let Point { batch, image, .. } = point;
                    self.notes.push(format!(
                        "left out: batch {batch}, image {image} of {name}: its rows add up to {sum:.1} % of the step, not to 100"
                    ));
                }
                whole
            });
            run.points.iter_mut().for_each(Point::add_up);
            run.points.iter_mut().for_each(Point::settle_shares);
        }
        Ok(StoredRuns { runs: self.runs, notes: self.notes })
    }
}

impl Point {
    /// Sorts the rows and makes sure that none stands there twice.
    fn check_unique(&mut self, run_id: &str) -> Result<()> {
        self.parts.sort_by_key(|part| (part.index, part.phase));
        if let Some(twice) =
            self.parts.windows(2).find(|two| (two[0].index, two[0].phase) == (two[1].index, two[1].phase))
        {
            bail!(
                "the {} of {} at batch {} stands there twice for the run {}: leave one of the two out",
                twice[0].phase.name(),
                twice[0].layer,
                self.batch,
                run_id
            );
        }
        Ok(())
    }

    /// Adds the totals that summary.csv did not give. Means and shares add up; medians and intervals do not.
    fn add_up(&mut self) {
        for scope in Scope::every().filter(|&scope| self.total(scope).is_none()).collect::<Vec<_>>() {
            let parts: Vec<&LayerPart> = self.parts.iter().filter(|part| part.is_in(scope)).collect();
            let sum = |figure: fn(&Figures) -> f64| parts.iter().map(|part| figure(&part.figures)).sum::<f64>();
            if let Some(first) = parts.first() {
                let (mean_us, share_pct) = (sum(|figures| figures.mean_us), sum(|figures| figures.share_pct));
                let figures = Figures {
                    samples: first.figures.samples,
                    mean_us,
                    stddev_us: None,
                    median_us: None,
                    median_ci95: None,
                    share_pct,
                    share_ci95: None,
                };
                self.totals.push(Total { scope, figures });
            }
        }
    }
}

/// One copy of each name.
fn name(names: &mut HashSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return known.clone();
    }
    let name: Arc<str> = name.into();
    names.insert(name.clone());
    name
}

/// Refuses figures that no row of this status has.
fn check(word: StatusWord, figures: Option<Figures>, duration: DurationColumns, share: ShareColumns) -> Result<()> {
    let (time, share) = (duration.mean_us.or(duration.median_us), share.share_pct);
    let may_be_empty = match word {
        StatusWord::Predicted | StatusWord::Of(Status::OutOfMemory) => true,
        StatusWord::Of(Status::Throttled | Status::Noisy | Status::Ok) => false,
    };
    match (time, share) {
        (None, None) if may_be_empty => Ok(()),
        _ if word == StatusWord::Of(Status::OutOfMemory) => bail!("a row that is out_of_memory has figures"),
        (None, _) => bail!("mean_us is empty and the status is {}", word.name()),
        (_, None) => bail!("share_pct is empty and the status is {}", word.name()),
        (Some(_), Some(_)) => figures.map_or(Ok(()), |figures| figures.check()),
    }
}

impl Figures {
    fn check(&self) -> Result<()> {
        let ends = |interval: Option<Interval>| interval.map_or([None; 2], |ends| [Some(ends.low), Some(ends.high)]);
        let ([low, high], [share_low, share_high]) = (ends(self.median_ci95), ends(self.share_ci95));
        let times = [("mean_us", Some(self.mean_us)), ("median_us", self.median_us)];
        let others = [
            ("stddev_us", self.stddev_us),
            ("ci95_low_us", low),
            ("ci95_high_us", high),
            ("share_pct", Some(self.share_pct)),
            ("share_ci95_low_pct", share_low),
            ("share_ci95_high_pct", share_high),
        ];
        for (column, value) in times.into_iter().chain(others).filter_map(|(column, value)| Some((column, value?))) {
            let is_time = times.iter().any(|(time, _)| *time == column);
            if !value.is_finite() || value < 0.0 || (is_time && value == 0.0) {
                let wanted = if is_time { "a number above 0" } else { "0 or a number above" };
                bail!("{column} is {value}, not {wanted}");
            }
            if is_time && value > LONGEST_US {
                bail!("{column} is {value} µs, longer than any step");
            }
        }
        if self.share_pct > MOST_PCT {
            bail!("a share_pct of {} is more than the whole", self.share_pct);
        }
        Ok(())
    }
}

/// Refuses what cannot have been run.
fn check_point(point: &PointColumns) -> Result<()> {
    let PointColumns { labels, batch, image } = point;
    if !(1..=LARGEST_BATCH).contains(batch) {
        bail!("`{batch}` is no batch: a whole number from 1 to {LARGEST_BATCH}");
    }
    let is_side = |side: &str| side.parse().is_ok_and(|side: usize| (1..=LARGEST_IMAGE).contains(&side));
    if !image.split_once('x').is_some_and(|(height, width)| is_side(height) && is_side(width)) {
        bail!("`{}` is no image: HEIGHTxWIDTH, each from 1 to {LARGEST_IMAGE}", quotable(image));
    }
    let precisions = Precision::ALL.map(|precision| precision.to_string());
    if !precisions.contains(&labels.precision) {
        bail!("`{}` is no precision: one of {}", quotable(&labels.precision), precisions.join(", "));
    }
    Ok(())
}

impl Take<PhaseRow> for RunBuilder {
    fn take(&mut self, row: &PhaseRow) -> Result<()> {
        check_point(&row.point)?;
        let part = LayerPart::of(row, &mut |text| name(&mut self.names, text));
        let figures = part.as_ref().map(|part| part.figures);
        check(row.status, figures, row.duration, row.share)?;
        let (run, point) = self.point(&row.point, row.status, row.status.in_memory(part.is_some()));
        let point = &mut self.runs[run].points[point];
        point.ranks = row.together.ranks.unwrap_or(1).max(1);
        point.parts.extend(part);
        Ok(())
    }

    fn torn(&mut self, _: &Path, line: u64) {
        self.torn.push(line);
    }
}

impl Take<SummaryRow> for RunBuilder {
    fn take(&mut self, row: &SummaryRow) -> Result<()> {
        check_point(&row.point)?;
        check(row.status, Figures::of(row.samples, row.duration, row.share), row.duration, row.share)?;
        let PointColumns { labels, batch, image } = &row.point;
        let run = self.run(labels, row.status);
        let known =
            run.and_then(|run| Some((run, *self.by_batch.get(&(run, *batch, self.names.get(&**image)?.clone()))?)));
        // A batch without phases is a torn one.
        if let Some((run, point)) = known {
            self.runs[run].points[point].add_total(row);
        }
        Ok(())
    }

    /// All that a torn total lacks is its interval: its time is known from the phases.
    fn torn(&mut self, file: &Path, line: u64) {
        self.notes.push(format!("left out: a torn row on line {line} of {}", file.display()));
    }
}
