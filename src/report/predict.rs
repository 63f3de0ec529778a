//! The text that `predict` prints of several GPUs, side by side; one GPU is printed as `run` prints a run. Fits in 80 columns.

use super::run::{Origin, Point, Run};
use super::run_tables::{NONE, memory, number, predicted_ms, share_within};
use super::table::{Room, Table, numbers, words};
use super::verdict::{self, Crossover};
use crate::model::kind::Group;

/// One line per GPU, at the largest batch that its memory holds, with 95 % intervals; a table for each image size.
pub fn several(runs: &[&Run], room: Room) -> String {
    let images = runs.first().map_or(Vec::new(), |run| run.images());
    images.iter().map(|image| table(runs, image, room).text(room) + "\n").collect()
}

fn table(runs: &[&Run], image: &str, room: Room) -> Table {
    let caption = format!("The training step at the largest batch that fits, image {image}: ms, share in %");
    let titles = ["batch", "ms", "conv\n%", "fc\n%", "fc leads\nbelow", "other\n%", "images\n/s", "memory"];
    let header: Vec<_> = [words("GPU")].into_iter().chain(titles.map(numbers)).collect();
    // There is no room for the last three beside the names of GPUs and the intervals.
    let columns = header.len() - if room == Room::Wide { 0 } else { 3 };
    let shown = |mut cells: Vec<String>| {
        cells.truncate(columns);
        cells
    };
    Table::new(caption, header[..columns].to_vec(), runs.iter().map(|run| shown(line(run, image))))
}

fn line(run: &Run, image: &str) -> Vec<String> {
    let gpu = match &run.origin {
        Origin::Predicted { gpu } => gpu.clone(),
        Origin::Measured { device, .. } => device.clone(),
    };
    let Some(point) = run.largest(image) else {
        let nothing = ["none"].into_iter().chain([NONE; 7]).map(String::from);
        return [gpu].into_iter().chain(nothing).collect();
    };
    let mut cells = vec![gpu, point.batch.to_string(), predicted_ms(point)];
    cells.extend([Group::Conv, Group::Fc].map(|group| share_within(point.group(group))));
    cells.push(turn(point, &verdict::crossovers(run), image));
    cells.push(share_within(point.group(Group::Other)));
    cells.push(number(point.images_per_s(), 1));
    cells.push(memory(point));
    cells
}

/// The batch below which fc leads, in short.
fn turn(largest: &Point, crossovers: &[Crossover], image: &str) -> String {
    let of_fc = |one: &&Crossover| one.image == image && [one.leads_below, one.leads_above].contains(&Group::Fc);
    match crossovers.iter().rev().find(of_fc) {
        Some(crossover) => {
            let above = if crossover.leads_below == Group::Fc { "" } else { "above " };
            format!("{above}{}{}", crossover.short(), crossover.span())
        }
        None if largest.rival() == Some(Group::Fc) => "cannot tell".into(),
        None if largest.leader() == Group::Fc => "everywhere".into(),
        None => "nowhere".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Bound;
    use crate::predict::{Predicted, PredictedPhase, Spread};
    use crate::report::fixture;
    use crate::report::run_tables::{Selection, tables_text};

    /// The fixture's first step (conv1 24 µs, fc2 19, others 7), with conv1 `scale` times as long.
    fn predicted(batch: usize, scale: f64, fits: bool) -> Predicted {
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
        let ceilings = fixture::run(false).header.unwrap().ceilings;
        Predicted {
            plan: measured.plan.clone(),
            phases,
            ceilings,
            planned_bytes: 3 << 29,
            fits,
            spread: Spread::none(),
        }
    }

    fn run(gpu: &str, predicted: &[Predicted]) -> Run {
        let mut run = Run { origin: Origin::Predicted { gpu: gpu.into() }, ..fixture::run(false) };
        predicted.iter().for_each(|predicted| run.add_predicted(predicted));
        run
    }

    const ONE: &str = "\
The training step by batch size, image 4x4: ms and shares in %, with 95 %
intervals

batch             ms     conv %       fc %  other %  images/s    memory  fits
-----------------------------------------------------------------------------
    1  0.0380 ×/1.00  31.6 ±0.0  50.0 ±0.0     18.4   26315.8  1.50 GiB   yes
    2    0.15 ×/1.00  82.2 ±0.0  13.0 ±0.0      4.8   13698.6  1.50 GiB   yes
    8              -          -          -        -         -  1.50 GiB    no

By phase, in % of the step (data: backward_data, weights: backward_weights)

batch  conv     conv    conv    fc    fc       fc      fc  other  other
        fwd  weights  update   fwd  data  weights  update    fwd   data
-----------------------------------------------------------------------
    1  13.2     15.8     2.6  10.5  13.2     15.8    10.5    7.9   10.5
    2  34.2     41.1     6.8   2.7   3.4      4.1     2.7    2.1    2.7
    8     -        -       -     -     -        -       -      -      -

Layers at batch 2: ms, and % of the step

layer  kind          forward  backward  backward  weight  total     %
                                  data   weights  update
---------------------------------------------------------------------
conv1  conv            0.050         -     0.060   0.010  0.120  82.2
relu1  relu            0.002     0.003         -       -  0.005   3.4
fc2    fc              0.004     0.005     0.006   0.004  0.019  13.0
loss   softmax_loss    0.001     0.001         -       -  0.002   1.4

";

    const SEVERAL: &str = "\
The training step at the largest batch that fits, image 4x4: ms, share in %

GPU    batch           ms       conv         fc       fc leads
                                   %          %          below
--------------------------------------------------------------
A GPU      2  0.15 ×/1.00  82.2 ±0.0  13.0 ±0.0  1.2 (1.2–1.2)
Small   none            -          -          -              -

";

    /// By hand: half of conv1 makes a step of 12 + 19 + 7 = 38 µs, five times of 120 + 19 + 7 = 146 µs. fc leads by 18.4 points
    /// at batch 1 and trails by 69.2 at 2: they meet at 2^(18.4 / 87.6) = 1.16.
    #[test]
    fn as_printed() {
        let run_of = |gpu: &str, predicted: Vec<Predicted>| run(gpu, &predicted);
        let one = run_of("A GPU", vec![predicted(8, 1.0, false), predicted(2, 5.0, true), predicted(1, 0.5, true)]);
        assert_eq!(tables_text(&one, Selection::of_room(Room::Terminal)), ONE);
        let small = run_of("Small", vec![predicted(8, 1.0, false)]);
        assert_eq!(several(&[&one, &small], Room::Terminal), SEVERAL);
    }
}
