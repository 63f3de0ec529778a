//! Stacked share of the step by group over batch size, with the crossover.

use super::axes::{Axis, Frame, room_left};
use super::scene::{Across, Canvas, Pixel, Scene};
use super::style::{self, BLACK, WHITE, text_width};
use super::{subtitle, unlike_ok};
use crate::model::kind::Group;
use crate::report::run::{Point, Run};
use crate::report::verdict::{self, Crossover};

/// `None` where nothing was measured at this image size.
pub fn scene(run: &Run, image: &str, canvas: Canvas) -> Option<Scene> {
    let points = run.measured(image);
    let (first, last) = (points.first()?, points.last()?);
    let (mut scene, top) = Scene::begin(canvas, "Share of the training step by batch size", &subtitle(run, image));
    let top = noted(&mut scene, top, run, image) + 6.0;
    let size = 0.9 * canvas.font;
    let labels: Vec<(Group, String)> = groups(&points)
        .into_iter()
        .map(|group| (group, format!("{} {:.1} %", group.name(), last.share(group))))
        .collect();
    let room_right = labels.iter().map(|(_, label)| text_width(label, size)).fold(0.0, f64::max) + 14.0;
    let bottom = top + if canvas.is_narrow() { 240.0 } else { 400.0 };
    let batches: Vec<usize> = points.iter().map(|point| point.batch).collect();
    let frame = Frame {
        x: Axis::batches(&batches, [room_left(canvas.font), canvas.width - room_right]),
        y: Axis::from_zero(100.0, [bottom, top], 70.0, "share of the step (%)"),
    };
    scene.height = bottom + Frame::room_below(canvas.line());
    stack(&mut scene, &frame, &points);
    let crossovers = crossovers(run, image);
    crossovers.iter().for_each(|crossover| crossing(&mut scene, &frame, crossover));
    frame.draw(&mut scene);
    let middles = labels.iter().map(|(group, _)| frame.y.at(below(last, *group) + last.share(*group) / 2.0));
    let x = frame.x.at(last.batch as f64).max(canvas.width - room_right) + 8.0;
    for ((_, label), y) in labels.iter().zip(spread(middles.collect(), canvas.line(), [top, bottom])) {
        scene.text([x, y], label, size, Across::Left);
    }
    scene.description = describe(&points, &crossovers, first.batch == last.batch);
    Some(scene)
}

/// Says which batches are not ok, below the title.
fn noted(scene: &mut Scene, mut y: f64, run: &Run, image: &str) -> f64 {
    let Canvas { width, font } = scene.canvas;
    let size = 0.9 * font;
    for line in unlike_ok(run, image).iter().flat_map(|note| super::scene::broken(note, size, width - 16.0)) {
        scene.text([8.0, y], line, size, Across::Left);
        y += scene.canvas.line();
    }
    y
}

/// Those that take any time at all.
fn groups(points: &[&Point]) -> Vec<Group> {
    Group::ALL.into_iter().filter(|&group| points.iter().any(|point| point.share(group) > 0.0)).collect()
}

/// The share of all that lies below a group in the stack.
fn below(point: &Point, group: Group) -> f64 {
    Group::ALL.into_iter().take_while(|&lower| lower != group).map(|lower| point.share(lower)).sum()
}

