//! Rows as CSV text and back, by the list of their columns.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use csv::{ReaderBuilder, StringRecord, Writer, WriterBuilder};

use super::rows::field::Written;
use super::rows::{Column, PhaseRow, Row, SampleRow, SummaryRow};
use crate::units::quotable;

/// The header's line.
pub fn header<R: Row>() -> String {
    R::columns().iter().map(|column| column.name).collect::<Vec<_>>().join(",") + "\n"
}

/// The rows' lines, without a header.
pub fn lines<R: Row>(rows: impl IntoIterator<Item = R>) -> Result<Vec<u8>> {
    let columns = R::columns();
    let mut writer = writer();
    for mut row in rows {
        let fields: Vec<Written> = columns.iter().map(|column| (column.field)(&mut row).written()).collect();
        writer.serialize(fields).with_context(|| format!("cannot write a row of {}", R::FILE))?;
    }
    finished(writer)
}

/// The records' lines.
pub fn record_lines<'a>(records: impl IntoIterator<Item = &'a StringRecord>) -> Result<Vec<u8>> {
    let mut writer = writer();
    for record in records {
        writer.write_record(record)?;
    }
    finished(writer)
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().has_headers(false).from_writer(Vec::new())
}

fn finished(writer: Writer<Vec<u8>>) -> Result<Vec<u8>> {
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The columns that a file has, by their places in it.
pub struct Places<R> {
    columns: Vec<Column<R>>,
    /// In the order of `columns`; `None` where the file lacks the column.
    places: Vec<Option<usize>>,
}

impl<R: Row> Places<R> {
    /// Finds the columns by their names. Unknown ones are ignored and missing ones read as empty, except for those without which
    /// a row means nothing.
    pub fn of(header: &StringRecord) -> Result<Places<R>> {
        let columns = R::columns();
        let places: Vec<Option<usize>> = columns.iter().map(|column| place(header, column.name)).collect();
        let missing: Vec<&str> = columns
            .iter()
            .zip(&places)
            .filter(|(column, place)| column.required && place.is_none())
            .map(|(column, _)| column.name)
            .collect();
        if missing.is_empty() {
            return Ok(Places { columns, places });
        }
        for (file, is_this) in
            [(SummaryRow::FILE, is_file::<SummaryRow>(header)), (SampleRow::FILE, is_file::<SampleRow>(header))]
        {
            if file != R::FILE && is_this {
                bail!("this is a {file}: give the run's folder, or its {}", PhaseRow::FILE);
            }
        }
        if let Some(separator) = other_separator(header) {
            bail!(
                "its columns are separated by {separator}, as some spreadsheets save them: save it as CSV with commas"
            );
        }
        let more = missing.len().saturating_sub(4);
        let more = if more > 0 { format!(" and {more} more columns") } else { String::new() };
        let missing = missing[..missing.len().min(4)].join(", ");
        bail!("this is no {} of layertime: it lacks {missing}{more}", R::FILE)
    }

    /// Puts the fields of a record into a row.
    pub fn read(&self, record: &StringRecord, row: &mut R) -> Result<()> {
        for (column, place) in self.columns.iter().zip(&self.places) {
            let Some(text) = place.and_then(|place| record.get(place)) else { continue };
            (column.field)(row).set(text).map_err(|why| {
                why.map_or_else(|| anyhow!("`{}` is no {}", quotable(text), column.name), |why| anyhow!(why))
            })?;
        }
        Ok(())
    }

    /// A record in the order of this version's columns, with empty fields for those that the file lacks.
    fn ordered(&self, record: &StringRecord) -> StringRecord {
        self.places.iter().map(|place| place.and_then(|place| record.get(place)).unwrap_or_default()).collect()
    }
}

fn place(header: &StringRecord, name: &str) -> Option<usize> {
    header.iter().position(|column| column.trim() == name)
}

/// Begins a text in files of some spreadsheets.
pub const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Tells if a record has nothing in it, as spreadsheets leave them at the end.
pub fn is_blank(record: &StringRecord) -> bool {
    record.iter().all(str::is_empty)
}

/// Names another separator than the comma, which spreadsheets of some languages write.
fn other_separator(header: &StringRecord) -> Option<&'static str> {
    let is_one = |separator: char| {
        header
            .iter()
            .any(|field| field.contains(separator) && field.split(separator).any(|name| name.trim() == "run_id"))
    };
    [(';', "semicolons"), ('\t', "tabs")].into_iter().find(|&(separator, _)| is_one(separator)).map(|(_, name)| name)
}

/// Tells if a header has all columns of `R`.
fn is_file<R: Row>(header: &StringRecord) -> bool {
    R::columns().iter().all(|column| place(header, column.name).is_some())
}

