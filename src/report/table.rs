//! What `run` prints: the sweep, batch by batch, and the layers of the batch that the verdict speaks of. Fits in 100 columns.

use super::grid::grid;
use super::json::{Run, Setup};
use super::rows::{PhaseRow, ShareColumns, SummaryRow};
use super::verdict::{images, largest};
use crate::model::kind::Group;
use crate::plan::Phase;

/// What stands where nothing was measured or nothing applies.
pub(super) const NONE: &str = "-";

/// All tables of a run, from the rows it saved.
pub fn run(run: &Run, phases: &[PhaseRow], summaries: &[SummaryRow]) -> String {
    let Setup { model, device, precision, layout, .. } = &run.setup;
    let mut text = format!("{model} on {device}, {precision}, {layout}\n");
    text += &clocks(run).map(|line| line + "\n").unwrap_or_default();
    text += "\n";
    for image in images(summaries) {
        let rows: Vec<&SummaryRow> = summaries.iter().filter(|row| row.image == image).collect();
        text += &format!("The training step by batch size, image {image}: share of the step in % (95 % CI)\n\n");
        text += &sweep(&rows);
        text += "\nBy phase, in % of the step (data: backward_data, weights: backward_weights)\n\n";
        text += &by_phase(&rows);
        if let Some(step) = largest(&measured(&rows)) {
            text += &format!("\nLayers at batch {}: mean ms, and % of the step\n\n", step.batch);
            let of_batch = phases.iter().filter(|row| row.image == image && row.batch == step.batch);
            text += &layers(&of_batch.collect::<Vec<_>>());
        }
        text += "\n";
    }
    text + &notes(run)
}

/// A GPU's settings in one line; nothing for a device that has none.
fn clocks(run: &Run) -> Option<String> {
    let settings = run.machine.settings_before.as_ref()?;
    let locked = |option: &str| run.setup.options.get(option);
    let memory = locked("lock_memory_clock").map(|clock| format!("memory clock locked at {clock}"));
    let clocks = match locked("lock_clocks") {
        Some(clock) => format!("clocks locked at {clock}"),
        None => "clocks not locked: compare shares, not times".into(),
    };
    let told = |name: &str, word: &str| settings.get(name).map(|value| format!("{word} {value}"));
    let rest = [memory, told("power_limit", "power limit"), told("ecc", "ECC")].into_iter().flatten();
    Some([clocks].into_iter().chain(rest).collect::<Vec<_>>().join("; "))
}

/// What a reader of the figures should know.
fn notes(run: &Run) -> String {
    let of_run = run.machine.notes.iter().map(|note| format!("note: {note}\n"));
    let of_batches = run.points.iter().flat_map(|point| {
        point.notes.iter().map(|note| format!("note: batch {}, image {}: {note}\n", point.batch, point.image))
    });
    of_run.chain(of_batches).collect()
}

/// The steps' rows by batch.
pub(super) fn steps<'a>(rows: &[&'a SummaryRow]) -> Vec<&'a SummaryRow> {
    let mut steps: Vec<&SummaryRow> = rows.iter().copied().filter(|row| row.is_step()).collect();
    steps.sort_by_key(|row| row.batch);
    steps
}

/// Those that have figures.
pub(super) fn measured<'a>(rows: &[&'a SummaryRow]) -> Vec<&'a SummaryRow> {
    steps(rows).into_iter().filter(|step| step.mean_us.is_some()).collect()
}

pub(super) fn total<'a>(
    rows: &[&'a SummaryRow],
    batch: usize,
    group: Group,
    phase: Option<Phase>,
) -> Option<&'a SummaryRow> {
    rows.iter().copied().find(|row| row.batch == batch && row.group == Some(group) && row.phase == phase)
}

