//! The run's folder, written so that a crash at any moment loses at most the batch in progress.
//!
//! A batch's rows are appended to each CSV file in one write and flushed to the disk, `summary.csv` last and in it the
//! step's row last; then `run.json`, which is only ever replaced as a whole, names the batch. A batch is whole when all of
//! them have it. [`Folder::resume`] keeps the whole ones and drops what remains of others.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use csv::StringRecord;

use super::csv as text;
use super::header::{self, Header, ProgramVersion, Resumed, RunState};
use super::rows::build::{Batch, samples};
use super::rows::{LabelColumns, PhaseRow, Row, SampleRow, SummaryRow};
use super::run::{Point, Run};
use super::run_file::{self, PointRecord, RunFile};
use super::run_tables::step_ms;
use crate::plan::image_name;
use crate::predict::Predicted;
use crate::profile::Measured;
use crate::profile::summary::{Scope, Summary};

/// Times the median, a mean that single steps have made.
const MUCH_SLOWER: f64 = 1.1;

/// Of each part of a folder's name.
const LONGEST: usize = 40;

/// Why a folder's run has a header: [`Folder::create`] and [`Folder::resume`] see to it.
const HAS_HEADER: &str = "a folder's run has a header";

/// An open run: what is on the disk, and the same in memory.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    run: Run,
    /// Of a run that was complete when it was opened: to be written with the next batch, and never without one.
    pending: Option<Pending>,
}

/// The changes that going on with a run makes to its files.
#[derive(Debug)]
struct Pending {
    files: Vec<(&'static str, Vec<u8>)>,
    program: ProgramVersion,
}

/// The file by which a version control system ignores the runs of a folder.
const IGNORE_FILE: &str = ".gitignore";
const IGNORE_ALL: &str =
    "# Made by layertime with this folder. Delete this file to put runs under version control.\n*\n";

impl Folder {
    /// Makes `<out>/<UTC time>-<model>-<device>-<precision>` with files that have headers only.
    pub fn create(out: &Path, mut run: Run) -> anyhow::Result<Folder> {
        if run.header.is_none() {
            bail!("a run without a header has no folder");
        }
        let path = unused_folder(out, &run).map_err(|error| {
            anyhow!("cannot make a folder in {}: {error}; choose another with --out", out.display())
        })?;
        run.run_id = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        run.path = path.clone();
        let folder = Folder { path, run, pending: None };
        folder.write_first_files().map_err(|error| {
            // Nothing can go on from half of them.
            drop(fs::remove_dir_all(&folder.path));
            anyhow!("cannot save a run in {}: {error}; make room there, or choose another with --out", out.display())
        })?;
        Ok(folder)
    }

    fn write_first_files(&self) -> anyhow::Result<()> {
        let samples = self.writes_samples().then(|| (SampleRow::FILE, text::header::<SampleRow>()));
        let headers = [(PhaseRow::FILE, text::header::<PhaseRow>()), (SummaryRow::FILE, text::header::<SummaryRow>())];
        for (name, header) in headers.into_iter().chain(samples) {
            self.put(name, header.as_bytes())?;
        }
        self.put(run_file::FILE, self.run_text()?.as_bytes())?;
        Ok(())
    }

    /// Goes on with a run that was cut off: `run` is what [`Folder::create`] would be given now, and must be alike.
    ///
    /// A complete run stays as it is, byte by byte, until it goes on.
    pub fn resume(path: &Path, run: &Run) -> anyhow::Result<Folder> {
        let (begun, records) = read_run(path)?.into_run(path);
        if let Some(difference) = begun.refuses(run) {
            bail!("cannot resume {}: {difference}; give the same options, or begin a new run", path.display());
        }
        let was_complete = begun.header.as_ref().is_some_and(|header| header.state == RunState::Complete);
        let batches = records.len();
        let mut folder = Folder { path: path.into(), run: begun, pending: None };
        let files = folder.repaired(records)?;
        let program = run.header.as_ref().map_or_else(ProgramVersion::current, |header| header.program.clone());
        folder.pending = Some(Pending { files, program });
        if !(was_complete && folder.run.points.len() == batches) {
            folder.go_on()?;
        }
        Ok(folder)
    }

