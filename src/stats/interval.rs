//! Confidence intervals of one sample's median and mean.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, StudentsT};

/// A closed interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The fewest samples whose minimum and maximum enclose the median with 95 %: 1 − 2·(1/2)⁶ = 96.9 %.
pub const MEDIAN_SAMPLES: usize = 6;

/// The coverage of a median's interval at a fixed number of samples. It is more than 95 % because a run that stops when
/// its interval is narrow enough stops too often on one that is narrow by luck, which costs up to 2.3 points here (Starr
/// 1966, *The performance of a sequential procedure for the fixed-width interval estimation of the mean*, Ann. Math. Stat.
/// 37:36). Found by simulation: with 0.95 the step that the rule looks at is covered in 92 to 95 % of runs, with 0.965 in
/// 94 to 97 %, and a phase in 96 to 97 %.
pub const MEDIAN_LEVEL: f64 = 0.965;

/// The interval of the median of sorted samples; `None` below [`MEDIAN_SAMPLES`].
///
/// The number of samples below the median is binomial (n, 1/2), so that the d-th smallest and the d-th largest enclose it
/// with a known probability whatever the distribution (Thompson 1936, Ann. Math. Stat. 7:122). Those probabilities are few
/// at small n: 97.9 % or 89.1 % at 10. Between the two neighbours of [`MEDIAN_LEVEL`] it is therefore interpolated, with
/// the weight of Hettmansperger and Sheather 1986, *Confidence intervals based on interpolated order statistics*,
/// Stat. Probab. Lett. 4:75.
pub fn median_interval(sorted: &[f64]) -> Option<Interval> {
    let n = sorted.len();
    let below = Binomial::new(0.5, n as u64).ok()?;
    let coverage = |rank: usize| 1.0 - 2.0 * below.cdf(rank as u64 - 1);
    let rank = (1..=n / 2).take_while(|&rank| coverage(rank) >= MEDIAN_LEVEL).last()?;
    let excess = (coverage(rank) - MEDIAN_LEVEL) / (coverage(rank) - coverage(rank + 1));
    let (outer, all) = (rank as f64, n as f64);
    let inward = (all - outer) * excess / (outer + (all - 2.0 * outer) * excess);
    let between = |outer: usize, inner: usize| sorted[outer] + inward * (sorted[inner] - sorted[outer]);
    Some(Interval { low: between(rank - 1, rank), high: between(n - rank, n - rank - 1) })
}

/// Student's 95 % interval of the mean (Student 1908, *The probable error of a mean*, Biometrika 6:1); needs two samples.
///
/// For shares it was preferred to the bootstrap, whose percentile interval is too narrow at 10 to 14 samples:
/// `tests/stats/coverage.rs` shows that this one covers as it says.
pub fn mean_interval(samples: &[f64]) -> Option<Interval> {
    let mean = super::mean(samples);
    let standard_error = super::stddev(samples)? / (samples.len() as f64).sqrt();
    let half = standard_error * student_quantile(0.975, (samples.len() - 1) as f64)?;
    Some(Interval { low: mean - half, high: mean + half })
}

/// `None` unless `dof` is positive and finite.
pub(super) fn student_quantile(p: f64, dof: f64) -> Option<f64> {
    Some(StudentsT::new(0.0, 1.0, dof).ok().filter(|_| dof.is_finite())?.inverse_cdf(p))
}
