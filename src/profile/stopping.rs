//! Decides when one batch has been measured long enough.

use std::time::Duration;

use crate::stats::{MEDIAN_SAMPLES, SampleSummary};

/// Stops when the median step is known well enough, or when time is up, or after [`MOST_SAMPLES`].
///
/// It looks only at `min_samples`, and then at √2 times as many each time: looking after every sample would stop on
/// whichever interval is narrow by luck, and such an interval covers less than it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoppingRule {
    /// The largest distance from the median to an end of its interval, as a fraction of the median: 0.01 is 1 %.
    pub target: f64,
    /// For one batch, warm-up apart. It comes before `min_samples`, but not before [`MEDIAN_SAMPLES`]; the batch is noisy then.
    pub max_time: Duration,
    /// The first look, and the fewest for a target that is reached; [`MEDIAN_SAMPLES`] where it is less.
    pub min_samples: usize,
    /// The least time to warm up; [`StoppingRule::least_time`] where nothing is said.
    pub warm_up: Option<Duration>,
}

/// The rule's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Take more samples.
    Continue,
    /// Stop: the median step is as exact as wanted.
    TargetReached,
    /// Stop: it is not, or too few samples were taken, and the batch is noisy. [`MOST_SAMPLES`] count as time that is up.
    TimeUp,
}

/// The least time to warm up, and to take samples, where there is that much time: a GPU that was idle takes its time
/// to raise its clocks, and quick steps would be over before. nvbench samples for half a second too.
const LEAST_TIME: Duration = Duration::from_millis(500);

/// More steps than these say little that is new, and would fill a disk: each is written with all its phases.
pub const MOST_SAMPLES: usize = 10_000;

impl Default for StoppingRule {
    /// Within 1 %, for at most 15 seconds, with at least 10 samples.
    fn default() -> StoppingRule {
        StoppingRule { target: 0.01, max_time: Duration::from_secs(15), min_samples: 10, warm_up: None }
    }
}

impl StoppingRule {
    /// Not more than a tenth of the time there is.
    pub fn least_time(&self) -> Duration {
        LEAST_TIME.min(self.max_time / 10)
    }

    /// The least time to warm up.
    pub fn warm_up(&self) -> Duration {
        self.warm_up.unwrap_or(self.least_time())
    }

    /// The time after which steps that do not become steady are taken as they are.
    pub fn longest_warm_up(&self) -> Duration {
        self.max_time.max(self.warm_up())
    }

    /// Asked after each pair with the durations of all timed steps so far.
    pub fn decide(&self, steps: &[f64], elapsed: Duration) -> Decision {
        let time_up = elapsed >= self.max_time || steps.len() >= MOST_SAMPLES.max(self.min_samples);
        if steps.len() < MEDIAN_SAMPLES || !(time_up || self.is_look(steps.len())) {
            return Decision::Continue;
        }
        let enough = steps.len() >= self.min_samples && elapsed >= self.least_time();
        match relative_error(steps) {
            Some(error) if error <= self.target && enough => Decision::TargetReached,
            _ if time_up => Decision::TimeUp,
            _ => Decision::Continue,
        }
    }

    /// 10, 14, 20, 28, 40, 57, 80, … from 10 on.
    pub fn is_look(&self, samples: usize) -> bool {
        let first = self.min_samples.max(MEDIAN_SAMPLES) as f64;
        let number = (2.0 * (samples as f64 / first).log2()).round();
        number >= 0.0 && (first * (number / 2.0).exp2()).round() as usize == samples
    }
}

