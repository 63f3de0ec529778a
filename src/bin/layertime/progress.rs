//! The progress bar on stderr; silent when stderr is no terminal.
//!
//! It draws only when told something, between steps: a bar that ticks by itself would take processor time from what is
//! being measured.

use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressFinish, ProgressStyle};

use layertime::plan::image_name;
use layertime::profile::measure::Watch;
use layertime::profile::stopping::StoppingRule;

/// The bar's own resolution.
const LENGTH: u64 = 1000;

/// The bar; it goes when dropped.
pub struct Progress {
    bar: ProgressBar,
    pace: Pace,
    /// Batch and image size that are being measured, in words.
    title: String,
}

/// The facts from which the time that is left is estimated.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Batch and image sizes in all, and how many have begun.
    points: usize,
    begun: usize,
    rule: StoppingRule,
}

impl Progress {
    /// For a sweep of `points` batch and image sizes.
    pub fn new(points: usize, rule: StoppingRule) -> Progress {
        let bar = ProgressBar::new(LENGTH).with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template("{bar:10} {wide_msg}") {
            bar.set_style(style);
        }
        Progress { bar, pace: Pace { points, begun: 0, rule }, title: String::new() }
    }

    /// A batch begins.
    pub fn batch(&mut self, batch: usize, image: [usize; 2]) {
        self.pace.begun += 1;
        let Pace { begun, points, .. } = self.pace;
        self.title = format!("batch {batch}, image {} ({begun} of {points})", image_name(image));
        self.bar.set_message(self.title.clone());
    }
}

impl Watch for Progress {
    fn warm_up(&mut self, steps: usize) {
        self.bar.set_message(format!("{}: warm-up, step {steps}", self.title));
    }

    fn sampled(&mut self, pairs: usize, width: Option<f64>, elapsed: Duration) {
        let left = self.pace.left(elapsed, width);
        self.bar.set_position((self.pace.done(elapsed, left) * LENGTH as f64) as u64);
        let target = 100.0 * self.pace.rule.target;
        let width = width.map(|width| format!(" ±{:.1} % (target {target} %)", 100.0 * width)).unwrap_or_default();
        let left = HumanDuration(left);
        self.bar.set_message(format!("{}: {pairs} samples{width}, at most {left:#} left", self.title));
    }
}

impl Pace {
    /// An interval narrows with the root of the samples, so this batch needs (width / target)² of the time spent; those to
    /// come, at most their time limit.
    fn left(&self, spent: Duration, width: Option<f64>) -> Duration {
        let limit = self.rule.max_time.saturating_sub(spent);
        let factor = width.map_or(f64::INFINITY, |width| (width / self.rule.target).powi(2) - 1.0);
        let this = Duration::try_from_secs_f64(spent.as_secs_f64() * factor.max(0.0)).unwrap_or(limit).min(limit);
        this.saturating_add(self.rule.max_time.saturating_mul(self.points.saturating_sub(self.begun) as u32))
    }

    /// The part that is done, if every batch takes as long as it may.
    fn done(&self, spent: Duration, left: Duration) -> f64 {
        let before = self.rule.max_time.saturating_mul(self.begun.saturating_sub(1) as u32);
        let done = before.saturating_add(spent).as_secs_f64();
        done / (done + left.as_secs_f64()).max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const RULE: StoppingRule =
        StoppingRule { target: 0.01, max_time: Duration::from_secs(15), min_samples: 10, warm_up: None };

    #[test]
    fn time_left_follows_the_interval() {
        let pace = Pace { points: 3, begun: 3, rule: RULE };
        // Twice too wide: four times the samples, so three more seconds.
        assert_eq!(pace.left(SECOND, Some(0.02)), 3 * SECOND);
        assert_eq!(pace.left(SECOND, Some(0.01)), Duration::ZERO);
        assert_eq!(pace.left(SECOND, Some(0.5)), 14 * SECOND, "the time limit ends it");
        assert_eq!(pace.left(SECOND, None), 14 * SECOND);
        assert_eq!(pace.left(20 * SECOND, None), Duration::ZERO);
    }

    #[test]
    fn batches_to_come_count_as_their_limit() {
        let pace = Pace { points: 3, begun: 1, rule: RULE };
        assert_eq!(pace.left(5 * SECOND, Some(0.01)), 30 * SECOND);
        assert_eq!(pace.done(5 * SECOND, 30 * SECOND), 5.0 / 35.0);
        let last = Pace { begun: 3, ..pace };
        assert_eq!(last.done(SECOND, Duration::ZERO), 1.0);
    }
}
