//! Judges what is known of a batch: its shares by their own intervals, its marks by closure.

use crate::model::kind::Group;
use crate::profile::Status;
use crate::report::run::{Figures, Point};

/// Shares are known when no group's 95 % interval reaches further to either side, in points of the step.
const KNOWN: f64 = 1.0;

/// A step with marks takes as long as a plain one, but for this part.
const CLOSED: f64 = 0.03;

impl Point {
    /// The group that takes most of the step.
    pub fn leader(&self) -> Group {
        let larger = |one: Group, other: Group| if self.share(other) > self.share(one) { other } else { one };
        Group::ALL.into_iter().reduce(larger).unwrap_or(Group::Other)
    }

    /// Says why the shares of the groups are not known; `None` where they are, to a point of the step.
    ///
    /// A noisy batch may have well known shares: drift that slows a whole step cancels in them. A throttled one has others
    /// than the device at its usual clocks. Without intervals, as in a prediction or a bare phases.csv, the status decides.
    pub fn shares_unknown(&self) -> Option<String> {
        let half = |figures: &Figures| {
            let ends = figures.share_ci95?;
            Some((ends.high - figures.share_pct).max(figures.share_pct - ends.low))
        };
        let halves: Option<Vec<f64>> = Group::ALL.into_iter().filter_map(|group| self.group(group)).map(half).collect();
        match (self.status, halves.filter(|halves| !halves.is_empty())) {
            (Status::OutOfMemory | Status::Throttled, _) | (Status::Noisy, None) => Some(self.status.name().into()),
            (Status::Ok, None) => None,
            (Status::Ok | Status::Noisy, Some(halves)) => {
                let widest = halves.into_iter().fold(0.0, f64::max);
                (widest > KNOWN).then(|| format!("known to ±{widest:.1} points only"))
            }
        }
    }

    /// Says by how much a step with marks differs from a plain one, where that is more than 3 %.
    pub fn closure_note(&self) -> Option<String> {
        let closure = self.step.closure?;
        let percent = 100.0 * (closure - 1.0).abs();
        match closure {
            _ if (1.0 - CLOSED..1.0 + CLOSED).contains(&closure) => None,
            1.0.. => Some(format!(
                "closure is {closure:.2}: a step with marks takes {percent:.0} % longer than a plain one, so short phases weigh too much"
            )),
            _ => Some(format!(
                "closure is {closure:.2}: a step with marks takes {percent:.0} % less than a plain one, so the machine was not steady"
            )),
        }
    }

    /// Notes for a reader of its figures: those of run.json, and one on closure.
    pub fn notes(&self) -> Vec<String> {
        let recorded = self.record.iter().flat_map(|record| record.notes.iter().cloned());
        recorded.chain(self.closure_note()).collect()
    }
}