/// The whole records of a text, in the order of this version's columns. A last line without its end is torn and left out, as is
/// a record with too few or too many fields; a header that is torn itself counts as an empty file. Columns that this version does
/// not know are an error, for what they hold would be lost.
pub fn records<R: Row>(text: &str) -> Result<Vec<StringRecord>> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    if whole.is_empty() && header::<R>().starts_with(text) {
        return Ok(Vec::new());
    }
    let mut records = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(whole.as_bytes())
        .into_records()
        .filter_map(Result::ok);
    let first = records.next().unwrap_or_default();
    let places = Places::<R>::of(&first).context("its columns are not those of this file")?;
    let known = |name: &str| places.columns.iter().any(|column| column.name == name.trim());
    if let Some(unknown) = first.iter().find(|name| !known(name)) {
        bail!("it has a column `{unknown}` that this version of the program does not know: use the one that wrote it");
    }
    Ok(records
        .filter(|record| record.len() == first.len() && !is_blank(record))
        .map(|record| places.ordered(&record))
        .collect())
}

/// The row that a record in the order of this version's columns holds.
pub fn row<R: Row>(record: &StringRecord) -> Result<R> {
    let columns = R::columns();
    let places = (0..columns.len()).map(Some).collect();
    let mut row = R::blank();
    Places { columns, places }.read(record, &mut row)?;
    Ok(row)
}

