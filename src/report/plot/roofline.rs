//! The roofline of Williams, Waterman and Patterson (2009): each phase's rate over its operations per byte, below the
//! ceilings that were measured in the same run, or below the datasheet's in a prediction.

use super::axes::{ChartAxis, Frame, number, room_left};
use super::scene::{Across, Canvas, Scene, Text, broken, crosses, overlap};
use super::style::{self, BLACK, MARKERS};
use super::{legend, subtitle};
use crate::model::kind::Group;
use crate::plan::roofline::{giga_per_s, intensity};
use crate::plan::{Cost, Phase, Roofline};
use crate::report::run::{LayerPart, Point, Run};

/// How many of the longest phases are named, where there is room.
const NAMED: usize = 12;

struct Dot<'a> {
    part: &'a LayerPart,
    intensity: f64,
    gflops_per_s: f64,
}

/// The ceilings, and where they are from.
struct Roof {
    source: &'static str,
    rates: Roofline,
}

/// `None` where no phase has both operations and bytes.
pub fn scene(run: &Run, point: &Point, canvas: Canvas) -> Option<Scene> {
    let dots = dots(point);
    let roof = Roof::of(run);
    let title = format!("Roofline at batch {}", point.batch);
    let (mut scene, top) = Scene::begin(canvas, &title, &subtitle(run, &point.image));
    let top = legends(&mut scene, top, &dots, roof.as_ref()) + 6.0;
    let height = if canvas.is_narrow() { 260.0 } else { 420.0 };
    let range = |value: &dyn Fn(&Dot) -> f64| {
        dots.iter().map(value).fold(None, |range: Option<(f64, f64)>, value| {
            let (least, most) = range.unwrap_or((value, value));
            Some((least.min(value), most.max(value)))
        })
    };
    let ((left, right), (low, high)) = (range(&|dot| dot.intensity)?, range(&|dot| dot.gflops_per_s)?);
    let high = roof.as_ref().map_or(high, |roof| high.max(roof.peak()));
    let pixels = [room_left(canvas.font), canvas.width - 14.0];
    // Room for a mark at an end.
    let room = dots.iter().map(|dot| dot.radius(canvas)).fold(0.0, f64::max) + 2.0;
    let frame = Frame {
        x: ChartAxis::log(left, right, pixels, "operations per byte (FLOP/byte, log scale)").padded(room),
        y: ChartAxis::log(low, high, [top + height, top], "rate (GFLOP/s, log scale)").padded(room),
    };
    scene.height = top + height + Frame::room_below(canvas.line());
    frame.draw_grid(&mut scene);
    let lines = roof.as_ref().map_or(Vec::new(), |roof| roof.lines(&frame));
    lines.iter().for_each(|line| scene.line(line.to_vec(), BLACK, 2.0));
    for dot in dots.iter().rev() {
        let color = style::mark_of_group(dot.part.group);
        scene.mark(dot.at(&frame), marker(dot.part.phase), dot.radius(canvas), color);
        let [left, top, right, bottom] = around(dot.at(&frame), dot.radius(canvas));
        scene.tip([left, top], [right, bottom], dot.value());
    }
    let taken = dots.iter().map(|dot| around(dot.at(&frame), dot.radius(canvas))).collect();
    name(&mut scene, &frame, &dots, taken, &lines);
    frame.draw(&mut scene);
    scene.description = describe(&dots, roof.as_ref());
    Some(scene)
}

/// By share, the longest first.
fn dots(point: &Point) -> Vec<Dot<'_>> {
    let countable = point.parts.iter().filter(|part| part.flops > 0 && part.bytes > 0);
    let mut dots: Vec<Dot> = countable
        .map(|part| Dot {
            part,
            intensity: intensity(Cost { macs: 0, flops: part.flops, bytes: part.bytes }),
            gflops_per_s: giga_per_s(part.flops, part.figures.median_us.unwrap_or(part.figures.mean_us)),
        })
        .collect();
    dots.sort_by(|a, b| b.part.figures.share_pct.total_cmp(&a.part.figures.share_pct));
    dots
}

impl Dot<'_> {
    fn at(&self, frame: &Frame) -> [f64; 2] {
        frame.at(self.intensity, self.gflops_per_s)
    }

    /// Its area grows with the share of the step.
    fn radius(&self, canvas: Canvas) -> f64 {
        let scale = if canvas.is_narrow() { 0.7 } else { 1.0 };
        scale * (3.5 + 2.5 * self.part.figures.share_pct.sqrt()).min(12.0)
    }

    fn name(&self) -> String {
        let phase = match self.part.phase {
            Phase::Forward => "forward",
            Phase::BackwardData => "data",
            Phase::BackwardWeights => "weights",
            Phase::AllReduce => "all reduce",
            Phase::LossScale => "loss scale",
            Phase::WeightUpdate => "update",
        };
        format!("{} {phase}", self.part.layer)
    }
}

impl Dot<'_> {
    /// Its figures.
    fn value(&self) -> String {
        let (name, share) = (self.name(), self.part.figures.share_pct);
        format!("{name}: {:.1} GFLOP/s, {:.1} FLOP/byte, {share:.1} % of the step", self.gflops_per_s, self.intensity)
    }
}

fn marker(phase: Phase) -> style::Marker {
    match phase {
        Phase::Forward => MARKERS[0],
        Phase::BackwardData => MARKERS[1],
        Phase::BackwardWeights => MARKERS[2],
        Phase::WeightUpdate => MARKERS[3],
        Phase::LossScale => MARKERS[4],
        Phase::AllReduce => MARKERS[5],
    }
}

