//! The tables of a run, measured or predicted: the sweep, batch by batch, and the layers of the batch that the verdict speaks of.
//! They fit in 80 columns; [`Room::Wide`] has full intervals.

use super::doubt;
use super::header::Header;
use super::lines::{By, TableLine, limit, lines, shortened};
use super::run::{Figures, LayerPart, Point, Run};
use super::table::{Room, Table, numbers, words, wrapped};
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::units::size;

/// The tables and figures to show of a run.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Layers at this batch; else at the one that the verdict speaks of.
    pub batch: Option<usize>,
    /// The things that have a line.
    pub by: By,
    /// The lines that take longest, that many, and the others in one; else those of a long table alone are so shortened.
    pub top: Option<usize>,
    /// The width.
    pub room: Room,
}

impl Selection {
    /// Everything, as it is printed when nothing else is asked for.
    pub fn of_room(room: Room) -> Selection {
        Selection { batch: None, by: By::Layer, top: None, room }
    }
}

/// Stands where nothing was measured or nothing applies.
pub(super) const NONE: &str = "-";

/// The text that `run` prints of a run: who and where, the tables, the notes.
pub fn text(run: &Run, selection: Selection) -> String {
    let room = selection.room;
    let clocks = run.header.as_ref().and_then(clocks).map(|line| wrapped(&line, room) + "\n").unwrap_or_default();
    let tables = tables_text(run, selection);
    let legend = wrapped(&legend(run), room);
    format!("{}\n{clocks}\n{tables}{legend}\n\n{}", wrapped(&run.heading(), room), notes_text(run, room))
}

/// Explains the words of the tables that a reader may not know.
fn legend(run: &Run) -> String {
    let noisy = run.points.iter().any(|point| point.status == Status::Noisy);
    let noisy = noisy.then_some("noisy: the step's time did not become as sure as asked for");
    let words = ["other: all layers but conv and fc", "closure: the sum of the phases over a plain step, 1 at best"];
    words.into_iter().chain(noisy).collect::<Vec<_>>().join("; ") + "."
}

/// All tables of a run as text.
pub fn tables_text(run: &Run, selection: Selection) -> String {
    let of_image = |image: &std::sync::Arc<str>| {
        let tables: Vec<String> =
            tables(run, image, selection).iter().map(|table| table.text(selection.room)).collect();
        tables.join("\n") + "\n"
    };
    run.images().iter().map(of_image).collect()
}

/// The tables of one image size.
pub fn tables(run: &Run, image: &str, selection: Selection) -> Vec<Table> {
    let Selection { batch, by, top, room } = selection;
    let points = run.at(image);
    let sweep = if run.is_predicted() { predicted_sweep(image, &points, room) } else { sweep(image, &points, room) };
    let mut tables = vec![sweep, by_phase(&points)];
    let mean = if run.is_predicted() { "ms" } else { "mean ms" };
    let point = match batch {
        Some(batch) => points.iter().copied().find(|point| point.batch == batch && point.is_measured()),
        None => run.largest(image),
    };
    let caption =
        |point: &Point| format!("Layers at batch {}: {mean}, and % of the step{}", point.batch, point.stretch());
    tables.extend(point.map(|point| layers(&caption(point), point, by, top)));
    tables
}

/// A GPU's settings in one line; nothing for a device that has none.
fn clocks(header: &Header) -> Option<String> {
    let settings = header.machine.settings_before.as_ref()?;
    let locked = |option: &str| header.options.get(option);
    let memory = locked("lock_memory_clock").map(|clock| format!("memory clock locked at {clock}"));
    let clocks = match locked("lock_clocks") {
        Some(clock) => format!("clocks locked at {clock}"),
        None => "clocks not locked: compare shares, not times".into(),
    };
    let told = |name: &str, word: &str| settings.get(name).map(|value| format!("{word} {value}"));
    let rest = [memory, told("power_limit", "power limit"), told("ecc", "ECC")].into_iter().flatten();
    Some([clocks].into_iter().chain(rest).collect::<Vec<_>>().join("; "))
}