/// The rows of one file of a run's folder.
pub fn read<R: Row>(folder: &Path) -> Result<Vec<R>> {
    let path = folder.join(R::FILE);
    let read = || -> Result<Vec<R>> { records::<R>(&std::fs::read_to_string(&path)?)?.iter().map(row).collect() };
    read().with_context(|| format!("cannot read {}: give the folder of a run", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::rows::build::samples;
    use super::*;

    fn text<R: Row>(rows: Vec<R>) -> String {
        String::from_utf8(lines::<R>(rows).unwrap()).unwrap()
    }

    #[track_caller]
    fn assert_begins(text: &str, expected: &str) {
        assert_eq!(text.get(..expected.len()), Some(expected), "{text}");
    }

    /// Header and first line (conv1, forward) as section by section of hand arithmetic: 2 outputs x 2x2 positions x 9 weights
    /// = 72 MACs, 144 FLOP; 16 inputs + 20 parameters + 8 outputs = 44 elements, 176 bytes; 0.144 µs against 1.76 µs of the
    /// ceilings, and 11 > 4 · 1.76. Student's t for two samples is 12.706: 22 % ± 12.706 · 2 %, cut at 0.
    /// New columns follow at the end, where this test does not look: it stays as it is when one comes.
    #[test]
    fn phases_as_text() {
        let (run, measured) = (fixture::run(false), fixture::measured(1));
        let (rows, _) = fixture::rows(&run.labels(), &measured);
        assert_begins(
            &header::<PhaseRow>(),
            "run_id,model,device,precision,layout,launch,batch,image,layer_index,layer,kind,group,phase,status,samples,\
             median_us,ci95_low_us,ci95_high_us,mean_us,stddev_us,min_us,q1_us,q3_us,max_us,\
             share_pct,share_ci95_low_pct,share_ci95_high_pct,flops,bytes,gflops_per_s,gbytes_per_s,bound,roof_pct,\
             algorithm,workspace_bytes,parameters,sm_clock_mhz,mem_clock_mhz,temperature_c,throttled_samples,power_capped_samples",
        );
        let text = text(rows);
        let labels = format!("{},small,\"A processor, with a comma\",f32,nchw,direct,1,4x4,", run.run_id);
        assert_begins(
            &text,
            &(labels
                + "0,conv1,conv,conv,forward,ok,2,11.0,,,11.0,1.414214,10.0,10.5,11.5,12.0,22.0,0.0,47.412409,\
                   144,176,0.013091,0.016,latency,16.0,direct,64,20,,,61.0,"),
        );
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn summary_as_text() {
        let (run, measured) = (fixture::run(false), fixture::measured(1));
        let (_, rows) = fixture::rows(&run.labels(), &measured);
        assert_begins(
            &header::<SummaryRow>(),
            "run_id,model,device,precision,layout,launch,batch,image,group,phase,status,samples,mean_us,median_us,\
             ci95_low_us,ci95_high_us,share_pct,share_ci95_low_pct,share_ci95_high_pct,\
             closure,mark_us,plain_step_us,wall_step_us,images_per_s,planned_bytes,measured_bytes",
        );
        let text = text(rows);
        let fields = |line: &str| line.split_once(",4x4,").unwrap().1.to_owned();
        let last = fields(text.lines().last().unwrap());
        assert_begins(&last, "all,all,ok,2,50.0,50.0,,,100.0,100.0,100.0,1.125,0.5,45.0,100.0,22222.222222,4096,5000");
        let conv = text.lines().map(fields).find(|line| line.starts_with("conv,all")).unwrap();
        assert!(conv.starts_with("conv,all,ok,2,25.0,25.0,,,50.0,") && conv.contains(",,,,,,,"), "{conv}");
    }

    #[test]
    fn out_of_memory_leaves_the_figures_empty() {
        let (run, measured) = (fixture::run(false), fixture::out_of_memory(8));
        let (phases, summary) = fixture::rows(&run.labels(), &measured);
        let phases = text(phases);
        let first = phases.lines().next().unwrap();
        let figures = ",".repeat(13);
        assert!(first.contains(&format!("forward,out_of_memory,{figures}1152,848,,,,,")), "{first}");
        let summary = text(summary);
        assert!(summary.ends_with("all,all,out_of_memory,,,,,,,,,,,,,,4096,,,,,,\n"), "{summary}");
    }

    #[test]
    fn one_sample_row_per_step_and_phase() {
        let (run, measured) = (fixture::run(true), fixture::measured(1));
        let text = text(samples(&run.labels(), &measured).collect());
        assert!(
            header::<SampleRow>().ends_with(",batch,image,sample,layer_index,layer,kind,group,phase,duration_us\n")
        );
        assert_eq!(text.lines().count(), 22);
        let conv1: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(",conv1,"))
            .map(|line| line.split_once(",4x4,").unwrap().1)
            .collect();
        assert_eq!(conv1[0], "0,0,conv1,conv,conv,forward,10.0");
        assert_eq!(conv1[3], "1,0,conv1,conv,conv,forward,12.0");
        assert_eq!(conv1[1], "0,0,conv1,conv,conv,backward_weights,12.0");
    }

    #[test]
    fn rows_come_back_as_they_went() {
        let (run, folder) = (fixture::run(false), tempfile::tempdir().unwrap());
        for measured in [fixture::measured(3), fixture::out_of_memory(8)] {
            let (phases, totals) = fixture::rows(&run.labels(), &measured);
            std::fs::write(folder.path().join("phases.csv"), header::<PhaseRow>() + &text(phases.clone())).unwrap();
            std::fs::write(folder.path().join("summary.csv"), header::<SummaryRow>() + &text(totals.clone())).unwrap();
            assert_eq!(read::<PhaseRow>(folder.path()).unwrap(), phases);
            assert_eq!(read::<SummaryRow>(folder.path()).unwrap(), totals);
        }
    }

    #[test]
    fn another_header_is_refused() {
        let error = format!("{:#}", records::<PhaseRow>("layer,time\nconv1,3\n").unwrap_err());
        assert!(error.contains("its columns are not those") && error.contains("no phases.csv"), "{error}");
        let later = header::<PhaseRow>().replace('\n', ",new\n");
        let error = records::<PhaseRow>(&later).unwrap_err().to_string();
        assert!(error.contains("a column `new`") && error.contains("use the one that wrote it"), "{error}");
    }

    /// Each column but the required ones may be missing, as in files of a version that did not know it.
    #[test]
    fn a_missing_column_reads_as_empty() {
        let whole = header::<PhaseRow>() + &text(fixture::rows(&fixture::run(false).labels(), &fixture::measured(1)).0);
        let cells = |line: &str| {
            line.replace("\"A processor, with a comma\"", "cpu").split(',').map(String::from).collect::<Vec<_>>()
        };
        for (index, column) in PhaseRow::columns().iter().enumerate() {
            let without = |line: &str| {
                let mut cells = cells(line);
                cells.remove(index);
                cells.join(",") + "\n"
            };
            let records = records::<PhaseRow>(&whole.lines().map(without).collect::<String>());
            match column.required {
                true => assert!(format!("{:#}", records.unwrap_err()).contains(&format!("lacks {}", column.name))),
                false => {
                    let records = records.unwrap();
                    assert_eq!((records.len(), &records[0][index]), (11, ""), "{}", column.name);
                    row::<PhaseRow>(&records[0]).unwrap();
                }
            }
        }
    }

    /// A file as a spreadsheet saves it: a mark at its start, other line ends, empty rows at its end.
    #[test]
    fn files_that_a_spreadsheet_saved_are_read() {
        let rows = fixture::rows(&fixture::run(false).labels(), &fixture::measured(1)).0;
        let whole = header::<PhaseRow>() + &text(rows.clone());
        let saved = BYTE_ORDER_MARK.to_owned() + &whole.replace('\n', "\r\n") + &",".repeat(39) + "\r\n";
        let back: Vec<PhaseRow> =
            records::<PhaseRow>(&saved).unwrap().iter().map(|record| row(record).unwrap()).collect();
        assert_eq!(back, rows);
        let error = format!("{:#}", records::<PhaseRow>(&whole.replace(',', ";")).unwrap_err());
        assert!(error.contains("separated by semicolons") && error.contains("with commas"), "{error}");
    }
}