fn stack(scene: &mut Scene, frame: &Frame, points: &[&Point]) {
    for group in groups(points) {
        let (color, hatch) = style::of_group(group);
        let edge = |height: &dyn Fn(&Point) -> f64| -> Vec<Pixel> {
            let at = |point: &&Point| frame.at(point.batch as f64, height(point));
            match points {
                // A bar, where there is no line to draw.
                [single] => [-40.0, 40.0].map(|aside| [at(single)[0] + aside, at(single)[1]]).to_vec(),
                several => several.iter().map(at).collect(),
            }
        };
        let lower = edge(&|point| below(point, group));
        let upper = edge(&|point| below(point, group) + point.share(group));
        scene.line(upper.clone(), BLACK, 1.0);
        scene.area(upper.into_iter().chain(lower.into_iter().rev()).collect(), color, hatch);
    }
    // The edge above conv has conv's interval; the one below other, other's.
    for point in points {
        let of = |group| point.group(group).and_then(|figures| figures.share_ci95);
        let ends = [
            of(Group::Conv).map(|ends| [ends.low, ends.high]),
            of(Group::Other).map(|ends| [100.0 - ends.high, 100.0 - ends.low]),
        ];
        for [low, high] in ends.into_iter().flatten() {
            let x = frame.x.at(point.batch as f64);
            scene.line(vec![[x, frame.y.at(low)], [x, frame.y.at(high)]], WHITE, 4.0);
            scene.whisker(x, frame.y.at(low), frame.y.at(high), BLACK);
        }
    }
}

fn crossovers(run: &Run, image: &str) -> Vec<Crossover> {
    verdict::crossovers(run).into_iter().filter(|crossover| crossover.image == image).collect()
}

fn crossing(scene: &mut Scene, frame: &Frame, crossover: &Crossover) {
    let x = frame.x.at(crossover.batch);
    let ([bottom, top], size) = ([frame.y.at(0.0), frame.y.at(100.0)], 0.9 * scene.canvas.font);
    scene.line(vec![[x, bottom], [x, top]], WHITE, 4.0);
    scene.dashed(vec![[x, bottom], [x, top]], BLACK, 2.0, Some([7.0, 4.0]));
    let label = format!("conv = fc at batch ≈ {}", batch(crossover.batch));
    let (half, y) = (text_width(&label, size) / 2.0 + 5.0, bottom - 1.2 * size);
    let left = frame.x.at(frame.x.values()[0]) + half + 2.0;
    let right = frame.x.at(frame.x.values()[1]) - half - 2.0;
    let at = x.clamp(left.min(right), right.max(left));
    scene.rectangle([at - half, y - 0.8 * size], [at + half, y + 0.8 * size], WHITE, style::Hatch::None);
    scene.text([at, y], label, size, Across::Center);
}

fn batch(batch: f64) -> String {
    if batch < 10.0 { format!("{batch:.1}") } else { format!("{batch:.0}") }
}

/// Moves labels apart by at least `apart`, as little as needed, from the bottom up; they come in that order.
fn spread(mut ys: Vec<f64>, apart: f64, [top, bottom]: [f64; 2]) -> Vec<f64> {
    let mut limit = bottom - apart / 2.0;
    for y in &mut ys {
        *y = y.min(limit);
        limit = *y - apart;
    }
    let mut limit = top + apart / 2.0;
    for y in ys.iter_mut().rev() {
        *y = y.max(limit);
        limit = *y + apart;
    }
    ys
}

fn describe(points: &[&Point], crossovers: &[Crossover], single: bool) -> String {
    let shape = if single { "A stacked bar" } else { "Stacked areas over batch size, logarithmic" };
    let at = |point: &&Point| {
        let shares = Group::ALL.map(|group| format!("{} {:.1} %", group.name(), point.share(group)));
        format!("batch {}: {}", point.batch, shares.join(", "))
    };
    let crossings = crossovers
        .iter()
        .map(|crossover| format!(" {} leads below batch {}.", crossover.leads_below.name(), batch(crossover.batch)));
    let points = points.iter().map(at).collect::<Vec<_>>().join("; ");
    format!("{shape}. {points}.{}", crossings.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_keep_apart_and_inside() {
        assert_eq!(spread(vec![80.0, 50.0, 20.0], 10.0, [0.0, 100.0]), [80.0, 50.0, 20.0]);
        assert_eq!(spread(vec![99.0, 98.0, 97.0], 10.0, [0.0, 100.0]), [95.0, 85.0, 75.0]);
        assert_eq!(spread(vec![50.0, 3.0, 1.0], 10.0, [0.0, 100.0]), [50.0, 15.0, 5.0]);
    }
}
