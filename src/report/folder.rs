//! The run's folder, written so that a crash at any moment loses at most the batch in progress.
//!
//! A batch's rows are appended to each CSV file in one write and flushed to the disk, `summary.csv` last and in it the
//! step's row last; then `run.json`, which is only ever replaced as a whole, names the batch. A batch is whole when all of
//! them have it. [`Folder::resume`] keeps the whole ones and drops what remains of others.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use csv::StringRecord;

use super::json::{self, Point, Resumed, Run, State};
use super::rows::{self, PhaseRow, Row, SampleRow, SummaryRow};
use super::table::step_ms;
use super::{csv as text, verdict};
use crate::plan::image_name;
use crate::predict::Predicted;
use crate::profile::summary::Summary;
use crate::profile::{Measured, Status};

/// Times the median, a mean that single steps have made.
const MUCH_SLOWER: f64 = 1.1;

/// Of each part of a folder's name.
const LONGEST: usize = 40;

const RUN_FILE: &str = "run.json";

/// Column of the batch and of the image, the same in every file.
const BATCH: usize = 6;
const IMAGE: usize = 7;

/// An open run: what is on the disk, and the same in memory.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    run: Run,
    phases: Vec<PhaseRow>,
    summaries: Vec<SummaryRow>,
}

impl Folder {
    /// Makes `<out>/<UTC time>-<model>-<device>-<precision>` with files that have headers only.
    pub fn create(out: &Path, mut run: Run) -> anyhow::Result<Folder> {
        let path = unused_folder(out, &run).map_err(|error| {
            anyhow!("cannot make a folder in {}: {error}; choose another with --out", out.display())
        })?;
        run.run_id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let folder = Folder { path, run, phases: Vec::new(), summaries: Vec::new() };
        folder.replace(PhaseRow::FILE, text::header::<PhaseRow>().as_bytes())?;
        folder.replace(SummaryRow::FILE, text::header::<SummaryRow>().as_bytes())?;
        if folder.run.setup.samples {
            folder.replace(SampleRow::FILE, text::header::<SampleRow>().as_bytes())?;
        }
        folder.save_run()?;
        Ok(folder)
    }

