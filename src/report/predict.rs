//! What `predict` prints: one GPU as `run` prints a run, or several side by side. Fits in 100 columns.

use super::grid::{grid, size};
use super::rows::{PhaseRow, SummaryRow};
use super::table::{self, NONE, number, steps, total};
use super::verdict::{self, Crossover, images};
use crate::model::kind::Group;

/// The rows of one GPU.
pub struct Sheet<'a> {
    pub title: &'a str,
    pub phases: &'a [PhaseRow],
    pub summaries: &'a [SummaryRow],
}

/// All tables of one GPU.
pub fn one(sheet: &Sheet) -> String {
    let mut text = String::new();
    for image in images(sheet.summaries) {
        let rows: Vec<&SummaryRow> = sheet.summaries.iter().filter(|row| row.image == image).collect();
        text += &format!("The training step by batch size, image {image}: share of the step in %\n\n");
        text += &sweep(&rows);
        text += "\nBy phase, in % of the step (data: backward_data, weights: backward_weights)\n\n";
        text += &table::by_phase(&rows);
        if let Some(largest) = largest(&rows) {
            text += &format!("\nLayers at batch {}: ms, and % of the step\n\n", largest.batch);
            let of_batch = sheet.phases.iter().filter(|row| row.image == image && row.batch == largest.batch);
            text += &table::layers(&of_batch.collect::<Vec<_>>());
        }
        text += "\n";
    }
    text
}

/// One line per GPU, at the largest batch that its memory holds.
pub fn several(sheets: &[Sheet]) -> String {
    let mut text = String::new();
    for image in sheets.first().map_or(Vec::new(), |sheet| images(sheet.summaries)) {
        text += &format!("The training step at the largest batch that fits, image {image}: share of the step in %\n\n");
        let header = ["GPU", "batch", "step ms", "conv %", "fc %", "other %", "images/s", "fc leads below", "memory"];
        text += &grid(&header, 1, sheets.iter().map(|sheet| line(sheet, image)));
        text += "\n";
    }
    text
}

fn line(sheet: &Sheet, image: &str) -> Vec<String> {
    let rows: Vec<&SummaryRow> = sheet.summaries.iter().filter(|row| row.image == image).collect();
    let Some(step) = largest(&rows) else {
        let nothing = ["no batch fits"].into_iter().chain([NONE; 7]).map(String::from);
        return [sheet.title.to_owned()].into_iter().chain(nothing).collect();
    };
    let mut cells = vec![sheet.title.to_owned(), step.batch.to_string(), number(step.mean_us.map(|us| us / 1e3), 2)];
    cells.extend(shares(&rows, step));
    cells.push(number(step.step.images_per_s, 1));
    cells.push(turn(&rows, &verdict::crossovers(sheet.summaries), image));
    cells.push(memory(step));
    cells
}

/// The batch below which fc leads, in one word.
fn turn(rows: &[&SummaryRow], crossovers: &[Crossover], image: &str) -> String {
    match crossovers.iter().rfind(|crossover| crossover.image == image) {
        Some(crossover) if crossover.leads_below == Group::Fc => format!("{:.1}", crossover.batch),
        Some(crossover) => format!("above {:.1}", crossover.batch),
        None => {
            let Some(step) = largest(rows) else { return NONE.into() };
            let share = |group| total(rows, step.batch, group, None).and_then(|row| row.share.share_pct).unwrap_or(0.0);
            if share(Group::Conv) >= share(Group::Fc) { "nowhere".into() } else { "everywhere".into() }
        }
    }
}

/// The step's row of the largest batch that has figures.
fn largest<'a>(rows: &[&'a SummaryRow]) -> Option<&'a SummaryRow> {
    steps(rows).into_iter().rfind(|step| step.mean_us.is_some())
}

fn sweep(rows: &[&SummaryRow]) -> String {
    let header = ["batch", "step ms", "conv %", "fc %", "other %", "images/s", "memory", "fits"];
    let line = |step: &SummaryRow| {
        let mut cells = vec![step.batch.to_string(), number(step.mean_us.map(|us| us / 1e3), 2)];
        cells.extend(shares(rows, step));
        cells.push(number(step.step.images_per_s, 1));
        cells.push(memory(step));
        cells.push(if step.mean_us.is_some() { "yes" } else { "no" }.into());
        cells
    };
    grid(&header, 0, steps(rows).into_iter().map(line))
}

fn shares(rows: &[&SummaryRow], step: &SummaryRow) -> [String; 3] {
    Group::ALL.map(|group| number(total(rows, step.batch, group, None).and_then(|row| row.share.share_pct), 1))
}

fn memory(step: &SummaryRow) -> String {
    step.step.planned_bytes.map_or(NONE.into(), size)
}
