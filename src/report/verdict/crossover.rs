//! The batch sizes at which another group takes the lead.

use serde::Serialize;

use crate::model::kind::Group;
use crate::report::run::{Point, Run};

/// A batch size at which two groups take the same share of the step and no group takes more, between two neighbouring measured
/// ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Crossover {
    /// Height x width.
    pub image: String,
    /// Interpolated: shares are taken as linear in log(batch).
    pub batch: f64,
    /// The group that leads below this batch size.
    pub leads_below: Group,
    /// The group that leads above it.
    pub leads_above: Group,
}

/// All crossovers, by image in the order of the points, then by batch.
pub fn crossovers(run: &Run) -> Vec<Crossover> {
    let of_image = |image: &std::sync::Arc<str>| {
        let points = run.measured(image);
        points.windows(2).flat_map(|pair| between(pair[0], pair[1])).collect::<Vec<_>>()
    };
    run.images().iter().flat_map(of_image).collect()
}

/// Follows the leader from one batch to the next.
fn between(low: &Point, high: &Point) -> Vec<Crossover> {
    let ahead = |point: &Point, one: Group, other: Group| point.share(one) - point.share(other);
    let (mut leader, last) = (low.leader(), high.leader());
    let mut found = Vec::new();
    while leader != last {
        // The part of the way, on log(batch), at which another group catches up.
        let met = |group: Group| {
            let (before, after) = (ahead(low, leader, group), ahead(high, leader, group));
            (group != leader && (after < 0.0 || group == last)).then(|| (group, before / (before - after)))
        };
        let Some((next, part)) = Group::ALL.into_iter().filter_map(met).min_by(|a, b| a.1.total_cmp(&b.1)) else {
            break;
        };
        let batches = [low.batch as f64, high.batch as f64];
        found.push(Crossover {
            image: low.image.to_string(),
            batch: batches[0] * (batches[1] / batches[0]).powf(part),
            leads_below: leader,
            leads_above: next,
        });
        leader = next;
    }
    found
}