    /// Writes that the run goes on, and what [`Folder::resume`] found to repair: to be called when there is something to measure.
    pub fn go_on(&mut self) -> anyhow::Result<()> {
        let Some(Pending { files, program }) = self.pending.take() else { return Ok(()) };
        for (name, bytes) in files {
            self.replace(name, &bytes)?;
        }
        let begun = self.header().program.clone();
        let header = self.header_mut();
        header.state = RunState::Running;
        header.ended = None;
        if begun != program {
            header.note([format!("resumed with {program}, begun with {begun}: what they measure may differ")]);
        }
        header.resumed.push(Resumed { at: header::now(), argv: header::argv(), program: Some(program) });
        self.save_run()
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run, with a point for every whole batch, those of a resumed run too.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The head of the run.
    pub fn header(&self) -> &Header {
        self.run.header.as_ref().expect(HAS_HEADER)
    }

    /// The head of the run, for what becomes known later, such as settings after the run: [`Folder::finish`] writes it.
    pub fn header_mut(&mut self) -> &mut Header {
        self.run.header.as_mut().expect(HAS_HEADER)
    }

    /// Tells if this batch and image size (height, width) need not be measured again.
    pub fn has(&self, batch: usize, image: [usize; 2]) -> bool {
        let image = image_name(image);
        self.run.points.iter().any(|point| point.batch == batch && *point.image == *image)
    }

    /// Saves a batch. On failure the files are as they were before.
    pub fn append(&mut self, measured: &Measured) -> anyhow::Result<()> {
        let summary = Summary::of(measured);
        let notes = measured.observed.notes.iter().cloned().chain(summary.as_ref().and_then(slow_steps)).collect();
        let batch = Batch::measured(measured, summary.as_ref(), self.header().roofline(), notes);
        let lines = match self.writes_samples() {
            true => Some((SampleRow::FILE, text::lines(samples(&self.run.labels(), measured))?)),
            false => None,
        };
        self.append_batch(&batch, lines)
    }

    /// Saves a batch that was not measured but predicted.
    pub fn append_predicted(&mut self, predicted: &Predicted) -> anyhow::Result<()> {
        self.append_batch(&Batch::predicted(predicted), None)
    }

    fn append_batch(&mut self, batch: &Batch, samples: Option<(&str, Vec<u8>)>) -> anyhow::Result<()> {
        self.go_on()?;
        let labels = self.run.labels();
        let (phases, totals) = (batch.phases(&labels), batch.summary(&labels));
        let rows = [
            (PhaseRow::FILE, text::lines(phases.iter().cloned())?),
            (SummaryRow::FILE, text::lines(totals.iter().cloned())?),
        ];
        self.append_all(&samples.into_iter().chain(rows).collect::<Vec<_>>())?;
        self.run.points.push(Point::of_rows(&phases, &totals, batch.record()));
        self.save_run()
    }

    /// Notes how and when the run ended. A complete run that nothing was added to stays as it is.
    pub fn finish(&mut self, state: RunState) -> anyhow::Result<()> {
        if self.pending.is_some() {
            return Ok(());
        }
        let header = self.header_mut();
        header.state = state;
        header.ended = Some(header::now());
        self.save_run()
    }

    fn writes_samples(&self) -> bool {
        self.run.origin.measurement().is_some_and(|measurement| measurement.samples)
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
                // Lines that cannot be taken back are left to the repair by --resume.
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
        self.replace(run_file::FILE, self.run_text()?.as_bytes())
    }

    fn run_text(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(&RunFile::of(&self.run))? + "\n")
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.put(name, bytes).map_err(|error| self.cannot_write(name, error))
    }