fn around([x, y]: [f64; 2], radius: f64) -> [f64; 4] {
    [x - radius, y - radius, x + radius, y + radius]
}

/// Explains color and marker; the size says itself.
fn legends(scene: &mut Scene, top: f64, dots: &[Dot], roof: Option<&Roof>) -> f64 {
    let groups: Vec<Group> =
        Group::ALL.into_iter().filter(|&group| dots.iter().any(|dot| dot.part.group == group)).collect();
    let phases: Vec<Phase> =
        Phase::ALL.into_iter().filter(|&phase| dots.iter().any(|dot| dot.part.phase == phase)).collect();
    let words: Vec<String> = phases.iter().map(|phase| phase.name().replace('_', " ")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let top = legend(scene, top, &words, &mut |scene, [x, y], index| {
        scene.mark([x + 9.0, y], marker(phases[index]), 6.0, BLACK);
    });
    let names: Vec<&str> = groups.iter().map(|group| group.name()).collect();
    let top = legend(scene, top, &names, &mut |scene, [x, y], index| {
        let color = style::mark_of_group(groups[index]);
        scene.rectangle([x, y - 6.0], [x + 18.0, y + 6.0], color, style::Hatch::None);
    });
    let lines = roof.map_or("no lines: without a run.json the ceilings are not known".into(), |roof| {
        let (source, peak, bandwidth) = (roof.source, roof.peak(), roof.bandwidth());
        format!("lines: {source}, copy {bandwidth:.1} GB/s and GEMM {} GFLOP/s", number(peak.round()))
    });
    let Canvas { width, font } = scene.canvas;
    let notes = broken(&format!("{lines}; larger marks take more of the step"), 0.9 * font, width - 16.0);
    for (index, note) in notes.iter().enumerate() {
        scene.text([8.0, top + index as f64 * scene.canvas.line()], note, 0.9 * font, Across::Left);
    }
    top + notes.len() as f64 * scene.canvas.line()
}

impl Roof {
    /// `None` without a run.json.
    fn of(run: &Run) -> Option<Roof> {
        let rates = run.header.as_ref()?.roofline();
        let source = if run.is_predicted() { "ceilings from the datasheet" } else { "measured ceilings" };
        Some(Roof { source, rates })
    }

    /// In GFLOP/s.
    fn peak(&self) -> f64 {
        self.rates.flops_per_s / 1e9
    }

    /// In GB/s.
    fn bandwidth(&self) -> f64 {
        self.rates.bytes_per_s / 1e9
    }

    /// The bandwidth's slope and the peak's level, as far as they are inside.
    fn lines(&self, frame: &Frame) -> Vec<[[f64; 2]; 2]> {
        let (peak, bandwidth) = (self.peak(), self.bandwidth());
        let ([left, right], [low, _]) = (frame.x.values(), frame.y.values());
        let ridge = self.rates.ridge();
        let (start, end, from) = (left.max(low / bandwidth), right.min(ridge), ridge.max(left));
        let slope = [frame.at(start, start * bandwidth), frame.at(end, end * bandwidth)];
        let level = [frame.at(from, peak), frame.at(right, peak)];
        [(start < ridge).then_some(slope), (ridge < right).then_some(level)].into_iter().flatten().collect()
    }
}

/// Names the longest phases, each beside its mark and where it covers nothing; the others tell at the pointer.
fn name(scene: &mut Scene, frame: &Frame, dots: &[Dot], mut taken: Vec<[f64; 4]>, lines: &[[[f64; 2]; 2]]) {
    let size = 0.8 * scene.canvas.font;
    let wanted = if scene.canvas.is_narrow() { NAMED / 2 } else { NAMED };
    let ([x_low, x_high], [y_low, y_high]) = (frame.x.values(), frame.y.values());
    let inside = |bounds: [f64; 4]| {
        let ([left, bottom], [right, top]) = (frame.at(x_low, y_low), frame.at(x_high, y_high));
        bounds[0] > left && bounds[2] < right && bounds[1] > top && bounds[3] < bottom
    };
    for dot in dots.iter().take(wanted) {
        let ([x, y], beside) = (dot.at(frame), dot.radius(scene.canvas) + 3.0);
        let places = [
            ([x - beside, y], Across::Right),
            ([x + beside, y], Across::Left),
            ([x, y - beside - size / 2.0], Across::Center),
            ([x, y + beside + size / 2.0], Across::Center),
        ];
        let labels = places.map(|(at, across)| Text { at, text: dot.name(), size, across, turned: false });
        let free = |label: &&Text| {
            let bounds = label.bounds();
            let struck = lines.iter().any(|&line| crosses(line, bounds));
            inside(bounds) && !struck && !taken.iter().any(|&other| overlap(bounds, other))
        };
        if let Some(label) = labels.iter().find(free) {
            taken.push(label.bounds());
            scene.text(label.at, label.text.clone(), size, label.across);
        }
    }
}

fn describe(dots: &[Dot], roof: Option<&Roof>) -> String {
    let roof = roof.map_or("The ceilings are not known.".into(), |roof| {
        let (source, peak, bandwidth) = (roof.source, roof.peak(), roof.bandwidth());
        format!("Lines are {source}: {peak:.0} GFLOP/s and {bandwidth:.1} GB/s.")
    });
    let of_dot = |dot: &Dot| format!("{} {:.1} FLOP/byte, {:.1} GFLOP/s", dot.name(), dot.intensity, dot.gflops_per_s);
    let longest: Vec<String> = dots.iter().take(5).map(of_dot).collect();
    format!("Scatter of {} phases, both axes logarithmic. {roof} The longest: {}.", dots.len(), longest.join("; "))
}