fn sweep(rows: &[&SummaryRow]) -> String {
    let header = ["batch", "step ms", "conv %", "fc %", "other %", "closure", "images/s", "status"];
    let line = |step: &SummaryRow| {
        let share =
            |group| total(rows, step.batch, group, None).map_or(NONE.into(), |row| share_with_interval(&row.share));
        let mut cells = vec![step.batch.to_string(), step_ms(step.mean_us)];
        cells.extend([Group::Conv, Group::Fc].map(share));
        let other = total(rows, step.batch, Group::Other, None);
        cells.push(number(other.and_then(|row| row.share.share_pct), 1));
        cells.push(number(step.step.closure, 3));
        cells.push(number(step.step.images_per_s, 1));
        cells.push(step.status.name().into());
        cells
    };
    grid(&header, 0, steps(rows).into_iter().map(line))
}

pub(super) fn by_phase(rows: &[&SummaryRow]) -> String {
    let columns: Vec<(Group, Phase)> =
        Group::ALL.into_iter().flat_map(|group| Phase::ALL.map(|phase| (group, phase))).collect();
    let exists = |&&(group, phase): &&(Group, Phase)| {
        rows.iter().any(|row| (row.group, row.phase) == (Some(group), Some(phase)))
    };
    let columns: Vec<(Group, Phase)> = columns.iter().filter(exists).copied().collect();
    let titles: Vec<String> =
        columns.iter().map(|&(group, phase)| format!("{}\n{}", group.name(), short(phase))).collect();
    let header: Vec<&str> = ["batch"].into_iter().chain(titles.iter().map(String::as_str)).collect();
    let line = |step: &SummaryRow| {
        let share = |&(group, phase): &(Group, Phase)| {
            number(total(rows, step.batch, group, Some(phase)).and_then(|row| row.share.share_pct), 1)
        };
        [step.batch.to_string()].into_iter().chain(columns.iter().map(share)).collect()
    };
    grid(&header, 0, steps(rows).into_iter().map(line))
}

/// A column's title where all phases of all groups stand side by side.
fn short(phase: Phase) -> &'static str {
    match phase {
        Phase::Forward => "fwd",
        Phase::BackwardData => "data",
        Phase::BackwardWeights => "weights",
        Phase::LossScale => "scale",
        Phase::WeightUpdate => "update",
    }
}

pub(super) fn layers(rows: &[&PhaseRow]) -> String {
    let exists = |phase: &Phase| *phase != Phase::LossScale || rows.iter().any(|row| row.phase == *phase);
    let phases: Vec<Phase> = Phase::ALL.into_iter().filter(exists).collect();
    let titles: Vec<String> = phases.iter().map(|phase| phase.name().replace('_', " ")).collect();
    let mut header = vec!["layer", "kind"];
    header.extend(titles.iter().map(String::as_str));
    header.extend(["total", "%"]);
    let of_layer = rows.chunk_by(|one, next| one.layer_index == next.layer_index);
    let lines = of_layer.map(|layer| {
        let ms = |phase| layer.iter().find(|row| row.phase == phase).and_then(|row| row.duration.mean_us);
        let sum = |value: fn(&PhaseRow) -> Option<f64>| layer.iter().map(|row| value(row)).sum::<Option<f64>>();
        let mut cells = vec![layer[0].layer.clone(), layer[0].kind.clone()];
        cells.extend(phases.iter().map(|&phase| number(ms(phase).map(|us| us / 1e3), 3)));
        cells.push(number(sum(|row| row.duration.mean_us).map(|us| us / 1e3), 3));
        cells.push(number(sum(|row| row.share.share_pct), 1));
        cells
    });
    grid(&header, 2, lines)
}

fn share_with_interval(share: &ShareColumns) -> String {
    let interval = share.share_ci95_low_pct.zip(share.share_ci95_high_pct);
    let interval = interval.map_or(String::new(), |(low, high)| format!(" ({low:.1}–{high:.1})"));
    number(share.share_pct, 1) + &interval
}