/// Notes for a reader of the figures, one line each.
pub fn notes(run: &Run) -> Vec<String> {
    let of_run = run.header.iter().flat_map(|header| header.machine.notes.iter().cloned());
    // What is true of several batches is said once.
    let mut groups: Vec<(&str, String, Vec<usize>)> = Vec::new();
    for point in &run.points {
        for note in point.notes() {
            match groups.iter_mut().find(|(image, known, _)| **image == *point.image && *known == note) {
                Some((.., batches)) => batches.push(point.batch),
                None => groups.push((&point.image, note, vec![point.batch])),
            }
        }
    }
    let of_batches = groups.into_iter().map(|(image, note, mut batches)| {
        batches.sort_unstable();
        let word = if batches.len() == 1 { "batch" } else { "batches" };
        let batches = batches.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("{word} {batches}, image {image}: {note}")
    });
    of_run.chain(of_batches).chain(doubt::of_ceilings(run)).collect()
}

fn notes_text(run: &Run, room: Room) -> String {
    notes(run).iter().map(|note| wrapped(&format!("note: {note}"), room) + "\n").collect()
}

fn sweep(image: &str, points: &[&Point], room: Room) -> Table {
    let mut header: Vec<_> = ["batch", "ms", "conv %", "fc %", "other %", "closure", "images/s"].map(numbers).into();
    header.push(words("status"));
    let interval = match room {
        Room::Terminal | Room::Pipe => share_within,
        Room::Wide => share_with_interval,
    };
    let line = |point: &&Point| {
        let mut cells = vec![point.batch.to_string(), step_ms(step_us(point))];
        cells.extend([Group::Conv, Group::Fc].map(|group| interval(point.group(group))));
        cells.push(share(point.group(Group::Other)));
        cells.push(number(point.step.closure, 3));
        cells.push(number(point.images_per_s(), 1));
        cells.push(point.status.name().into());
        cells
    };
    let caption = format!("The training step by batch size, image {image}: mean ms, shares in % (95 % CI)");
    Table::new(caption, header, points.iter().map(line))
}

fn predicted_sweep(image: &str, points: &[&Point], room: Room) -> Table {
    let mut header: Vec<_> = ["batch", "ms", "conv %", "fc %", "other %", "images/s", "memory"].map(numbers).into();
    header.push(words("fits"));
    let interval = match room {
        Room::Terminal | Room::Pipe => share_within,
        Room::Wide => share_with_interval,
    };
    let line = |point: &&Point| {
        let mut cells = vec![point.batch.to_string(), predicted_ms(point)];
        cells.extend([Group::Conv, Group::Fc].map(|group| interval(point.group(group))));
        let other = point.group(Group::Other);
        cells.push(if room == Room::Wide { interval(other) } else { share(other) });
        cells.push(number(point.images_per_s(), 1));
        cells.push(memory(point));
        cells.push(if point.is_measured() { "yes" } else { "no" }.into());
        cells
    };
    let caption = format!("The training step by batch size, image {image}: ms and shares in %, with 95 % intervals");
    Table::new(caption, header, points.iter().map(line))
}

fn by_phase(points: &[&Point]) -> Table {
    let scopes = Scope::every().filter(|scope| scope.group.is_some() && scope.phase.is_some());
    let columns: Vec<Scope> = scopes.filter(|&scope| points.iter().any(|point| point.total(scope).is_some())).collect();
    let title =
        |scope: &Scope| numbers(format!("{}\n{}", scope.group.map_or("", Group::name), scope.phase.map_or("", short)));
    let header = [numbers("batch")].into_iter().chain(columns.iter().map(title)).collect();
    let line = |point: &&Point| {
        [point.batch.to_string()].into_iter().chain(columns.iter().map(|&scope| share(point.total(scope)))).collect()
    };
    let stretched: Vec<String> =
        points.iter().filter(|point| point.is_stretched()).map(|point| point.batch.to_string()).collect();
    let stretched = match &*stretched {
        [] => String::new(),
        batches => format!("; at batch {} of a step stretched by marks", batches.join(", ")),
    };
    let caption = format!("By phase, in % of the step (data: backward_data, weights: backward_weights){stretched}");
    Table::new(caption, header, points.iter().map(line))
}

/// A column's title where all phases of all groups stand side by side.
fn short(phase: Phase) -> &'static str {
    match phase {
        Phase::Forward => "fwd",
        Phase::BackwardData => "data",
        Phase::BackwardWeights => "weights",
        Phase::AllReduce => "reduce",
        Phase::LossScale => "scale",
        Phase::WeightUpdate => "update",
    }
}

