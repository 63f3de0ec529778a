//! Conv or fc? One or two sentences that a person can quote, and where the answer turns.

use serde::{Deserialize, Serialize};

use super::run::{Point, Run};
use crate::model::kind::Group;
use crate::profile::Status;

/// A batch size at which conv and fc take the same share of the step, between two neighbouring measured ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossover {
    /// Height x width.
    pub image: String,
    /// Interpolated linearly on log(batch).
    pub batch: f64,
    /// The group that takes more below this batch size; the other does above.
    pub leads_below: Group,
}

/// All crossovers, by image in the order of the points, then by batch.
pub fn crossovers(run: &Run) -> Vec<Crossover> {
    run.images().iter().flat_map(|image| crossovers_at(run, image)).collect()
}

/// One sentence per image size; says so where no batch was measured.
pub fn sentences(run: &Run) -> Vec<String> {
    let images = run.images();
    if images.is_empty() {
        return vec!["No batch was measured.".into()];
    }
    images.iter().map(|image| sentence(run, image, images.len() > 1)).collect()
}

fn crossovers_at(run: &Run, image: &str) -> Vec<Crossover> {
    let points = run.measured(image);
    let leads: Vec<(f64, f64)> = points.into_iter().map(|point| (point.batch as f64, lead(point))).collect();
    let pairs = leads.iter().zip(leads.iter().skip(1));
    pairs
        .filter(|((_, below), (_, above))| (*below < 0.0) != (*above < 0.0))
        .map(|(&(low, below), &(high, above))| Crossover {
            image: image.into(),
            batch: low * (high / low).powf(below / (below - above)),
            leads_below: if below < 0.0 { Group::Fc } else { Group::Conv },
        })
        .collect()
}

/// Points of the step by which conv leads.
fn lead(point: &Point) -> f64 {
    point.share(Group::Conv) - point.share(Group::Fc)
}

fn sentence(run: &Run, image: &str, several_images: bool) -> String {
    let at_image = if several_images { format!(", image {image}") } else { String::new() };
    let Some(point) = run.largest(image) else {
        return format!("No batch could be measured{at_image}: none fits in memory.");
    };
    let [conv, fc] = [Group::Conv, Group::Fc].map(|group| (group, point.share(group)));
    let (first, second) = if conv.1 >= fc.1 { (conv, fc) } else { (fc, conv) };
    let whole = if run.is_predicted() { "predicted training step" } else { "training step" };
    if [Group::Conv, Group::Fc].iter().all(|&group| point.group(group).is_none()) {
        return format!("neither conv nor fc has a part in the {whole} at batch {}{at_image}.", point.batch);
    }
    let interval = point.group(first.0).and_then(|figures| figures.share_ci95);
    let interval = interval.map(|ends| format!(" (95 % CI {:.1}–{:.1})", ends.low, ends.high));
    let reservation = match point.status {
        Status::Ok => String::new(),
        Status::Noisy | Status::Throttled | Status::OutOfMemory => {
            format!(" No batch has status ok: batch {}, the largest measured, is {}.", point.batch, point.status.name())
        }
    };
    format!(
        "{} takes {:.1} % of the {whole} at batch {}{at_image}{}, {} {:.1} %{}.{reservation}",
        first.0.name(),
        first.1,
        point.batch,
        interval.unwrap_or_default(),
        second.0.name(),
        second.1,
        turn(run, image),
    )
}

