//! Rows as CSV text and back.
//!
//! Headers come from [`Row::HEADER`] and fields by position, which lets rows nest the columns that belong together.

use std::borrow::Borrow;
use std::path::Path;

use anyhow::{Context, bail};
use csv::{ReaderBuilder, StringRecord, WriterBuilder};
use serde::de::DeserializeOwned;

use super::rows::Row;

/// The header's line.
pub fn header<R: Row>() -> String {
    R::HEADER.join(",") + "\n"
}

/// The rows' lines, without a header.
pub fn lines<R: Row>(rows: impl IntoIterator<Item = impl Borrow<R>>) -> anyhow::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for row in rows {
        writer.serialize(row.borrow()).with_context(|| format!("cannot write a row of {}", R::FILE))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The records' lines.
pub fn record_lines<'a>(records: impl IntoIterator<Item = &'a StringRecord>) -> anyhow::Result<Vec<u8>> {
    let mut writer = WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for record in records {
        writer.write_record(record)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// The whole records of a text with `R`'s header. A last line without its end is torn and left out, as is a record with
/// too few or too many fields; a header that is torn itself counts as an empty file.
pub fn records<R: Row>(text: &str) -> anyhow::Result<Vec<StringRecord>> {
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let header = header::<R>();
    let Some(body) = whole.strip_prefix(&header) else {
        if header.starts_with(text) {
            return Ok(Vec::new());
        }
        bail!("its columns are not those of {} in this version of the program", R::FILE);
    };
    let records = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(body.as_bytes()).into_records();
    Ok(records.filter_map(Result::ok).filter(|record| record.len() == R::HEADER.len()).collect())
}

/// The rows of one file of a run's folder.
pub fn read<R: Row + DeserializeOwned>(folder: &Path) -> anyhow::Result<Vec<R>> {
    let path = folder.join(R::FILE);
    let read = || -> anyhow::Result<Vec<R>> {
        let records = records::<R>(&std::fs::read_to_string(&path)?)?;
        records.iter().map(|record| record.deserialize(None).map_err(Into::into)).collect()
    };
    read().with_context(|| format!("cannot read {}: give the folder of a run", path.display()))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::rows::{self, PhaseRow, SampleRow, SummaryRow};
    use super::*;
    use crate::profile::summary::Summary;

    fn text<R: Row>(rows: Vec<R>) -> String {
        String::from_utf8(lines::<R>(rows).unwrap()).unwrap()
    }

    /// Header and first line (conv1, forward) as section by section of hand arithmetic: 2 outputs x 2x2 positions x 9 weights
    /// = 72 MACs, 144 FLOP; 16 inputs + 20 parameters + 8 outputs = 44 elements, 176 bytes; 0.144 µs against 1.76 µs of the
    /// ceilings, and 11 > 4 · 1.76. Student's t for two samples is 12.706: 22 % ± 12.706 · 2 %, cut at 0.
    #[test]
    fn phases_as_text() {
        let (run, measured) = (fixture::run(false), fixture::measured(1));
        let rows = rows::phases(&run.labels(), &run.ceilings, &measured, Summary::of(&measured).as_ref());
        assert_eq!(
            header::<PhaseRow>(),
            "run_id,model,device,precision,layout,launch,batch,image,layer_index,layer,kind,group,phase,status,samples,\
             median_us,ci95_low_us,ci95_high_us,mean_us,stddev_us,min_us,q1_us,q3_us,max_us,\
             share_pct,share_ci95_low_pct,share_ci95_high_pct,flops,bytes,gflops_per_s,gbytes_per_s,bound,roof_pct,\
             algorithm,workspace_bytes,parameters,sm_clock_mhz,mem_clock_mhz,temperature_c,throttled_samples\n"
        );
        let text = text(rows);
        let first = text.lines().next().unwrap();
        let labels = format!("{},small,\"A processor, with a comma\",f32,nchw,direct,1,4x4,", run.run_id);
        assert_eq!(
            first,
            labels
                + "0,conv1,conv,conv,forward,ok,2,11.0,,,11.0,1.414214,10.0,10.5,11.5,12.0,22.0,0.0,47.412409,\
                   144,176,0.013091,0.016,latency,16.0,direct,64,20,,,61.0,"
        );
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn summary_as_text() {
        let (run, measured) = (fixture::run(false), fixture::measured(1));
        let rows = rows::summary(&run.labels(), &measured, Summary::of(&measured).as_ref());
        assert_eq!(
            header::<SummaryRow>(),
            "run_id,model,device,precision,layout,launch,batch,image,group,phase,status,samples,mean_us,median_us,\
             ci95_low_us,ci95_high_us,share_pct,share_ci95_low_pct,share_ci95_high_pct,\
             closure,mark_us,plain_step_us,wall_step_us,images_per_s,planned_bytes,measured_bytes\n"
        );
        let text = text(rows);
        let fields = |line: &str| line.split_once(",4x4,").unwrap().1.to_owned();
        let last = fields(text.lines().last().unwrap());
        assert_eq!(last, "all,all,ok,2,50.0,50.0,,,100.0,100.0,100.0,1.125,0.5,45.0,100.0,10000.0,4096,5000");
        let conv = text.lines().map(fields).find(|line| line.starts_with("conv,all")).unwrap();
        assert!(conv.starts_with("conv,all,ok,2,25.0,25.0,,,50.0,") && conv.ends_with(",,,,,,,"), "{conv}");
    }

    #[test]
    fn out_of_memory_leaves_the_figures_empty() {
        let (run, measured) = (fixture::run(false), fixture::out_of_memory(8));
        let phases = text(rows::phases(&run.labels(), &run.ceilings, &measured, None));
        let first = phases.lines().next().unwrap();
        let figures = ",".repeat(13);
        assert!(first.contains(&format!("forward,out_of_memory,{figures}1152,848,,,,,")), "{first}");
        let summary = text(rows::summary(&run.labels(), &measured, None));
        assert!(summary.ends_with("all,all,out_of_memory,,,,,,,,,,,,,,4096,\n"), "{summary}");
    }

    #[test]
    fn one_sample_row_per_step_and_phase() {
        let (run, measured) = (fixture::run(true), fixture::measured(1));
        let labels = run.labels();
        let text = text(rows::samples(&labels, "4x4", &measured).collect());
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
            let summary = Summary::of(&measured);
            let phases = rows::phases(&run.labels(), &run.ceilings, &measured, summary.as_ref());
            let totals = rows::summary(&run.labels(), &measured, summary.as_ref());
            std::fs::write(folder.path().join("phases.csv"), header::<PhaseRow>() + &text(phases.clone())).unwrap();
            std::fs::write(folder.path().join("summary.csv"), header::<SummaryRow>() + &text(totals.clone())).unwrap();
            assert_eq!(read::<PhaseRow>(folder.path()).unwrap(), phases);
            assert_eq!(read::<SummaryRow>(folder.path()).unwrap(), totals);
        }
    }

    #[test]
    fn another_header_is_refused() {
        let error = records::<PhaseRow>("layer,time\nconv1,3\n").unwrap_err();
        assert!(error.to_string().contains("not those of phases.csv"), "{error}");
    }
}
