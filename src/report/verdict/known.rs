//! Judges what is known of a batch: its shares, by their own intervals.

use crate::model::kind::Group;
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::report::run::{Figures, Point};

/// Shares are known when no group's 95 % interval reaches further to either side, in points of the step.
const KNOWN: f64 = 1.0;

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
        if self.is_predicted() {
            return (self.status == Status::OutOfMemory).then(|| self.status.name().into());
        }
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

    /// Tells if its figures come from no sample: its intervals are then errors of predictions, which no longer run would narrow.
    pub fn is_predicted(&self) -> bool {
        self.total(Scope::STEP).is_some_and(|step| step.samples == 0 && step.share_ci95.is_some())
    }

    /// By how far one group is ahead of another, in points of the step, and how far that reaches to either side at 95 %: as far as
    /// both of their intervals, since what one takes the other loses. `None` without intervals.
    pub fn lead(&self, one: Group, other: Group) -> Option<(f64, f64)> {
        let half = |group: Group| {
            self.group(group).map_or(Some(0.0), |figures| figures.share_ci95.map(|ends| (ends.high - ends.low) / 2.0))
        };
        Some((self.share(one) - self.share(other), half(one)? + half(other)?))
    }

    /// The group that a prediction cannot tell from the leader, if there is one.
    pub fn rival(&self) -> Option<Group> {
        let leader = self.leader();
        let close = |group: &Group| self.lead(leader, *group).is_some_and(|(ahead, reach)| ahead < reach);
        let rivals = Group::ALL.into_iter().filter(|&group| group != leader && self.is_predicted()).filter(close);
        rivals.max_by(|&one, &other| self.share(one).total_cmp(&self.share(other)))
    }

    /// Notes for a reader of its figures: those of run.json, and one on closure.
    pub fn notes(&self) -> Vec<String> {
        let recorded = self.record.iter().flat_map(|record| record.notes.iter().cloned());
        recorded.chain(self.closure_note()).collect()
    }
}