/// Time by layer, block or kind, and phase, at one batch; see [`shortened`] for `top`.
pub fn layers(caption: &str, point: &Point, by: By, top: Option<usize>) -> Table {
    let everywhere = |phase: &Phase| !matches!(phase, Phase::AllReduce | Phase::LossScale);
    let exists = |phase: &Phase| everywhere(phase) || point.parts.iter().any(|part| part.phase == *phase);
    let phases: Vec<Phase> = Phase::ALL.into_iter().filter(exists).collect();
    let mut header = vec![words(by.name()), words(if by == By::Layer { "kind" } else { "" })];
    header.extend(phases.iter().map(|phase| numbers(phase.name().replace('_', "\n"))));
    header.extend(["total", "%"].map(numbers));
    let layers: Vec<&[LayerPart]> = point.layers().collect();
    let names: Vec<(&str, &str)> = layers.iter().map(|layer| (&*layer[0].layer, &*layer[0].kind)).collect();
    let parts = |line: &TableLine| -> Vec<&LayerPart> { line.layers.iter().flat_map(|&place| layers[place]).collect() };
    let us = |line: &TableLine| parts(line).iter().map(|part| part.figures.mean_us).sum::<f64>();
    let cells = |line: TableLine| {
        let parts = parts(&line);
        let ms = |phase: Phase| {
            let of: Vec<f64> =
                parts.iter().filter(|part| part.phase == phase).map(|part| part.figures.mean_us).collect();
            (!of.is_empty()).then(|| of.iter().sum::<f64>() / 1e3)
        };
        let mut cells = vec![line.title.clone(), line.word.clone()];
        cells.extend(phases.iter().map(|&phase| number(ms(phase), 3)));
        cells.push(number(Some(us(&line) / 1e3), 3));
        cells.push(number(Some(parts.iter().map(|part| part.figures.share_pct).sum()), 1));
        cells
    };
    let all = lines(&names, by);
    let (count, longest) = (all.len(), limit(all.len(), top));
    let mut shown = shortened(all, top, us);
    let mut caption = caption.to_owned();
    if longest < count {
        shown[..longest].sort_by(|a, b| us(b).total_cmp(&us(a)));
        caption += &format!("; the {longest} longest of {count}");
    }
    Table::new(caption, header, shown.into_iter().map(cells))
}

/// The step's mean time in µs.
pub(super) fn step_us(point: &Point) -> Option<f64> {
    point.total(Scope::STEP).map(|step| step.mean_us)
}

/// A predicted step's time and how far it reaches to either side, as a factor.
pub(super) fn predicted_ms(point: &Point) -> String {
    let us = step_us(point);
    // No decimals of what is known to a third.
    let ms = us.filter(|us| *us >= 1e5).map_or_else(|| step_ms(us), |us| format!("{:.0}", us / 1e3));
    let ends = point.total(Scope::STEP).and_then(|step| step.median_ci95).zip(us);
    ms + &ends.map_or(String::new(), |(ends, us)| format!(" ×/{:.2}", ends.high / us))
}

/// The memory that the step holds.
pub(super) fn memory(point: &Point) -> String {
    point.step.planned_bytes.map_or(NONE.into(), size)
}

/// A share to a tenth of a percent.
pub(super) fn share(figures: Option<&Figures>) -> String {
    number(figures.map(|figures| figures.share_pct), 1)
}

/// A share and how far its interval reaches, where it has one.
pub(super) fn share_within(figures: Option<&Figures>) -> String {
    let half = figures.and_then(|figures| {
        let ends = figures.share_ci95?;
        Some((ends.high - figures.share_pct).max(figures.share_pct - ends.low))
    });
    share(figures) + &half.map_or(String::new(), |half| format!(" ±{half:.1}"))
}

/// A share with its interval, where it has one.
pub(super) fn share_with_interval(figures: Option<&Figures>) -> String {
    let interval = figures.and_then(|figures| figures.share_ci95);
    let interval = interval.map_or(String::new(), |ends| format!(" ({:.1}–{:.1})", ends.low, ends.high));
    share(figures) + &interval
}

/// A step's time in ms: hundredths, or three digits where these would be lost.
pub(super) fn step_ms(us: Option<f64>) -> String {
    let ms = us.map(|us| us / 1e3);
    let decimals = match ms {
        Some(ms) if ms > 0.0 && ms < 0.1 => (2 - ms.log10().floor() as i32).min(6) as usize,
        _ => 2,
    };
    number(ms, decimals)
}

