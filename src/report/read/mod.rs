//! Runs read back, from a run's folder or from a bare `phases.csv`, also one concatenated from several runs.
//!
//! Collected are kept in a form that takes a fraction of the file's size, so that a file of a million rows is no trouble. What
//! is torn or incomplete is left out and said in [`StoredRuns::notes`]; what is wrong is an error that names file and line.

mod build;
mod file;

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::header::RunState;
use super::rows::{PhaseRow, Row, SummaryRow};
use super::run::{Origin, Point, Run};
use super::run_file::RunFile;

/// The content of one path.
#[derive(Debug, Default)]
pub struct StoredRuns {
    /// The runs, each with points that were measured whole.
    pub runs: Vec<Run>,
    /// Notes on what was left out, and on what else to know, one line each.
    pub notes: Vec<String>,
}

/// Reads the folder of a run, or a CSV file of phases.
pub fn open(path: &Path) -> Result<StoredRuns> {
    let folder = path.is_dir();
    let mut builder = build::RunBuilder::new(path);
    if folder && !path.join(PhaseRow::FILE).exists() {
        bail!("{} is no run's folder: it has no {}", path.display(), PhaseRow::FILE);
    }
    // Before the rows, so that another schema is said to be one.
    let run_file = if folder { RunFile::read(path)? } else { None };
    let phases = if folder { path.join(PhaseRow::FILE) } else { path.to_owned() };
    file::rows::<PhaseRow>(&phases, &mut builder)?;
    let summary = path.join(SummaryRow::FILE);
    if folder && summary.exists() {
        file::rows::<SummaryRow>(&summary, &mut builder)?;
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
    if let Some(run_file) = run_file {
        reading.attach(path, run_file);
    }
    Ok(reading)
}

/// The rows of a run's `phases.csv`, or of a CSV file of phases; without torn ones.
pub fn phases(path: &Path) -> Result<Vec<PhaseRow>> {
    struct Collected(Vec<PhaseRow>);

    impl file::Take<PhaseRow> for Collected {
        fn take(&mut self, row: &PhaseRow) -> Result<()> {
            self.0.push(row.clone());
            Ok(())
        }

        fn torn(&mut self, _: &Path, _: u64) {}
    }

    let mut rows = Collected(Vec::new());
    let path = if path.is_dir() { path.join(PhaseRow::FILE) } else { path.to_owned() };
    file::rows::<PhaseRow>(&path, &mut rows)?;
    Ok(rows.0)
}

impl StoredRuns {
    /// Gives a run what its run.json knows.
    fn attach(&mut self, folder: &Path, run_file: RunFile) {
        let (known, records) = run_file.into_run(folder);
        let Some(run) = self.runs.iter_mut().find(|run| run.run_id == known.run_id) else { return };
        for point in &mut run.points {
            let record = records.iter().find(|record| record.batch == point.batch && *record.image == *point.image);
            record.into_iter().for_each(|record| point.attach(record.clone()));
        }
        if let (Origin::Measured { measurement, .. }, Some(of_file)) = (&mut run.origin, known.origin.measurement()) {
            *measurement = Some(of_file.clone());
        }
        if let Some(header) = &known.header
            && header.state != RunState::Complete
        {
            self.notes.push(format!("{}: the run's state is {}", run.path.display(), header.state.name()));
        }
        run.header = known.header;
    }
}

#[cfg(test)]
mod tests;