    /// Puts a file in place as a whole or not at all.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let draft = self.path.join(format!(".{name}.new"));
        let replace = || -> io::Result<()> {
            let mut file = File::create(&draft)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&draft, self.path.join(name))?;
            // Not every system can flush a folder; the rename is whole without it.
            File::open(&self.path).and_then(|folder| folder.sync_all()).or(Ok(()))
        };
        replace().inspect_err(|_| drop(fs::remove_file(&draft)))
    }

    fn cannot_write(&self, name: &str, error: io::Error) -> anyhow::Error {
        let path = &self.path;
        let file = path.join(name);
        let again = match self.run.is_predicted() {
            true => "predict again".into(),
            false => format!("go on with --resume {}", path.display()),
        };
        let remedy = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room there and ",
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => "make it writable and ",
            _ => "",
        };
        anyhow!("cannot write {}: {error}; batches saved before are whole: {remedy}{again}", file.display())
    }

    /// Keeps the rows of whole batches in memory, and gives the files that are to hold nothing else.
    fn repaired(&mut self, mut points: Vec<PointRecord>) -> anyhow::Result<Vec<(&'static str, Vec<u8>)>> {
        let phases = self.records::<PhaseRow>()?;
        let summaries = self.records::<SummaryRow>()?;
        let with_samples = self.writes_samples();
        let samples = if with_samples { self.records::<SampleRow>()? } else { Records::empty() };
        points.retain(|point| {
            let step = summaries
                .of_point(point)
                .find_map(|row| text::row::<SummaryRow>(row).ok().filter(|row| row.scope().is_step()));
            step.is_some_and(|step| {
                let sample_rows = step.samples.unwrap_or(0) * point.phases;
                phases.of_point(point).count() == point.phases
                    && (!with_samples || samples.of_point(point).count() == sample_rows)
            })
        });
        let mut files = vec![self.kept::<PhaseRow>(&phases, &points)?, self.kept::<SummaryRow>(&summaries, &points)?];
        if with_samples {
            files.push(self.kept::<SampleRow>(&samples, &points)?);
        }
        for point in points {
            let (phases, totals) = (phases.rows::<PhaseRow>(&point)?, summaries.rows::<SummaryRow>(&point)?);
            self.run.points.push(Point::of_rows(&phases, &totals, point));
        }
        Ok(files.into_iter().flatten().collect())
    }

    fn records<R: Row>(&self) -> anyhow::Result<Records> {
        let path = self.path.join(R::FILE);
        // A character may be torn too.
        let read = || text::records::<R>(&String::from_utf8_lossy(&fs::read(&path)?));
        let records = read().with_context(|| format!("cannot resume {}", path.display()))?;
        Ok(Records::of::<R>(records))
    }

    /// A file with the records of these batches alone; `None` where it is that already.
    fn kept<R: Row>(
        &self,
        records: &Records,
        points: &[PointRecord],
    ) -> anyhow::Result<Option<(&'static str, Vec<u8>)>> {
        let mut bytes = text::header::<R>().into_bytes();
        bytes.extend(text::record_lines(
            records.all.iter().filter(|row| points.iter().any(|point| records.is_of(row, point))),
        )?);
        let is_so = fs::read(self.path.join(R::FILE)).is_ok_and(|saved| saved == bytes);
        Ok((!is_so).then_some((R::FILE, bytes)))
    }
}

/// The records of one file, in the order of this version's columns.
struct Records {
    all: Vec<StringRecord>,
    /// The places of the columns batch and image.
    batch: usize,
    image: usize,
}

impl Records {
    fn of<R: Row>(all: Vec<StringRecord>) -> Records {
        let columns = R::columns();
        let place = |name: &str| columns.iter().position(|column| column.name == name).unwrap_or(columns.len());
        Records { all, batch: place("batch"), image: place("image") }
    }

    fn empty() -> Records {
        Records::of::<SampleRow>(Vec::new())
    }

    fn is_of(&self, row: &StringRecord, point: &PointRecord) -> bool {
        row.get(self.batch) == Some(point.batch.to_string().as_str())
            && row.get(self.image) == Some(point.image.as_str())
    }

    fn of_point<'a>(&'a self, point: &'a PointRecord) -> impl Iterator<Item = &'a StringRecord> {
        self.all.iter().filter(move |row| self.is_of(row, point))
    }

    fn rows<R: Row>(&self, point: &PointRecord) -> anyhow::Result<Vec<R>> {
        let rows: anyhow::Result<Vec<R>> = self.of_point(point).map(text::row).collect();
        rows.context("a row of the run to resume is damaged; begin a new run")
    }
}

/// The table shows means, while images per second and the status go by medians: says so where that makes a difference.
fn slow_steps(summary: &Summary) -> Option<String> {
    let step = summary.totals.iter().find(|(scope, _)| *scope == Scope::STEP).map(|(_, part)| &part.duration)?;
    let (mean, median) = (step.mean, step.median);
    let [mean_ms, median_ms] = [mean, median].map(|us| step_ms(Some(us)));
    (mean > MUCH_SLOWER * median)
        .then(|| format!("single steps were much slower than the median (mean {mean_ms} ms, median {median_ms} ms)"))
}

/// The `run.json` of a run's folder.
pub fn read_run(folder: &Path) -> anyhow::Result<RunFile> {
    let path = folder.join(run_file::FILE);
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let read = || -> anyhow::Result<RunFile> { Ok(RunFile::read(folder)?.ok_or_else(missing)?) };
    read().with_context(|| format!("cannot read {}: give the folder of a run", path.display()))
}

/// Makes a new folder, with a number behind its name when there is one already. A folder of runs that is made for it is ignored
/// by version control.
fn unused_folder(out: &Path, run: &Run) -> io::Result<PathBuf> {
    if !out.exists() {
        fs::create_dir_all(out)?;
        // A repository that the program is started in has no new files. Where it cannot be written, nor can the run.
        drop(fs::write(out.join(IGNORE_FILE), IGNORE_ALL));
    }
    let started = run.header.as_ref().map_or_else(header::now, |header| header.started.clone());
    let time = started.replace(['-', ':'], "");
    let LabelColumns { model, device, precision, .. } = run.labels();
    let parts = [model, device, precision].map(|part| file_name(&part, LONGEST));
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