/// Says at which batch the answer turns, or that it does not.
fn turn(run: &Run, image: &str) -> String {
    match (crossovers_at(run, image).last(), &*run.measured(image)) {
        (Some(crossover), _) => {
            let decimals = if crossover.batch < 10.0 { 1 } else { 0 };
            format!("; {} leads below batch ≈ {:.decimals$}", crossover.leads_below.name(), crossover.batch)
        }
        (None, [least, .., most]) => {
            let leader = if lead(least) >= 0.0 { Group::Conv } else { Group::Fc };
            format!("; {} leads at every batch from {} to {}", leader.name(), least.batch, most.batch)
        }
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::summary::Scope;
    use crate::report::run::Figures;
    use crate::report::{fixture, run::Total};
    use crate::stats::Interval;

    /// The group totals and the step of one batch.
    fn batch(batch: usize, status: Status, conv: f64, fc: f64) -> Point {
        let other = 100.0 - conv - fc;
        let groups = [(Some(Group::Conv), conv), (Some(Group::Fc), fc), (Some(Group::Other), other), (None, 100.0)];
        let total = |(group, share): (Option<Group>, f64)| Total {
            scope: Scope { group, phase: None },
            figures: Figures {
                samples: 10,
                mean_us: share,
                stddev_us: None,
                median_us: Some(share),
                median_ci95: None,
                share_pct: share,
                share_ci95: Some(Interval { low: share - 0.3, high: share + 0.34 }),
            },
        };
        let mut point = Point::new(batch, "224x224".into(), status);
        if status != Status::OutOfMemory {
            point.totals = groups.map(total).to_vec();
            point.parts = vec![fixture::part()];
        }
        point
    }

    fn run(points: impl IntoIterator<Item = Point>) -> Run {
        Run { points: points.into_iter().collect(), ..fixture::run(false) }
    }

    #[test]
    fn the_largest_ok_batch_and_the_crossover() {
        let rows = run([
            batch(8, Status::Ok, 30.0, 50.0),
            batch(32, Status::Ok, 60.0, 40.0),
            batch(128, Status::Ok, 81.2, 12.9),
            batch(256, Status::Noisy, 85.0, 10.0),
            batch(512, Status::OutOfMemory, 0.0, 0.0),
        ]);
        // From −20 at 8 to +20 at 32: zero half way on the logarithm, √(8 · 32) = 16.
        let crossings = crossovers(&rows);
        assert_eq!(crossings.len(), 1);
        assert!((crossings[0].batch - 16.0).abs() < 1e-9 && crossings[0].leads_below == Group::Fc);
        assert_eq!(
            sentences(&rows),
            [
                "conv takes 81.2 % of the training step at batch 128 (95 % CI 80.9–81.5), fc 12.9 %; fc leads below batch ≈ 16."
            ]
        );
    }

    #[test]
    fn several_crossovers_speak_by_the_largest() {
        let rows = run([
            batch(1, Status::Ok, 60.0, 40.0),
            batch(2, Status::Ok, 40.0, 60.0),
            batch(16, Status::Ok, 45.0, 45.0),
            batch(64, Status::Ok, 20.0, 70.0),
        ]);
        // +20 → −20 between 1 and 2: √2. −20 → 0 → −50: touches at 16, from both sides.
        let crossings: Vec<(f64, Group)> =
            crossovers(&rows).into_iter().map(|crossing| (crossing.batch, crossing.leads_below)).collect();
        assert!((crossings[0].0 - 2f64.sqrt()).abs() < 1e-9 && crossings[0].1 == Group::Conv);
        assert!((crossings[1].0 - 16.0).abs() < 1e-9 && (crossings[2].0 - 16.0).abs() < 1e-9);
        assert!(sentences(&rows)[0].starts_with("fc takes 70.0 % of the training step at batch 64"));
    }

    #[test]
    fn no_crossover_without_a_change_of_sign() {
        let rows = run([batch(1, Status::Ok, 50.0, 30.0), batch(8, Status::Ok, 70.0, 20.0)]);
        assert_eq!(crossovers(&rows), []);
        assert!(sentences(&rows)[0].ends_with("fc 20.0 %; conv leads at every batch from 1 to 8."));
        let single = run([batch(4, Status::Ok, 70.0, 20.0)]);
        assert!(sentences(&single)[0].ends_with("(95 % CI 69.7–70.3), fc 20.0 %."));
    }

    #[test]
    fn a_net_of_other_layers_has_no_leader() {
        let mut rows = run([batch(1, Status::Ok, 0.0, 0.0), batch(8, Status::Ok, 0.0, 0.0)]);
        for point in &mut rows.points {
            point.totals.retain(|total| total.scope.group.is_none_or(|group| group == Group::Other));
        }
        assert_eq!(sentences(&rows), ["neither conv nor fc has a part in the training step at batch 8."]);
    }

    #[test]
    fn says_so_when_nothing_is_ok() {
        let noisy = run([batch(4, Status::Throttled, 55.0, 30.0), batch(8, Status::Noisy, 60.0, 30.0)]);
        assert!(sentences(&noisy)[0].ends_with(" No batch has status ok: batch 8, the largest measured, is noisy."));
        let nothing = run([batch(8, Status::OutOfMemory, 0.0, 0.0)]);
        assert_eq!(sentences(&nothing), ["No batch could be measured: none fits in memory."]);
        assert_eq!(sentences(&run([])), ["No batch was measured."]);
    }

    #[test]
    fn each_image_size_has_its_own_sentence() {
        let larger = Point { image: "448x448".into(), ..batch(8, Status::Ok, 90.0, 5.0) };
        let sentences = sentences(&run([batch(8, Status::Ok, 60.0, 30.0), larger]));
        assert!(sentences[0].starts_with("conv takes 60.0 % of the training step at batch 8, image 224x224"));
        assert!(sentences[1].starts_with("conv takes 90.0 % of the training step at batch 8, image 448x448"));
    }
}