/// A number, or [`NONE`].
pub(super) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or(NONE.into(), |value| format!("{value:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Measured;
    use crate::report::fixture;

    const EXPECTED: &str = "\
small on A processor, with a comma, f32, nchw

The training step by batch size, image 4x4: mean ms, shares in % (95 % CI)

batch      ms      conv %        fc %  other %  closure  images/s         status
--------------------------------------------------------------------------------
    1  0.0500  50.0 ±25.4  36.0 ±25.4     14.0    1.125   22222.2             ok
    2  0.0500  50.0 ±25.4  36.0 ±25.4     14.0    1.125   44444.4             ok
   64       -           -           -        -        -         -  out_of_memory

By phase, in % of the step (data: backward_data, weights: backward_weights); at
batch 1, 2 of a step stretched by marks

batch  conv     conv    conv   fc    fc       fc      fc  other  other
        fwd  weights  update  fwd  data  weights  update    fwd   data
----------------------------------------------------------------------
    1  22.0     24.0     4.0  6.0  10.0     12.0     8.0    6.0    8.0
    2  22.0     24.0     4.0  6.0  10.0     12.0     8.0    6.0    8.0
   64     -        -       -    -     -        -       -      -      -

Layers at batch 2: mean ms, and % of the step; with marks, their sum is 1.12 of
a plain step

layer  kind          forward  backward  backward  weight  total     %
                                  data   weights  update
---------------------------------------------------------------------
conv1  conv            0.011         -     0.012   0.002  0.025  50.0
relu1  relu            0.002     0.003         -       -  0.005  10.0
fc2    fc              0.003     0.005     0.006   0.004  0.018  36.0
loss   softmax_loss    0.001     0.001         -       -  0.002   4.0

other: all layers but conv and fc; closure: the sum of the phases over a plain
step, 1 at best.

note: batches 1, 2, image 4x4: closure is 1.12: a step with marks takes 12 %
longer than a plain one, so short phases weigh too much
";

    fn run(measured: impl IntoIterator<Item = Measured>) -> Run {
        let (_out, folder) = fixture::folder(fixture::run(false), measured);
        folder.run().clone()
    }

    fn printed(run: &Run, room: Room) -> String {
        text(run, Selection::of_room(room))
    }

    /// Shares by hand: of 50 µs, conv's forward takes 11; two steps with 24 and 26 µs of conv, 48 and 52 %, have a standard
    /// error of 2 and a Student factor of 12.706.
    #[test]
    fn a_run_as_printed() {
        let run = run([fixture::measured(2), fixture::measured(1), fixture::out_of_memory(64)]);
        assert_eq!(printed(&run, Room::Terminal), EXPECTED);
        assert!(EXPECTED.lines().all(|line| line.chars().count() <= 80));
        assert!(printed(&run, Room::Wide).contains("  50.0 (24.6–75.4)  36.0 (10.6–61.4)     14.0    1.125   22222.2"));
    }

    /// A run's settings and notes by hand; a CPU has neither.
    #[test]
    fn settings_in_one_line() {
        let mut run = run([]);
        assert!(!printed(&run, Room::Wide).contains("clocks"));
        fixture::header(&mut run).machine.settings_before =
            Some([("power_limit", "400 W"), ("ecc", "on"), ("mig", "off")].map(|(k, v)| (k.into(), v.into())).into());
        let line = |run: &_| printed(run, Room::Wide).lines().nth(1).unwrap().to_owned();
        assert_eq!(line(&run), "clocks not locked: compare shares, not times; power limit 400 W; ECC on");
        fixture::header(&mut run).options.insert("lock_clocks".into(), "1410 MHz".into());
        fixture::header(&mut run).options.insert("lock_memory_clock".into(), "1215 MHz".into());
        assert_eq!(line(&run), "clocks locked at 1410 MHz; memory clock locked at 1215 MHz; power limit 400 W; ECC on");
        assert!(
            printed(&run, Room::Terminal).contains("power limit 400 W;\nECC on\n"),
            "{}",
            printed(&run, Room::Terminal)
        );
        fixture::header(&mut run).note(["other processes are on the GPU: 12".into()]);
        assert!(printed(&run, Room::Terminal).ends_with("\nnote: other processes are on the GPU: 12\n"));
    }
}
