//! A stored run printed again: as text, as Markdown for an issue, as CSV and as JSON.

use anyhow::Result;
use serde_json::{Value, json};

use super::csv;
use super::rows::PhaseRow;
use super::run::Run;
use super::run_tables::{self, Selection, notes, tables};
use super::table::{Table, wrapped};
use super::verdict;

/// The tables, the notes and the verdict, as `run` printed them.
pub fn text(run: &Run, selection: Selection) -> String {
    let sentences = verdict::sentences(run);
    let verdict: String = sentences.iter().map(|sentence| wrapped(sentence, selection.room) + "\n").collect();
    let text = run_tables::text(run, selection);
    // The answer stands by itself.
    let gap = if notes(run).is_empty() { "" } else { "\n" };
    text + gap + &verdict
}

/// The same as Markdown, the verdict first.
pub fn markdown(run: &Run, selection: Selection) -> String {
    let paragraphs = [format!("**{}**", run.heading())].into_iter().chain(verdict::sentences(run));
    let notes = notes(run).into_iter().map(|note| format!("- {note}")).collect::<Vec<_>>().join("\n");
    let parts =
        paragraphs.map(|text| text + "\n").chain(all_tables(run, selection).into_iter().map(|table| table.markdown()));
    let parts = parts.chain((!notes.is_empty()).then(|| notes + "\n"));
    parts.collect::<Vec<_>>().join("\n")
}

/// The same as one JSON object: numbers are as printed, in strings.
pub fn json(run: &Run, selection: Selection) -> Value {
    let table = |table: Table| {
        let columns: Vec<String> = table.header.iter().map(|heading| heading.title.replace('\n', " ")).collect();
        json!({ "caption": table.caption, "columns": columns, "rows": table.rows })
    };
    let tables: Vec<Value> = all_tables(run, selection).into_iter().map(table).collect();
    json!({
        "run_id": run.run_id,
        "heading": run.heading(),
        "verdict": verdict::sentences(run),
        "answers": verdict::answers(run),
        "crossovers": verdict::crossovers(run),
        "notes": notes(run),
        "tables": tables,
    })
}

/// Rows of phases.csv, with a header: of one batch, and of each batch and image size the longest phases.
pub fn rows(mut rows: Vec<PhaseRow>, selection: Selection) -> Result<Vec<u8>> {
    rows.retain(|row| selection.batch.is_none_or(|batch| batch == row.point.batch));
    if let Some(top) = selection.top {
        let us = |row: &PhaseRow| row.duration.mean_us.unwrap_or(0.0);
        let place = |row: &PhaseRow| (row.point.labels.run_id.clone(), row.point.image.clone(), row.point.batch);
        rows.sort_by(|a, b| place(a).cmp(&place(b)).then(us(b).total_cmp(&us(a))));
        rows = rows.chunk_by(|a, b| place(a) == place(b)).flat_map(|point| point.iter().take(top).cloned()).collect();
    }
    let mut text = csv::header::<PhaseRow>().into_bytes();
    text.extend(csv::lines(rows)?);
    Ok(text)
}

fn all_tables(run: &Run, selection: Selection) -> Vec<Table> {
    run.images().iter().flat_map(|image| tables(run, image, selection)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use crate::report::lines::By;
    use crate::report::table::Room;

    fn run() -> Run {
        let (_out, folder) = fixture::folder(fixture::run(false), [1, 2].map(fixture::measured));
        folder.run().clone()
    }

    const ALL: Selection = Selection { batch: None, by: By::Layer, top: None, room: Room::Terminal };

    #[test]
    fn text_ends_with_the_verdict() {
        let text = text(&run(), ALL);
        assert!(
            text.contains("Layers at batch 2") && text.contains("\nconv takes 50.0 % of the training step at"),
            "{text}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    /// The longest layers at batch 1: conv1 25 µs, fc2 18.
    #[test]
    fn one_batch_and_the_longest_layers() {
        let run = run();
        let text = markdown(&run, Selection { batch: Some(1), top: Some(2), ..ALL });
        let layers = &text
            [text.find("% of the step; with marks, their sum is 1.12 of a plain step; the 2 longest of 4").unwrap()..];
        let rows: Vec<&str> = layers.lines().skip(4).take(4).collect();
        assert!(rows[0].starts_with("| conv1 |") && rows[1].starts_with("| fc2 |"), "{layers}");
        assert!(rows[2].starts_with("| 2 others |") && rows[3].is_empty(), "{layers}");
        assert!(text.starts_with("**small on A processor, with a comma, f32, nchw**\n\nconv takes"), "{text}");
        let (phases, _) = fixture::rows(&run.labels(), &fixture::measured(1));
        let csv = String::from_utf8(rows_of(phases)).unwrap();
        let layers: Vec<&str> = csv.lines().skip(1).map(|line| line.split(',').nth(10).unwrap()).collect();
        // The name of the processor has a comma: 12, 11 and 6 µs.
        assert_eq!(layers, ["conv1", "conv1"], "{csv}");
    }

    fn rows_of(phases: Vec<PhaseRow>) -> Vec<u8> {
        rows(phases, Selection { batch: Some(1), top: Some(2), ..ALL }).unwrap()
    }

    #[test]
    fn json_holds_the_tables() {
        let json = json(&run(), ALL);
        assert_eq!(json["tables"][0]["columns"][1], "ms");
        assert_eq!(json["answers"][0]["leader"], "conv");
        assert_eq!(json["tables"][2]["rows"][0][0], "conv1");
    }
}
