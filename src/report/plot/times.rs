//! Step time and images per second over batch size, with intervals, all runs in one chart.

use super::axes::{ChartAxis, Frame, room_left};
use super::scene::{Canvas, Scene};
use super::style::Series;
use super::{legend, names_of};
use crate::profile::summary::Scope;
use crate::report::run::{Point, Run};

/// A value with the ends of its interval, at a batch.
type PlotValue = (f64, f64, Option<[f64; 2]>);

/// The values of a curve that a panel shows.
type Pick = fn(&Curve) -> &[PlotValue];

/// One run and image size.
struct Curve {
    name: String,
    times: Vec<PlotValue>,
    rates: Vec<PlotValue>,
}

/// `None` where nothing was measured.
pub fn scene(runs: &[Run], canvas: Canvas) -> Option<Scene> {
    let lines = lines(runs);
    let title = "Step time and throughput by batch size";
    let (mut scene, mut top) = Scene::begin(canvas, title, subtitle(runs, &lines));
    let names: Vec<&str> = lines.iter().map(|line| &*line.name).collect();
    top = legend(&mut scene, top, &names, &mut |scene, [x, y], index| {
        let series = Series::of(index);
        scene.dashed(vec![[x, y], [x + 26.0, y]], series.color, 2.0, series.dash);
        scene.mark([x + 13.0, y], series.marker, 5.0, series.color);
    });
    let mut batches: Vec<usize> = lines.iter().flat_map(|line| line.times.iter().map(|time| time.0 as usize)).collect();
    batches.sort_unstable();
    batches.dedup();
    // One batch is no curve: the tables say it.
    let ([_, _, ..], left) = (&*batches, room_left(canvas.font)) else { return None };
    let height = if canvas.is_narrow() { 200.0 } else { 360.0 };
    let (below, right) = (Frame::room_below(canvas.line()), 12.0);
    let half = (canvas.width - 2.0 * (left + right)) / 2.0;
    let places = match canvas.is_narrow() {
        true => [[left, canvas.width - right, top + 8.0], [left, canvas.width - right, top + 8.0 + height + below]],
        false => [[left, left + half, top + 8.0], [2.0 * left + half + right, canvas.width - right, top + 8.0]],
    };
    let step = if runs.iter().all(Run::is_predicted) { "step (ms, log scale)" } else { "median step (ms, log scale)" };
    let panels: [(&str, &str, Pick); 2] = [
        (step, "ms", |line| &line.times),
        ("images/s (batch over plain step, log scale)", "images/s", |line| &line.rates),
    ];
    for ((title, unit, figures), [left, right, top]) in panels.into_iter().zip(places) {
        let all = lines
            .iter()
            .flat_map(figures)
            .flat_map(|(_, value, ends)| [*value].into_iter().chain(ends.iter().flatten().copied()));
        let (least, most) = all.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        let frame = Frame {
            x: ChartAxis::batches(&batches, [left, right]).padded(12.0),
            y: ChartAxis::log(least, most, [top + height, top], title),
        };
        frame.draw_grid(&mut scene);
        for (index, line) in lines.iter().enumerate() {
            draw(&mut scene, &frame, figures(line), Series::of(index));
            tips(&mut scene, &frame, line, figures(line), unit);
        }
        frame.draw(&mut scene);
        scene.height = top + height + below;
    }
    scene.description = describe(&lines);
    Some(scene)
}

/// Names the kind of the figures; a bare phases.csv has no intervals.
fn subtitle(runs: &[Run], lines: &[Curve]) -> &'static str {
    let intervals = lines.iter().flat_map(|line| &line.times).any(|(_, _, ends)| ends.is_some());
    let predicted = runs.iter().filter(|run| run.is_predicted()).count();
    match (predicted, intervals) {
        (0, true) => "with 95 % intervals",
        (0, false) => "",
        (predicted, true) if predicted == runs.len() => "predicted, with 95 % intervals",
        (predicted, false) if predicted == runs.len() => "predicted, not measured",
        _ => "some measured, some predicted",
    }
}

/// One per run and image size.
fn lines(runs: &[Run]) -> Vec<Curve> {
    let names = names_of(runs);
    let of_run = |(run, name): (&Run, &String)| {
        let images = run.images();
        let name = |image: &str| if images.len() > 1 { format!("{name}, {image}") } else { name.clone() };
        let line = |image: &str| {
            let points = run.measured(image);
            Curve {
                name: name(image),
                times: points.iter().filter_map(|point| time(point)).collect(),
                rates: points.iter().filter_map(|point| rate(point)).collect(),
            }
        };
        images.iter().map(|image| line(image)).filter(|line| !line.times.is_empty()).collect::<Vec<_>>()
    };
    runs.iter().zip(&names).flat_map(of_run).collect()
}

/// The median where there is one, for it is what the interval is of.
fn time(point: &Point) -> Option<PlotValue> {
    let step = point.total(Scope::STEP)?;
    let ends = step.median_ci95.map(|ends| [ends.low / 1e3, ends.high / 1e3]);
    Some((point.batch as f64, step.median_us.unwrap_or(step.mean_us) / 1e3, ends))
}

/// As in the table. A bare phases.csv knows no plain step, but the marked one.
fn rate(point: &Point) -> Option<PlotValue> {
    let (batch, ms, _) = time(point)?;
    Some((batch, point.images_per_s().unwrap_or(1e3 * batch / ms), None))
}

fn draw(scene: &mut Scene, frame: &Frame, figures: &[PlotValue], series: Series) {
    let points: Vec<_> = figures.iter().map(|&(batch, value, _)| frame.at(batch, value)).collect();
    scene.dashed(points.clone(), series.color, 2.0, series.dash);
    for (&(_, _, ends), at) in figures.iter().zip(points) {
        if let Some([low, high]) = ends {
            scene.whisker(at[0], frame.y.at(low), frame.y.at(high), series.color);
        }
        scene.mark(at, series.marker, 5.0, series.color);
    }
}

fn tips(scene: &mut Scene, frame: &Frame, curve: &Curve, figures: &[PlotValue], unit: &str) {
    for &(batch, value, _) in figures {
        let [x, y] = frame.at(batch, value);
        let text = format!("{}, batch {batch}: {value:.2} {unit}", curve.name);
        scene.tip([x - 6.0, y - 6.0], [x + 6.0, y + 6.0], text);
    }
}

fn describe(lines: &[Curve]) -> String {
    let of_line = |line: &Curve| {
        let at = |(time, rate): (&PlotValue, &PlotValue)| {
            format!("batch {}: {:.2} ms, {:.1} images/s", time.0, time.1, rate.1)
        };
        let points: Vec<String> = line.times.iter().zip(&line.rates).map(at).collect();
        format!("{}: {}", line.name, points.join("; "))
    };
    format!(
        "Lines over batch size, all axes logarithmic. {}.",
        lines.iter().map(of_line).collect::<Vec<_>>().join(". ")
    )
}