/// A step's time: hundredths, or three digits where these would be lost.
pub(super) fn step_ms(us: Option<f64>) -> String {
    let ms = us.map(|us| us / 1e3);
    let decimals = match ms {
        Some(ms) if ms > 0.0 && ms < 0.1 => (2 - ms.log10().floor() as i32).min(6) as usize,
        _ => 2,
    };
    number(ms, decimals)
}

pub(super) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(NONE.into(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use crate::profile::summary::Summary;
    use crate::report::{fixture, rows};

    const EXPECTED: &str = "\
small on A processor, with a comma, f32, nchw

The training step by batch size, image 4x4: share of the step in % (95 % CI)

batch  step ms            conv %              fc %  other %  closure  images/s         status
---------------------------------------------------------------------------------------------
    1   0.0500  50.0 (24.6–75.4)  36.0 (10.6–61.4)     14.0    1.125   10000.0             ok
    2   0.0500  50.0 (24.6–75.4)  36.0 (10.6–61.4)     14.0    1.125   20000.0             ok
   64        -                 -                 -        -        -         -  out_of_memory

By phase, in % of the step (data: backward_data, weights: backward_weights)

batch  conv     conv    conv   fc    fc       fc      fc  other  other
        fwd  weights  update  fwd  data  weights  update    fwd   data
----------------------------------------------------------------------
    1  22.0     24.0     4.0  6.0  10.0     12.0     8.0    6.0    8.0
    2  22.0     24.0     4.0  6.0  10.0     12.0     8.0    6.0    8.0
   64     -        -       -    -     -        -       -      -      -

Layers at batch 2: mean ms, and % of the step

layer  kind          forward  backward data  backward weights  weight update  total     %
-----------------------------------------------------------------------------------------
conv1  conv            0.011              -             0.012          0.002  0.025  50.0
relu1  relu            0.002          0.003                 -              -  0.005  10.0
fc2    fc              0.003          0.005             0.006          0.004  0.018  36.0
loss   softmax_loss    0.001          0.001                 -              -  0.002   4.0

";

    /// Shares by hand: of 50 µs, conv's forward takes 11; two steps with 24 and 26 µs of conv, 48 and 52 %, have a standard
    /// error of 2 and a Student factor of 12.706.
    #[test]
    fn a_run_as_printed() {
        let run = fixture::run(false);
        let mut phases = Vec::new();
        let mut totals = Vec::new();
        for measured in [fixture::measured(2), fixture::measured(1), fixture::out_of_memory(64)] {
            let summary = Summary::of(&measured);
            phases.extend(rows::phases(&run.labels(), &run.ceilings, &measured, summary.as_ref()));
            totals.extend(rows::summary(&run.labels(), &measured, summary.as_ref()));
        }
        let text = super::run(&run, &phases, &totals);
        assert_eq!(text, EXPECTED);
        assert!(text.lines().all(|line| line.chars().count() <= 100));
    }

    /// A run's settings and notes by hand; a CPU has neither.
    #[test]
    fn settings_in_one_line() {
        let mut run = fixture::run(false);
        assert!(!super::run(&run, &[], &[]).contains("clocks"));
        run.machine.settings_before =
            Some([("power_limit", "400 W"), ("ecc", "on"), ("mig", "off")].map(|(k, v)| (k.into(), v.into())).into());
        let line = |run: &_| super::run(run, &[], &[]).lines().nth(1).unwrap().to_owned();
        assert_eq!(line(&run), "clocks not locked: compare shares, not times; power limit 400 W; ECC on");
        run.setup.options.insert("lock_clocks".into(), "1410 MHz".into());
        run.setup.options.insert("lock_memory_clock".into(), "1215 MHz".into());
        assert_eq!(line(&run), "clocks locked at 1410 MHz; memory clock locked at 1215 MHz; power limit 400 W; ECC on");
        run.machine.notes.push("other processes are on the GPU: 12".into());
        assert!(super::run(&run, &[], &[]).ends_with("\nnote: other processes are on the GPU: 12\n"));
    }
}