/// The larger distance from the median to an end of its 95 % interval, as a fraction of the median. `None` below
/// [`MEDIAN_SAMPLES`] and for a median that is not positive.
pub fn relative_error(steps: &[f64]) -> Option<f64> {
    let summary = SampleSummary::of(steps).filter(|summary| summary.median > 0.0)?;
    let ci95 = summary.ci95?;
    Some((summary.median - ci95.low).max(ci95.high - summary.median) / summary.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: StoppingRule =
        StoppingRule { target: 0.01, max_time: Duration::from_secs(15), min_samples: 10, warm_up: None };
    const EARLY: Duration = Duration::from_secs(1);

    fn looks(rule: StoppingRule) -> Vec<usize> {
        (0..=120).filter(|&n| rule.decide(&vec![1.0; n], EARLY) == Decision::TargetReached).collect()
    }

    #[test]
    fn looks_are_a_factor_of_root_two_apart() {
        assert_eq!(looks(RULE), [10, 14, 20, 28, 40, 57, 80, 113]);
        assert_eq!(looks(StoppingRule { min_samples: 30, ..RULE }), [30, 42, 60, 85, 120]);
    }

    #[test]
    fn the_first_look_is_never_before_six() {
        assert_eq!(looks(StoppingRule { min_samples: 0, ..RULE })[0], 6);
    }

    #[test]
    fn ten_thousand_samples_are_the_most() {
        let noisy: Vec<f64> = (0..20_000).map(|index| f64::from(index % 2)).collect();
        let end = |rule: StoppingRule| (0..20_000).find(|&n| rule.decide(&noisy[..n], EARLY) == Decision::TimeUp);
        assert_eq!(end(RULE), Some(10_000));
        assert_eq!(end(StoppingRule { min_samples: 12_000, ..RULE }), Some(12_000));
    }

    #[test]
    fn time_up_waits_for_six_samples_and_says_whether_the_target_was_reached() {
        assert_eq!(RULE.decide(&[1.0; 5], RULE.max_time), Decision::Continue);
        assert_eq!(RULE.decide(&[1.0; 11], RULE.max_time), Decision::TargetReached);
        assert_eq!(RULE.decide(&[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0], RULE.max_time), Decision::TimeUp);
    }

    #[test]
    fn fewer_samples_than_asked_for_are_no_target_reached() {
        assert_eq!(RULE.decide(&[1.0; 9], RULE.max_time), Decision::TimeUp);
        assert_eq!(RULE.decide(&[1.0; 10], RULE.max_time), Decision::TargetReached);
        let many = StoppingRule { min_samples: 1000, ..RULE };
        assert_eq!(many.decide(&[1.0; 999], RULE.max_time), Decision::TimeUp);
    }

    #[test]
    fn quick_steps_go_on_for_half_a_second_or_a_tenth_of_the_time() {
        let at = |rule: StoppingRule, ms| rule.decide(&[1.0; 80], Duration::from_millis(ms));
        assert_eq!([at(RULE, 499), at(RULE, 500)], [Decision::Continue, Decision::TargetReached]);
        let short = StoppingRule { max_time: Duration::from_millis(200), ..RULE };
        assert_eq!([at(short, 19), at(short, 20)], [Decision::Continue, Decision::TargetReached]);
    }

    #[test]
    fn warm_up_lasts_as_long_as_asked_for() {
        let times = |rule: StoppingRule| [rule.warm_up(), rule.longest_warm_up()].map(|time| time.as_millis());
        assert_eq!(times(RULE), [500, 15_000]);
        assert_eq!(times(StoppingRule { warm_up: Some(Duration::ZERO), ..RULE }), [0, 15_000]);
        assert_eq!(times(StoppingRule { warm_up: Some(Duration::from_secs(20)), ..RULE }), [20_000, 20_000]);
        assert_eq!(times(StoppingRule { max_time: Duration::from_millis(200), ..RULE }), [20, 200]);
    }

    #[test]
    fn one_wide_side_is_enough_to_go_on() {
        let mut steps = [100.0; 10];
        assert_eq!(RULE.decide(&steps, EARLY), Decision::TargetReached);
        // The upper end lies between the eighth and the ninth of ten.
        steps[7..].fill(102.0);
        assert_eq!(relative_error(&steps), Some(0.02));
        assert_eq!(RULE.decide(&steps, EARLY), Decision::Continue);
    }

    #[test]
    fn no_error_of_a_median_that_is_not_positive() {
        assert_eq!(relative_error(&[0.0; 10]), None);
        assert_eq!(relative_error(&[f64::NAN; 10]), None);
    }
}
