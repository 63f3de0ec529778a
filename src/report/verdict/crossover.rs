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
    /// Of a prediction, the batch sizes between which it lies at 95 %; an end that the sweep does not reach is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_ci95: Option<[Option<f64>; 2]>,
    /// The group that leads below this batch size.
    pub leads_below: Group,
    /// The group that leads above it.
    pub leads_above: Group,
}

/// All crossovers, by image in the order of the points, then by batch.
pub fn crossovers(run: &Run) -> Vec<Crossover> {
    let of_image = |image: &std::sync::Arc<str>| {
        let points = run.measured(image);
        let mut found: Vec<Crossover> = points.windows(2).flat_map(|pair| between(pair[0], pair[1])).collect();
        if run.is_predicted() {
            found.iter_mut().for_each(|crossover| crossover.batch_ci95 = crossover.interval(&points));
        }
        found
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
            batch_ci95: None,
            leads_below: leader,
            leads_above: next,
        });
        leader = next;
    }
    found
}

impl Crossover {
    /// From the largest batch below it at which the one group leads for sure to the least above it at which the other does, both
    /// interpolated as the crossover is. `None` without intervals.
    fn interval(&self, points: &[&Point]) -> Option<[Option<f64>; 2]> {
        let lead = |point: &&Point| point.lead(self.leads_below, self.leads_above);
        let leads: Option<Vec<(f64, f64)>> = points.iter().map(lead).collect();
        // By how much the group below is ahead for sure, and by how much it may be ahead at the most.
        let (sure, most): (Vec<f64>, Vec<f64>) =
            leads?.into_iter().map(|(ahead, reach)| (ahead - reach, ahead + reach)).unzip();
        let zeros = |values: &[f64]| -> Vec<f64> {
            points.windows(2).zip(values.windows(2)).filter_map(|(pair, value)| zero(pair, value)).collect()
        };
        // Without an error both are the crossover itself, but for rounding.
        let (least, most_batch) = (self.batch * (1.0 - 1e-9), self.batch * (1.0 + 1e-9));
        let below = zeros(&sure).into_iter().filter(|&batch| batch <= most_batch).reduce(f64::max);
        let above = zeros(&most).into_iter().filter(|&batch| batch >= least).reduce(f64::min);
        Some([below, above])
    }

    /// The interval as two numbers, an end beyond the sweep left out; empty where there is none.
    pub fn span(&self) -> String {
        let Some(ends) = self.batch_ci95 else { return String::new() };
        let [low, high] = ends.map(|end| end.map_or(String::new(), number));
        format!(" ({low}–{high})")
    }

    /// The batch, as short as the ends of its interval.
    pub fn short(&self) -> String {
        number(self.batch)
    }

    /// The interval in words, empty where there is none.
    pub fn within(&self) -> String {
        match self.batch_ci95 {
            None => String::new(),
            Some([Some(low), Some(high)]) => format!(" (95 %: {} to {})", number(low), number(high)),
            Some([Some(low), None]) => format!(" (95 %: from {})", number(low)),
            Some([None, Some(high)]) => format!(" (95 %: up to {})", number(high)),
            Some([None, None]) => " (95 %: anywhere in the sweep)".into(),
        }
    }
}

fn number(batch: f64) -> String {
    format!("{batch:.*}", if batch < 10.0 { 1 } else { 0 })
}

/// The batch between two at which a falling figure is zero, on log(batch).
fn zero(pair: &[&Point], values: &[f64]) -> Option<f64> {
    let ([low, high], [before, after]) = (pair, values) else { return None };
    (*before > 0.0 && *after <= 0.0).then(|| {
        let batches = [low.batch as f64, high.batch as f64];
        batches[0] * (batches[1] / batches[0]).powf(before / (before - after))
    })
}
