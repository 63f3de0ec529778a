//! Shares of the step over batch size, stacked.

use super::axes::{ChartAxis, Frame, room_left};
use super::scene::{Across, Canvas, Pixel, Scene};
use super::style::{BLACK, Hatch, Rgb, text_width};
use super::{subtitle, unlike_ok};
use crate::profile::summary::Scope;
use crate::report::run::{Point, Run};

/// One band of the stack.
pub struct Band {
    /// The total that it shows.
    pub scope: Scope,
    /// Its name at the right, before its share at the last batch.
    pub name: String,
    /// Its colour and pattern.
    pub fill: (Rgb, Hatch),
}

/// The width of a band's colour and pattern beside its name.
const SAMPLE: f64 = 20.0;

/// The share in percent that a band has at a point.
pub fn share(point: &Point, band: &Band) -> f64 {
    point.total(band.scope).map_or(0.0, |figures| figures.share_pct)
}

/// Draws the bands from the bottom up; `marks` goes on top of them. Needs at least one point.
pub fn scene(
    run: &Run,
    points: &[&Point],
    title: &str,
    bands: &[Band],
    canvas: Canvas,
    marks: &dyn Fn(&mut Scene, &Frame),
) -> Option<Scene> {
    let last = points.last()?;
    let (mut scene, top) = Scene::begin(canvas, title, &subtitle(run, &last.image));
    let top = noted(&mut scene, top, run, &last.image) + 6.0;
    let size = 0.9 * canvas.font;
    let labels: Vec<String> = bands.iter().map(|band| format!("{} {:.1} %", band.name, share(last, band))).collect();
    let room_right = labels.iter().map(|label| text_width(label, size)).fold(0.0, f64::max) + SAMPLE + 14.0;
    let bottom = top + if canvas.is_narrow() { 240.0 } else { 400.0 };
    let batches: Vec<usize> = points.iter().map(|point| point.batch).collect();
    let frame = Frame {
        x: ChartAxis::batches(&batches, [room_left(canvas.font), canvas.width - room_right]),
        y: ChartAxis::from_zero(100.0, [bottom, top], 70.0, "share of the step (%)"),
    };
    scene.height = bottom + Frame::room_below(canvas.line());
    stack(&mut scene, &frame, points, bands);
    marks(&mut scene, &frame);
    frame.draw(&mut scene);
    let mut below = 0.0;
    let middle = |band: &Band| {
        below += share(last, band);
        frame.y.at(below - share(last, band) / 2.0)
    };
    let middles = bands.iter().map(middle).collect();
    let x = frame.x.at(last.batch as f64).max(canvas.width - room_right) + 8.0;
    for ((label, band), y) in labels.iter().zip(bands).zip(spread(middles, canvas.line(), [top, bottom])) {
        scene.rectangle([x, y - 7.0], [x + SAMPLE - 6.0, y + 5.0], band.fill.0, band.fill.1);
        scene.text([x + SAMPLE, y], label, size, Across::Left);
    }
    scene.description = describe(points, bands);
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

fn stack(scene: &mut Scene, frame: &Frame, points: &[&Point], bands: &[Band]) {
    let mut lower: Vec<f64> = vec![0.0; points.len()];
    for band in bands {
        let upper: Vec<f64> = points.iter().zip(&lower).map(|(point, lower)| lower + share(point, band)).collect();
        let edge = |heights: &[f64]| -> Vec<Pixel> {
            let at = |(point, &height): (&&Point, &f64)| frame.at(point.batch as f64, height);
            match (points, heights) {
                // A bar, where there is no line to draw.
                ([single], [height]) => [-40.0, 40.0]
                    .map(|aside| {
                        let [x, y] = at((single, height));
                        [x + aside, y]
                    })
                    .to_vec(),
                _ => points.iter().zip(heights).map(at).collect(),
            }
        };
        let (above, below) = (edge(&upper), edge(&lower));
        scene.line(above.clone(), BLACK, 1.0);
        for (index, point) in points.iter().enumerate() {
            let [left, right] = column(frame, points, index);
            let [low, high] = [lower[index], upper[index]].map(|height| frame.y.at(height));
            let text = format!("batch {}, {}: {:.1} %", point.batch, band.name, share(point, band));
            scene.tip([left, low], [right, high], text);
        }
        scene.area(above.into_iter().chain(below.into_iter().rev()).collect(), band.fill.0, band.fill.1);
        lower = upper;
    }
}

/// From half way to the batch before to half way to the next.
fn column(frame: &Frame, points: &[&Point], index: usize) -> [f64; 2] {
    let x = |point: &Point| frame.x.at(point.batch as f64);
    let here = x(points[index]);
    let half_way = |other: Option<&&Point>, alone: f64| other.map_or(alone, |other| (here + x(other)) / 2.0);
    let (first, last) = (index == 0, index + 1 == points.len());
    let aside = if first && last { 40.0 } else { 0.0 };
    let before = if first { None } else { points.get(index - 1) };
    [half_way(before, here - aside), half_way(points.get(index + 1), here + aside)]
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

fn describe(points: &[&Point], bands: &[Band]) -> String {
    let shape = if points.len() == 1 { "A stacked bar" } else { "Stacked areas over batch size, logarithmic" };
    let at = |point: &&Point| {
        let shares: Vec<String> =
            bands.iter().map(|band| format!("{} {:.1} %", band.name, share(point, band))).collect();
        format!("batch {}: {}", point.batch, shares.join(", "))
    };
    format!("{shape}. {}.", points.iter().map(at).collect::<Vec<_>>().join("; "))
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