    /// Goes on with a run that was cut off: `run` is what [`Folder::create`] would be given now, and must be alike.
    pub fn resume(path: &Path, run: &Run) -> anyhow::Result<Folder> {
        let begun = read_run(path)?;
        if let Some(difference) = begun.refuses(run) {
            bail!("cannot resume {}: {difference}; give the same options, or begin a new run", path.display());
        }
        let mut folder = Folder { path: path.into(), run: begun, phases: Vec::new(), summaries: Vec::new() };
        folder.repair()?;
        folder.run.state = State::Running;
        folder.run.ended = None;
        let (begun, program) = (&folder.run.program, &run.program);
        if begun != program {
            folder.run.note([format!("resumed with {program}, begun with {begun}: what they measure may differ")]);
        }
        folder.run.resumed.push(Resumed { at: json::now(), argv: json::argv(), program: Some(program.clone()) });
        folder.save_run()?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn run(&self) -> &Run {
        &self.run
    }

    /// For what becomes known later, such as settings after the run: [`Folder::finish`] writes it.
    pub fn run_mut(&mut self) -> &mut Run {
        &mut self.run
    }

    /// The rows of all whole batches, those of a resumed run too.
    pub fn phases(&self) -> &[PhaseRow] {
        &self.phases
    }

    pub fn summaries(&self) -> &[SummaryRow] {
        &self.summaries
    }

    /// Whether this batch and image size (height, width) need not be measured again.
    pub fn has(&self, batch: usize, image: [usize; 2]) -> bool {
        let image = image_name(image);
        self.run.points.iter().any(|point| point.batch == batch && point.image == image)
    }

    /// Saves a batch. On failure the files are as they were before.
    pub fn append(&mut self, measured: &Measured) -> anyhow::Result<()> {
        let summary = Summary::of(measured);
        let labels = self.run.labels();
        let image = image_name(measured.plan.image());
        let phases = rows::phases(&labels, &self.run.ceilings, measured, summary.as_ref());
        let totals = rows::summary(&labels, measured, summary.as_ref());
        let mut files = vec![
            (PhaseRow::FILE, text::lines::<PhaseRow>(&phases)?),
            (SummaryRow::FILE, text::lines::<SummaryRow>(&totals)?),
        ];
        if self.run.setup.samples {
            files.insert(0, (SampleRow::FILE, text::lines::<SampleRow>(rows::samples(&labels, &image, measured))?));
        }
        let closure = summary.as_ref().and_then(|summary| summary.step.closure);
        let stddev_us = summary.iter().flat_map(|summary| &summary.totals);
        let point = Point {
            batch: measured.plan.batch,
            image,
            status: measured.status,
            phases: phases.len(),
            closure: closure.map(|closure| closure.value),
            closure_ci95: closure.and_then(|closure| closure.ci95).map(|ends| [ends.low, ends.high]),
            stddev_us: stddev_us.filter_map(|(scope, part)| Some((scope.name(), part.duration.stddev?))).collect(),
            notes: measured.observed.notes.iter().cloned().chain(summary.as_ref().and_then(slow_steps)).collect(),
        };
        self.append_point(&files, phases, totals, point)
    }

    /// Saves a batch that was not measured but predicted.
    pub fn append_predicted(&mut self, predicted: &Predicted) -> anyhow::Result<()> {
        let labels = self.run.labels();
        let phases = rows::predicted_phases(&labels, predicted);
        let totals = rows::predicted_summary(&labels, predicted);
        let files = [
            (PhaseRow::FILE, text::lines::<PhaseRow>(&phases)?),
            (SummaryRow::FILE, text::lines::<SummaryRow>(&totals)?),
        ];
        let point = Point {
            batch: predicted.plan.batch,
            image: image_name(predicted.plan.image()),
            status: Status::Predicted,
            phases: phases.len(),
            closure: None,
            closure_ci95: None,
            stddev_us: BTreeMap::new(),
            notes: if predicted.fits { Vec::new() } else { vec!["does not fit in the GPU's memory".into()] },
        };
        self.append_point(&files, phases, totals, point)
    }

    fn append_point(
        &mut self,
        files: &[(&str, Vec<u8>)],
        phases: Vec<PhaseRow>,
        totals: Vec<SummaryRow>,
        point: Point,
    ) -> anyhow::Result<()> {
        self.append_all(files)?;
        self.phases.extend(phases);
        self.summaries.extend(totals);
        self.run.points.push(point);
        self.run.crossovers = verdict::crossovers(&self.summaries);
        self.save_run()
    }

    /// Notes how and when the run ended.
    pub fn finish(&mut self, state: State) -> anyhow::Result<()> {
        self.run.state = state;
        self.run.ended = Some(json::now());
        self.save_run()
    }

    fn append_all(&self, files: &[(&str, Vec<u8>)]) -> anyhow::Result<()> {
        let mut written: Vec<(File, u64)> = Vec::new();
        for (name, bytes) in files {
            let appended = self.open_end(name).and_then(|(mut file, length)| {
                let result = file.write_all(bytes).and_then(|()| file.sync_all());
                written.push((file, length));
                result
            });
            if let Err(error) = appended {
                // What cannot be taken back is left to the repair by --resume.
                written.iter().for_each(|(file, length)| drop(file.set_len(*length)));
                return Err(self.cannot_write(name, error));
            }
        }
        Ok(())
    }

    /// A file to append to, and its length.
    fn open_end(&self, name: &str) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).open(self.path.join(name))?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }

    fn save_run(&self) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(&self.run)? + "\n";
        self.replace(RUN_FILE, text.as_bytes())
    }

    /// Puts a file in place as a whole or not at all.
    fn replace(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let draft = self.path.join(format!(".{name}.new"));
        let replace = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&draft, self.path.join(name))?;
            // Not every system can flush a folder; the rename is whole without it.
            File::open(&self.path).and_then(|folder| folder.sync_all()).or(Ok(()))
        };
        replace().map_err(|error| {
            drop(fs::remove_file(&draft));
            self.cannot_write(name, error)
        })
    }

    fn cannot_write(&self, name: &str, error: io::Error) -> anyhow::Error {
        let path = &self.path;
        let file = path.join(name);
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there and ",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "make it writable and ",
            _ => "",
        };
        anyhow!(
            "cannot write {}: {error}; batches saved before are whole: {remedy}go on with --resume {}",
            file.display(),
            path.display()
        )
    }

    /// Keeps the rows of whole batches, on the disk and in memory.
    fn repair(&mut self) -> anyhow::Result<()> {
        let phases = self.records::<PhaseRow>()?;
        let summaries = self.records::<SummaryRow>()?;
        let samples = if self.run.setup.samples { self.records::<SampleRow>()? } else { Vec::new() };
        let count = |records: &[StringRecord], point: &Point| records.iter().filter(|row| belongs(row, point)).count();
        let with_samples = self.run.setup.samples;
        self.run.points.retain(|point| {
            let step = summaries
                .iter()
                .filter(|row| belongs(row, point))
                .find_map(|row| row.deserialize::<SummaryRow>(None).ok().filter(SummaryRow::is_step));
            step.is_some_and(|step| {
                let sample_rows = step.samples.unwrap_or(0) * point.phases;
                count(&phases, point) == point.phases && (!with_samples || count(&samples, point) == sample_rows)
            })
        });
        self.phases = self.keep::<PhaseRow>(&phases)?.iter().map(parsed).collect::<anyhow::Result<_>>()?;
        self.summaries = self.keep::<SummaryRow>(&summaries)?.iter().map(parsed).collect::<anyhow::Result<_>>()?;
        if with_samples {
            self.keep::<SampleRow>(&samples)?;
        }
        self.run.crossovers = verdict::crossovers(&self.summaries);
        Ok(())
    }

    fn records<R: Row>(&self) -> anyhow::Result<Vec<StringRecord>> {
        let path = self.path.join(R::FILE);
        // A character may be torn too.
        let read = || text::records::<R>(&String::from_utf8_lossy(&fs::read(&path)?));
        read().with_context(|| format!("cannot resume {}", path.display()))
    }

    /// Leaves only whole batches' records in a file; those records.
    fn keep<R: Row>(&self, records: &[StringRecord]) -> anyhow::Result<Vec<StringRecord>> {
        let whole = |row: &&StringRecord| self.run.points.iter().any(|point| belongs(row, point));
        let kept: Vec<StringRecord> = records.iter().filter(whole).cloned().collect();
        let mut bytes = text::header::<R>().into_bytes();
        bytes.extend(text::record_lines(&kept)?);
        self.replace(R::FILE, &bytes)?;
        Ok(kept)
    }
}

