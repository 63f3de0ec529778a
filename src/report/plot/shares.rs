//! Share of the step by group over batch size, with the crossovers.

use super::axes::Frame;
use super::scene::{Across, Canvas, Scene};
use super::stack::{self, Band};
use super::style::{self, BLACK, WHITE, text_width};
use crate::model::kind::Group;
use crate::profile::summary::Scope;
use crate::report::run::{Point, Run};
use crate::report::verdict::{self, Crossover};

/// `None` where nothing was measured at this image size.
pub fn scene(run: &Run, image: &str, canvas: Canvas) -> Option<Scene> {
    let points = run.measured(image);
    let takes_time = |group: &Group| points.iter().any(|point| point.share(*group) > 0.0);
    let band = |group: Group| Band {
        scope: Scope { group: Some(group), phase: None },
        name: group.name().into(),
        fill: style::of_group(group),
    };
    let bands: Vec<Band> = Group::ALL.into_iter().filter(takes_time).map(band).collect();
    let crossovers = crossovers(run, image);
    let marks = |scene: &mut Scene, frame: &Frame| {
        whiskers(scene, frame, &points);
        crossovers.iter().for_each(|crossover| crossing(scene, frame, crossover));
    };
    let title = "Share of the training step by batch size";
    let mut scene = stack::scene(run, &points, title, &bands, canvas, &marks)?;
    for crossover in &crossovers {
        let (leader, batch) = (crossover.leads_below.name(), batch(crossover.batch));
        scene.description += &format!(" {leader} leads below batch {batch}.");
    }
    Some(scene)
}

/// Intervals: the edge above conv has conv's, the one below other has other's.
fn whiskers(scene: &mut Scene, frame: &Frame, points: &[&Point]) {
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
    let of = |group: &Group| [crossover.leads_below, crossover.leads_above].contains(group);
    let groups: Vec<&str> = Group::ALL.into_iter().filter(of).map(Group::name).collect();
    let label = format!("{} at batch ≈ {}{}", groups.join(" = "), batch(crossover.batch), crossover.within());
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
