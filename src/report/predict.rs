//! What `predict` prints: one GPU as `run` prints a run, or several side by side. Fits in 100 columns.

use super::grid::grid;
use super::rows::{PhaseRow, SummaryRow};
use super::table::{self, NONE, measured, number, step_ms, steps, total};
use super::verdict::{self, Crossover, images, largest};
use crate::model::kind::Group;
use crate::units::size;

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
        if let Some(step) = largest(&measured(&rows)) {
            text += &format!("\nLayers at batch {}: ms, and % of the step\n\n", step.batch);
            let of_batch = sheet.phases.iter().filter(|row| row.image == image && row.batch == step.batch);
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
    let Some(step) = largest(&measured(&rows)) else {
        let nothing = ["no batch fits"].into_iter().chain([NONE; 7]).map(String::from);
        return [sheet.title.to_owned()].into_iter().chain(nothing).collect();
    };
    let mut cells = vec![sheet.title.to_owned(), step.batch.to_string(), step_ms(step.mean_us)];
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
            let Some(step) = largest(&measured(rows)) else { return NONE.into() };
            let share = |group| total(rows, step.batch, group, None).and_then(|row| row.share.share_pct).unwrap_or(0.0);
            if share(Group::Conv) >= share(Group::Fc) { "nowhere".into() } else { "everywhere".into() }
        }
    }
}

fn sweep(rows: &[&SummaryRow]) -> String {
    let header = ["batch", "step ms", "conv %", "fc %", "other %", "images/s", "memory", "fits"];
    let line = |step: &SummaryRow| {
        let mut cells = vec![step.batch.to_string(), step_ms(step.mean_us)];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Bound;
    use crate::predict::{Predicted, PredictedPhase};
    use crate::report::fixture;
    use crate::report::rows::{predicted_phases, predicted_summary};

    /// The fixture's first step (conv1 24 µs, fc2 19, others 7), with conv1 `scale` times as long.
    fn rows(batch: usize, scale: f64, fits: bool) -> (Vec<PhaseRow>, Vec<SummaryRow>) {
        let measured = fixture::measured(batch);
        let phase = |(&op, &us): (&_, &f64)| {
            let op: crate::step::Op = op;
            let us = if op.layer == 0 { us * scale } else { us };
            let cost = measured.plan.layers[op.layer].cost(op.phase);
            PredictedPhase { op, us, cost, bound: Bound::Memory }
        };
        let mut phases: Vec<PredictedPhase> =
            measured.ops.iter().zip(&measured.samples[0].phases_us).map(phase).collect();
        phases.sort_by_key(|phase| (phase.op.layer, phase.op.phase));
        let run = fixture::run(false);
        let ceilings = run.ceilings;
        let predicted = Predicted { plan: measured.plan.clone(), phases, ceilings, planned_bytes: 3 << 29, fits };
        (predicted_phases(&run.labels(), &predicted), predicted_summary(&run.labels(), &predicted))
    }

    const ONE: &str = "\
The training step by batch size, image 4x4: share of the step in %

batch  step ms  conv %  fc %  other %  images/s    memory  fits
---------------------------------------------------------------
    1   0.0380    31.6  50.0     18.4   26315.8  1.50 GiB   yes
    2     0.15    82.2  13.0      4.8   13698.6  1.50 GiB   yes
    8        -       -     -        -         -  1.50 GiB    no

By phase, in % of the step (data: backward_data, weights: backward_weights)

batch  conv     conv    conv    fc    fc       fc      fc  other  other
        fwd  weights  update   fwd  data  weights  update    fwd   data
-----------------------------------------------------------------------
    1  13.2     15.8     2.6  10.5  13.2     15.8    10.5    7.9   10.5
    2  34.2     41.1     6.8   2.7   3.4      4.1     2.7    2.1    2.7
    8     -        -       -     -     -        -       -      -      -

Layers at batch 2: ms, and % of the step

layer  kind          forward  backward data  backward weights  weight update  total     %
-----------------------------------------------------------------------------------------
conv1  conv            0.050              -             0.060          0.010  0.120  82.2
relu1  relu            0.002          0.003                 -              -  0.005   3.4
fc2    fc              0.004          0.005             0.006          0.004  0.019  13.0
loss   softmax_loss    0.001          0.001                 -              -  0.002   1.4

";

    const SEVERAL: &str = "\
The training step at the largest batch that fits, image 4x4: share of the step in %

GPU            batch  step ms  conv %  fc %  other %  images/s  fc leads below    memory
----------------------------------------------------------------------------------------
A GPU              2     0.15    82.2  13.0      4.8   13698.6             1.2  1.50 GiB
Small  no batch fits        -       -     -        -         -               -         -

";

    /// By hand: half of conv1 makes a step of 12 + 19 + 7 = 38 µs, five times of 120 + 19 + 7 = 146 µs. fc leads by 18.4 points
    /// at batch 1 and trails by 69.2 at 2: they meet at 2^(18.4 / 87.6) = 1.16.
    #[test]
    fn as_printed() {
        let parts = [rows(8, 1.0, false), rows(2, 5.0, true), rows(1, 0.5, true)];
        let (phases, summaries): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let (phases, summaries) = (phases.concat(), summaries.concat());
        let sheet = Sheet { title: "A GPU", phases: &phases, summaries: &summaries };
        assert_eq!(one(&sheet), ONE);
        let (phases, summaries) = rows(8, 1.0, false);
        let small = Sheet { title: "Small", phases: &phases, summaries: &summaries };
        assert_eq!(several(&[sheet, small]), SEVERAL);
    }
}
