//! One CSV file, row by row: columns found by name, headers that are repeated skipped, torn rows left out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};
use csv::{ReaderBuilder, StringRecord};

use crate::report::csv::{BYTE_ORDER_MARK, Places, is_blank};
use crate::report::rows::Row;

/// Takes the rows of a file as they come.
pub trait Take<R> {
    /// Takes a row. An error is one of this row and gets file and line.
    fn take(&mut self, row: &R) -> Result<()>;
    /// Notes that something was left out on this line.
    fn torn(&mut self, file: &Path, line: u64);
}

/// Reads a file of rows to its end.
pub fn rows<R: Row>(path: &Path, to: &mut impl Take<R>) -> Result<()> {
    let unreadable = || format!("cannot read {}: give a run's folder or its phases.csv", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let torn_end = end_without_line(&mut file).with_context(unreadable)?;
    let skipped = skip_mark(&mut file).with_context(unreadable)?;
    let torn_end = torn_end.map(|end| end - skipped);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut record = StringRecord::new();
    if !reader.read_record(&mut record).with_context(|| path.display().to_string())? {
        bail!("{} is empty: give a run's folder or its phases.csv", path.display());
    }
    let mut places = Places::<R>::of(&record).with_context(|| path.display().to_string())?;
    let mut width = record.len();
    let (mut row, mut read) = (R::blank(), true);
    while read {
        read = reader.read_record(&mut record).with_context(|| path.display().to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        // Another file's header, as `cat` leaves it.
        if read && record.iter().any(|field| field == "run_id") {
            row = R::blank();
            places = Places::<R>::of(&record).with_context(|| format!("{}:{line}", path.display()))?;
            width = record.len();
        } else if read && is_blank(&record) {
            continue;
        } else if read && (record.len() != width || torn_end == Some(reader.position().byte())) {
            to.torn(path, line);
        } else if read {
            let taken = places.read(&record, &mut row).and_then(|()| to.take(&row));
            taken.with_context(|| format!("{}:{line}", path.display()))?;
        }
    }
    Ok(())
}

/// Moves behind the mark that some spreadsheets put first; answers its length.
fn skip_mark(file: &mut File) -> std::io::Result<u64> {
    let mut first = Vec::new();
    file.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut first)?;
    if first != BYTE_ORDER_MARK.as_bytes() {
        file.rewind()?;
        return Ok(0);
    }
    Ok(first.len() as u64)
}

/// Answers the file's length where its last line has no end, as one that was cut off.
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
