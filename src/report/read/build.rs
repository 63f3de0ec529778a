//! From rows in any order to runs and their points.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};

use super::table::Take;
use super::*;
use crate::plan::Precision;
use crate::plan::{LARGEST_BATCH, LARGEST_IMAGE};

/// More than eleven days.
const LONGEST_US: f64 = 1e12;
/// What a share may be, with what rounding adds.
const MOST_PCT: f64 = 100.01;

/// How far from 100 the shares of a whole batch's rows may add up to.
const WHOLE: f64 = 0.5;

/// Takes the rows of phases.csv, then those of summary.csv.
pub struct Builder {
    path: PathBuf,
    names: HashSet<Arc<str>>,
    runs: Vec<Run>,
    by_labels: HashMap<Labels, usize>,
    /// Index of a point in its run.
    by_batch: HashMap<(usize, usize, Arc<str>), usize>,
    notes: Vec<String>,
    torn: Vec<u64>,
}

impl Builder {
    pub fn new(path: &Path) -> Builder {
        Builder {
            path: path.to_owned(),
            names: HashSet::new(),
            runs: Vec::new(),
            by_labels: HashMap::new(),
            by_batch: HashMap::new(),
            notes: Vec::new(),
            torn: Vec::new(),
        }
    }

    /// One copy of each name.
    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.names.insert(name.clone());
        name
    }

    /// The point of a row, made when it is the first. Other labels make another run, whatever its `run_id`.
    fn point(&mut self, labels: Labels, batch: usize, image: &str, status: Status) -> &mut Point {
        let image = self.name(image);
        let run = match self.by_labels.get(&labels) {
            Some(&run) => run,
            None => {
                self.by_labels.insert(labels.clone(), self.runs.len());
                self.runs.push(Run { path: self.path.clone(), labels, run: None, points: Vec::new() });
                self.runs.len() - 1
            }
        };
        let points = &mut self.runs[run].points;
        let index = *self.by_batch.entry((run, batch, image.clone())).or_insert_with(|| {
            let (parts, totals) = (Vec::new(), Vec::new());
            points.push(Point { batch, image, status, parts, totals, step: StepColumns::default() });
            points.len() - 1
        });
        &mut points[index]
    }

    /// The runs, complete points only.
    pub fn finish(mut self) -> Result<Reading> {
        if let [first, rest @ ..] = &*self.torn {
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            self.notes.insert(0, format!("left out: a torn row on line {first}{more} of {}", self.path.display()));
        }
        for run in &mut self.runs {
            let images = run.images();
            run.points.sort_by_key(|point| (images.iter().position(|image| *image == point.image), point.batch));
            for point in &mut run.points {
                point.check_unique(&run.labels)?;
            }
            let name = &run.labels.run_id;
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
        }
        Ok(Reading { runs: self.runs, notes: self.notes })
    }
}

impl Point {
    /// Sorts the rows and makes sure that none stands there twice.
    fn check_unique(&mut self, labels: &Labels) -> Result<()> {
        self.parts.sort_by_key(|part| (part.index, part.phase));
        if let Some(twice) =
            self.parts.windows(2).find(|two| (two[0].index, two[0].phase) == (two[1].index, two[1].phase))
        {
            bail!(
                "the {} of {} at batch {} stands there twice for the run {}: leave one of the two out",
                twice[0].phase.name(),
                twice[0].layer,
                self.batch,
                labels.run_id
            );
        }
        Ok(())
    }

    /// The totals that summary.csv did not give. Means and shares add up; medians and intervals do not.
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

impl LayerPart {
    fn is_in(&self, scope: Scope) -> bool {
        scope.group.is_none_or(|group| group == self.group) && scope.phase.is_none_or(|phase| phase == self.phase)
    }
}

impl Figures {
    /// `None` where nothing was measured.
    fn of(
        status: Status,
        samples: Option<usize>,
        mean_us: Option<f64>,
        stddev_us: Option<f64>,
        median_us: Option<f64>,
        median_ci95: (Option<f64>, Option<f64>),
        share: ShareColumns,
    ) -> Result<Option<Figures>> {
        let interval = |low: Option<f64>, high: Option<f64>| Some(Interval { low: low?, high: high? });
        let empty = matches!(status, Status::OutOfMemory | Status::Predicted);
        let (mean_us, share_pct) = match (mean_us.or(median_us), share.share_pct) {
            (None, None) if empty => return Ok(None),
            (Some(_), _) | (_, Some(_)) if status == Status::OutOfMemory => {
                bail!("a row that is out_of_memory has figures")
            }
            (Some(mean_us), Some(share_pct)) => (mean_us, share_pct),
            (None, _) => bail!("mean_us is empty and the status is {}", status.name()),
            (_, None) => bail!("share_pct is empty and the status is {}", status.name()),
        };
        let figures = Figures {
            samples: samples.unwrap_or(0) as u32,
            mean_us,
            stddev_us,
            median_us,
            median_ci95: interval(median_ci95.0, median_ci95.1),
            share_pct,
            share_ci95: interval(share.share_ci95_low_pct, share.share_ci95_high_pct),
        };
        figures.check()?;
        Ok(Some(figures))
    }

