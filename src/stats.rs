//! Statistics of samples: a duration's summary, a group's share, a run's closure.
//!
//! Every function is pure and answers `None` where a figure cannot be computed, never NaN.
//!
//! **What an interval covers.** Its truth is the distribution that a run's steps were drawn from; where the machine drifts,
//! the mixture of the distributions of its steps, along whatever path the drift took. For that mixture the interval of the
//! median is only ever too wide, because the number of samples below the truth then varies less than a binomial (Hoeffding
//! 1956, *On the distribution of the number of successes in independent trials*, Ann. Math. Stat. 27:713). What another
//! run would give on another day is not in any of these intervals.
//!
//! `tests/stats/coverage.rs` measures how often the intervals cover, with the stopping rule switched on.

mod compare;
mod interval;

pub use compare::{ALPHA, Difference, Estimate, Verdict, clearest, holm, verdicts};
pub use interval::{Interval, MEDIAN_LEVEL, MEDIAN_SAMPLES, mean_interval, median_interval};

/// The statistics of one phase's or group's durations, in the unit of the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleSummary {
    /// Number of samples.
    pub samples: usize,
    /// The middle sample, or the mean of the two.
    pub median: f64,
    /// The 95 % interval of the median; needs [`MEDIAN_SAMPLES`].
    pub ci95: Option<Interval>,
    /// Arithmetic mean.
    pub mean: f64,
    /// Sample standard deviation (divisor n − 1); needs two samples.
    pub stddev: Option<f64>,
    /// The smallest.
    pub min: f64,
    /// Lower quartile, see [`quantile`].
    pub q1: f64,
    /// Upper quartile.
    pub q3: f64,
    /// The largest.
    pub max: f64,
}

impl SampleSummary {
    /// `None` without samples or with one that is not finite.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples)?;
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self {
            samples: sorted.len(),
            median: quantile(&sorted, 0.5),
            ci95: median_interval(&sorted),
            mean: mean(&sorted),
            stddev: stddev(&sorted),
            min,
            q1: quantile(&sorted, 0.25),
            q3: quantile(&sorted, 0.75),
            max,
        })
    }
}

/// A figure and its 95 % interval, where there are samples enough for one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// Its 95 % interval.
    pub ci95: Option<Interval>,
}

/// The share in percent that `part` has in `step`, computed inside each step and then averaged: drift that slows a whole
/// step cancels, and shares of disjoint parts add up to that of their union. One duration per step in both slices.
///
/// The interval is Student's: see [`mean_interval`] for why not a bootstrap's.
pub fn share(part: &[f64], step: &[f64]) -> Option<Figure> {
    let shares = paired_ratios(part, step)?.map(|ratio| 100.0 * ratio).collect::<Vec<_>>();
    let within = |interval: Interval| Interval { low: interval.low.max(0.0), high: interval.high.min(100.0) };
    finite(&shares)?;
    Some(Figure { value: mean(&shares), ci95: mean_interval(&shares).map(within) })
}

/// The ratio of a marked step to the plain one beside it: the median over the pairs.
///
/// A bootstrap of a median is, but for its simulation noise, an interval between order statistics (Efron 1979, *Bootstrap
/// methods*, Ann. Stat. 7:1, section 3), so that one is used.
pub fn closure(timed: &[f64], plain: &[f64]) -> Option<Figure> {
    let ratios = sorted(&paired_ratios(timed, plain)?.collect::<Vec<_>>())?;
    Some(Figure { value: quantile(&ratios, 0.5), ci95: median_interval(&ratios) })
}

/// `None` for no pairs or for slices of unequal length.
fn paired_ratios<'a>(above: &'a [f64], below: &'a [f64]) -> Option<impl Iterator<Item = f64> + 'a> {
    (!above.is_empty() && above.len() == below.len()).then(|| above.iter().zip(below).map(|(a, b)| a / b))
}

/// The quantile at `p` in 0..=1 of sorted, non-empty samples, linear between order statistics: definition 7 of Hyndman and
/// Fan 1996, *Sample quantiles in statistical packages*, Am. Stat. 50:361 (what R and NumPy do unasked).
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let position = (sorted.len() - 1) as f64 * p;
    let below = position.floor();
    let (low, high) = (sorted[below as usize], sorted[position.ceil() as usize]);
    low + (position - below) * (high - low)
}

fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

/// In two passes, so that nothing cancels.
fn stddev(samples: &[f64]) -> Option<f64> {
    let mean = mean(samples);
    let squares: f64 = samples.iter().map(|sample| (sample - mean).powi(2)).sum();
    (samples.len() >= 2).then(|| (squares / (samples.len() - 1) as f64).sqrt())
}

fn finite(samples: &[f64]) -> Option<()> {
    samples.iter().all(|sample| sample.is_finite()).then_some(())
}

fn sorted(samples: &[f64]) -> Option<Vec<f64>> {
    finite(samples)?;
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

#[cfg(test)]
mod tests;
