//! Time by layer and phase at one batch: a bar for each layer, stacked by phase. Many layers have bars by block.

use std::sync::Arc;

use super::axes::{ChartAxis, Frame};
use super::scene::{Across, Canvas, Pixel, Scene};
use super::style::{self, BLACK, text_width};
use super::{legend, subtitle};
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::report::lines::{By, TableLine, at_most};
use crate::report::run::{LayerPart, Point, Run};

pub fn scene(run: &Run, point: &Point, canvas: Canvas) -> Scene {
    let (by, bars) = bars(point);
    let title = format!("Time by {} and phase at batch {}", by.name(), point.batch);
    let (mut scene, top) = Scene::begin(canvas, &title, &subtitle(run, &point.image));
    let phases = Phase::ALL.into_iter().filter(|phase| point.parts.iter().any(|part| part.phase == *phase));
    let entries: Vec<(Phase, String)> = phases.map(|phase| (phase, phase.name().replace('_', " "))).collect();
    let names: Vec<&str> = entries.iter().map(|(_, name)| &**name).collect();
    let groups = Group::ALL.into_iter().filter(|group| point.parts.iter().any(|part| part.group == *group));
    let groups: Vec<Group> = groups.collect();
    let top = legend(&mut scene, top, &names, &mut |scene, [x, y], index| {
        phase_sample(scene, [x, y], &groups, entries[index].0);
    });
    let names: Vec<&str> = groups.iter().map(|group| group.name()).collect();
    let top = legend(&mut scene, top, &names, &mut |scene, [x, y], index| {
        let (color, _) = style::of_part(groups[index], Phase::Forward);
        scene.rectangle([x, y - 6.0], [x + 18.0, y + 6.0], color, style::Hatch::None);
    });
    let most = bars.iter().map(|bar| total_us(bar)).fold(0.0, f64::max);
    let unit = unit(most);
    let size = 0.85 * canvas.font;
    let row = (1.35 * size).round();
    let bottom = top + 6.0 + row * bars.len() as f64;
    let labels: Vec<String> = bars.iter().map(|bar| label(bar, unit)).collect();
    let widest = |texts: &mut dyn Iterator<Item = &str>| texts.map(|text| text_width(text, size)).fold(0.0, f64::max);
    let left = 16.0 + widest(&mut bars.iter().map(|bar| &*bar[0].layer));
    let right = canvas.width - widest(&mut labels.iter().map(String::as_str)) - 14.0;
    let time = format!("{} time ({})", if run.is_predicted() { "predicted" } else { "mean" }, unit.0);
    let title = format!("{time}; at the end of each bar its time and its share of the step");
    let title = if canvas.is_narrow() { format!("{time}, share of the step") } else { title };
    let frame = Frame {
        x: ChartAxis::from_zero(most / unit.1, [left, right], 80.0, &title),
        y: ChartAxis::from_zero(1.0, [bottom, top], f64::MAX, ""),
    };
    scene.height = bottom + Frame::room_below(canvas.line());
    frame.draw_grid(&mut scene);
    for (index, (bar, label)) in bars.iter().zip(&labels).enumerate() {
        let y = top + 6.0 + row * (index as f64 + 0.5);
        let mut x = left;
        // Below those of the phases, of which many are too short to be pointed at.
        scene.tip([0.0, y - 0.5 * row], [canvas.width, y + 0.5 * row], of_bar(bar, unit));
        for part in bar {
            let end = x + frame.x.at(part.figures.mean_us / unit.1) - left;
            let (color, hatch) = style::of_part(part.group, part.phase);
            scene.rectangle([x, y - 0.4 * row], [end, y + 0.4 * row], color, hatch);
            scene.tip([x, y - 0.5 * row], [end, y + 0.5 * row], value(part, unit));
            x = end;
        }
        scene.text([left - 6.0, y], &*bar[0].layer, size, Across::Right);
        scene.text([x + 5.0, y], label, size, Across::Left);
    }
    draw_bottom(&mut scene, &frame, bottom);
    scene.description = describe(by, &bars, unit);
    scene
}

/// A phase in the colour of each group, side by side.
fn phase_sample(scene: &mut Scene, [x, y]: Pixel, groups: &[Group], phase: Phase) {
    let width = 27.0 / groups.len() as f64;
    for (index, group) in groups.iter().enumerate() {
        let (color, hatch) = style::of_part(*group, phase);
        let left = x + width * index as f64;
        scene.rectangle([left, y - 6.0], [left + width, y + 6.0], color, hatch);
    }
}

/// Bars that a chart has at most: as many as a page holds.
const MOST_BARS: usize = 40;