    fn check(&self) -> Result<()> {
        let ends = |interval: Option<Interval>| interval.map_or([0.0; 2], |ends| [ends.low, ends.high]);
        let times = [self.mean_us, self.median_us.unwrap_or(self.mean_us)];
        let others = [self.stddev_us.unwrap_or(0.0), self.share_pct];
        let all = times.iter().chain(&others).copied().chain(ends(self.median_ci95)).chain(ends(self.share_ci95));
        let sound = |figure: f64| figure.is_finite() && figure >= 0.0;
        if !all.into_iter().all(sound) || times.contains(&0.0) {
            bail!("a time, share or interval is not a number above 0");
        }
        if let Some(time) = times.into_iter().find(|&time| time > LONGEST_US) {
            bail!("{time} µs are longer than any step");
        }
        if self.share_pct > MOST_PCT {
            bail!("a share_pct of {} is more than the whole", self.share_pct);
        }
        Ok(())
    }
}

/// Refuses what cannot have been run.
fn check_point(labels: &Labels, batch: usize, image: &str) -> Result<()> {
    if !(1..=LARGEST_BATCH).contains(&batch) {
        bail!("`{batch}` is no batch: a whole number from 1 to {LARGEST_BATCH}");
    }
    let is_side = |side: &str| side.parse().is_ok_and(|side: usize| (1..=LARGEST_IMAGE).contains(&side));
    if !image.split_once('x').is_some_and(|(height, width)| is_side(height) && is_side(width)) {
        bail!("`{image}` is no image: HEIGHTxWIDTH, each from 1 to {LARGEST_IMAGE}");
    }
    let precisions = Precision::ALL.map(|precision| precision.to_string());
    if !precisions.contains(&labels.precision) {
        bail!("`{}` is no precision: one of {}", labels.precision, precisions.join(", "));
    }
    Ok(())
}

impl Take<PhaseRow> for Builder {
    fn take(&mut self, row: PhaseRow) -> Result<()> {
        let time = row.duration;
        let ends = (time.ci95_low_us, time.ci95_high_us);
        check_point(&row.labels, row.batch, &row.image)?;
        let figures =
            Figures::of(row.status, row.samples, time.mean_us, time.stddev_us, time.median_us, ends, row.share)?;
        let (layer, kind) = (self.name(&row.layer), self.name(&row.kind));
        let point = self.point(row.labels, row.batch, &row.image, row.status);
        point.parts.extend(figures.map(|figures| LayerPart {
            index: row.layer_index as u32,
            layer,
            kind,
            group: row.group,
            phase: row.phase,
            flops: row.flops,
            bytes: row.bytes,
            figures,
        }));
        Ok(())
    }

    fn torn(&mut self, _: &Path, line: u64) {
        self.torn.push(line);
    }
}

impl Take<SummaryRow> for Builder {
    fn take(&mut self, row: SummaryRow) -> Result<()> {
        let scope = Scope { group: row.group, phase: row.phase };
        let ends = (row.ci95_low_us, row.ci95_high_us);
        check_point(&row.labels, row.batch, &row.image)?;
        let figures = Figures::of(row.status, row.samples, row.mean_us, None, row.median_us, ends, row.share)?;
        let run = self.by_labels.get(&row.labels).copied();
        let known = run
            .and_then(|run| Some((run, *self.by_batch.get(&(run, row.batch, self.names.get(&*row.image)?.clone()))?)));
        // A batch without phases is a torn one.
        if let Some((run, index)) = known {
            let point = &mut self.runs[run].points[index];
            point.totals.extend(figures.map(|figures| Total { scope, figures }));
            if scope.is_step() {
                point.step = row.step;
            }
        }
        Ok(())
    }

    /// All that a torn total lacks is its interval: its time is known from the phases.
    fn torn(&mut self, file: &Path, line: u64) {
        self.notes.push(format!("left out: a torn row on line {line} of {}", file.display()));
    }
}