/// The table shows means, while images per second and the status go by medians: says so where that makes a difference.
fn slow_steps(summary: &Summary) -> Option<String> {
    let step = summary.totals.iter().find(|(scope, _)| scope.is_step()).map(|(_, part)| &part.duration)?;
    let (mean, median) = (step.mean, step.median);
    let [mean_ms, median_ms] = [mean, median].map(|us| step_ms(Some(us)));
    (mean > MUCH_SLOWER * median)
        .then(|| format!("single steps were much slower than the median (mean {mean_ms} ms, median {median_ms} ms)"))
}

fn belongs(row: &StringRecord, point: &Point) -> bool {
    row.get(BATCH) == Some(point.batch.to_string().as_str()) && row.get(IMAGE) == Some(point.image.as_str())
}

fn parsed<R: serde::de::DeserializeOwned>(record: &StringRecord) -> anyhow::Result<R> {
    record.deserialize(None).context("a row of the run to resume is damaged; begin a new run")
}

/// The `run.json` of a run's folder.
pub fn read_run(folder: &Path) -> anyhow::Result<Run> {
    let path = folder.join(RUN_FILE);
    let read = || -> anyhow::Result<Run> { Ok(serde_json::from_slice(&fs::read(&path)?)?) };
    read().with_context(|| format!("cannot read {}: give the folder of a run", path.display()))
}

/// Makes a new folder, with a number behind its name when there is one already.
fn unused_folder(out: &Path, run: &Run) -> io::Result<PathBuf> {
    fs::create_dir_all(out)?;
    let time = run.started.replace(['-', ':'], "");
    let parts = [&run.setup.model, &run.setup.device, &run.setup.precision].map(|part| file_name(part, LONGEST));
    let name = format!("{time}-{}", parts.join("-"));
    let mut path = out.join(&name);
    for number in 2.. {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => path = out.join(format!("{name}-{number}")),
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    Ok(path)
}

/// The words of a text joined by hyphens, without what file systems, shells or spreadsheets mistake.
pub(super) fn file_name(text: &str, longest: usize) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_');
    let name = words.filter(|word| word.contains(|c: char| c.is_ascii_alphanumeric())).collect::<Vec<_>>().join("-");
    name.chars().take(longest).collect::<String>().trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests;
