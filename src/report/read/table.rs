//! One CSV file, row by row: columns found by name, headers that are repeated skipped, torn rows left out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use csv::{ReaderBuilder, StringRecord};
use serde::de::DeserializeOwned;

use crate::report::rows::{PhaseRow, Row, SampleRow, SummaryRow};

/// Takes the rows of a file as they come.
pub trait Take<R> {
    /// An error is one of this row and gets file and line.
    fn take(&mut self, row: R) -> Result<()>;
    /// Something was left out, on this line.
    fn torn(&mut self, file: &Path, line: u64);
}

/// Where each column of [`Row::HEADER`] stands in a file, which may have others beside them.
struct Columns(Vec<usize>);

/// Reads a file of rows to its end.
pub fn rows<R: Row + DeserializeOwned>(path: &Path, to: &mut impl Take<R>) -> Result<()> {
    let unreadable = || format!("cannot read {}: give a run's folder or its phases.csv", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let torn_end = end_without_line(&mut file).with_context(unreadable)?;
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut record = StringRecord::new();
    if !reader.read_record(&mut record).with_context(|| path.display().to_string())? {
        bail!("{} is empty: give a run's folder or its phases.csv", path.display());
    }
    let mut columns = Columns::of::<R>(&record).with_context(|| path.display().to_string())?;
    let mut width = record.len();
    let (mut ordered, mut read) = (StringRecord::new(), true);
    while read {
        read = reader.read_record(&mut record).with_context(|| path.display().to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        // Another file's header, as `cat` leaves it.
        if read && record.iter().any(|field| field == "run_id") {
            columns = Columns::of::<R>(&record).with_context(|| format!("{}:{line}", path.display()))?;
            width = record.len();
        } else if read && (record.len() != width || torn_end == Some(reader.position().byte())) {
            to.torn(path, line);
        } else if read {
            columns.order(&record, &mut ordered);
            let row = ordered.deserialize(None).map_err(|error| fault::<R>(&error, &ordered));
            row.and_then(|row| to.take(row)).with_context(|| format!("{}:{line}", path.display()))?;
        }
    }
    Ok(())
}

/// The file's length where its last line has no end, as one that was cut off.
fn end_without_line(file: &mut File) -> std::io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        file.rewind()?;
    }
    Ok((last != *b"\n").then_some(length))
}

impl Columns {
    fn of<R: Row>(header: &StringRecord) -> Result<Columns> {
        let at = |name: &str| header.iter().position(|column| column.trim() == name);
        let missing: Vec<&str> = R::HEADER.iter().copied().filter(|name| at(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(Columns(R::HEADER.iter().filter_map(|name| at(name)).collect()));
        }
        for (file, names) in [(SummaryRow::FILE, SummaryRow::HEADER), (SampleRow::FILE, SampleRow::HEADER)] {
            if file != R::FILE && names.iter().all(|name| at(name).is_some()) {
                bail!("this is a {file}: give the run's folder, or its {}", PhaseRow::FILE);
            }
        }
        let more = missing.len().saturating_sub(4);
        let more = if more > 0 { format!(" and {more} more columns") } else { String::new() };
        let missing = missing[..missing.len().min(4)].join(", ");
        bail!("this is no {} of this version of layertime: it lacks {missing}{more}", R::FILE)
    }

    fn order(&self, record: &StringRecord, ordered: &mut StringRecord) {
        ordered.clear();
        self.0.iter().for_each(|&column| ordered.push_field(&record[column]));
    }
}

/// Names the value and its column, or the word and those that would do.
fn fault<R: Row>(error: &csv::Error, record: &StringRecord) -> anyhow::Error {
    let csv::ErrorKind::Deserialize { err, .. } = error.kind() else { return anyhow!("{error}") };
    let column = err.field().map(|field| field as usize);
    match column.and_then(|column| Some((R::HEADER.get(column)?, record.get(column)?))) {
        Some((name, value)) => anyhow!("`{value}` is no {name}"),
        None => anyhow!("{}", err.kind()),
    }
}