/// The bars, each the parts of a layer or of a block, in the network's order.
fn bars(point: &Point) -> (By, Vec<Vec<LayerPart>>) {
    let layers: Vec<&[LayerPart]> = point.layers().collect();
    let names: Vec<(&str, &str)> = layers.iter().map(|layer| (&*layer[0].layer, &*layer[0].kind)).collect();
    let us = |line: &TableLine| line.layers.iter().map(|&place| total_us(layers[place])).sum();
    let (by, lines) = at_most(&names, MOST_BARS, us);
    let bar = |line: &TableLine| together(&line.title, line.layers.iter().flat_map(|&place| layers[place]));
    (by, lines.iter().map(bar).collect())
}

/// Parts as those of one layer, one for each group and phase.
fn together<'p>(name: &str, parts: impl Iterator<Item = &'p LayerPart>) -> Vec<LayerPart> {
    let mut sums: Vec<LayerPart> = Vec::new();
    let name: Arc<str> = name.into();
    for part in parts {
        match sums.iter_mut().find(|sum| (sum.group, sum.phase) == (part.group, part.phase)) {
            Some(sum) => {
                sum.figures.mean_us += part.figures.mean_us;
                sum.figures.share_pct += part.figures.share_pct;
            }
            None => sums.push(LayerPart { layer: name.clone(), ..part.clone() }),
        }
    }
    sums.sort_by_key(|sum| (sum.group, sum.phase));
    sums
}

/// The x axis alone: the layers' names are the other.
fn draw_bottom(scene: &mut Scene, frame: &Frame, bottom: f64) {
    let mut other = frame.clone();
    other.y = ChartAxis::from_zero(1.0, [bottom, bottom], 1.0, "");
    let before = scene.items.len();
    other.draw(scene);
    // Not the tick of the axis that has no length.
    let left = frame.x.at(0.0);
    let kept = scene.items.split_off(before).into_iter().filter(|item| match item {
        super::scene::Item::Text(text) => text.across == Across::Center,
        super::scene::Item::Line { points, .. } => points.iter().all(|point| point[0] >= left),
        super::scene::Item::Area { .. } | super::scene::Item::Mark { .. } => true,
    });
    let kept: Vec<_> = kept.collect();
    scene.items.extend(kept);
    scene.line(vec![[left, bottom], [left, frame.y.at(1.0)]], BLACK, 1.5);
}

fn total_us(layer: &[LayerPart]) -> f64 {
    layer.iter().map(|part| part.figures.mean_us).sum()
}

/// A unit in which the largest is not too long to read, and its length in µs.
fn unit(most_us: f64) -> (&'static str, f64) {
    match most_us {
        ..1e3 => ("µs", 1.0),
        1e3..1e6 => ("ms", 1e3),
        _ => ("s", 1e6),
    }
}

fn label(layer: &[LayerPart], unit: (&str, f64)) -> String {
    let share: f64 = layer.iter().map(|part| part.figures.share_pct).sum();
    format!("{:.2} ({share:.1} %)", total_us(layer) / unit.1)
}

/// A bar's time and share, and its phases' times.
fn of_bar(layer: &[LayerPart], unit: (&str, f64)) -> String {
    let time = |us: f64| format!("{:.3} {}", us / unit.1, unit.0);
    let phases =
        layer.iter().map(|part| format!("{} {}", part.phase.name().replace('_', " "), time(part.figures.mean_us)));
    let phases = phases.collect::<Vec<_>>().join(", ");
    let share: f64 = layer.iter().map(|part| part.figures.share_pct).sum();
    format!("{}: {} ({share:.1} %): {phases}", layer[0].layer, time(total_us(layer)))
}

/// A phase's time and share.
fn value(part: &LayerPart, unit: (&str, f64)) -> String {
    let (phase, time) = (part.phase.name().replace('_', " "), part.figures.mean_us / unit.1);
    format!("{} {phase}: {time:.3} {} ({:.1} %)", part.layer, unit.0, part.figures.share_pct)
}

fn describe(by: By, bars: &[Vec<LayerPart>], unit: (&str, f64)) -> String {
    let mut longest: Vec<&Vec<LayerPart>> = bars.iter().collect();
    longest.sort_by(|a, b| total_us(b).total_cmp(&total_us(a)));
    let of_bar = |bar: &&Vec<LayerPart>| {
        let phases = bar
            .iter()
            .map(|part| format!("{} {:.2}", part.phase.name().replace('_', " "), part.figures.mean_us / unit.1));
        format!("{} {} {}: {}", bar[0].layer, label(bar, unit), unit.0, phases.collect::<Vec<_>>().join(", "))
    };
    let longest: Vec<String> = longest.iter().take(5).map(of_bar).collect();
    format!("Horizontal bars for {} {}s, stacked by phase. The longest: {}.", bars.len(), by.name(), longest.join("; "))
}
