//! Two runs side by side, from the figures that stand in their rows.
//!
//! Durations are compared on a log scale, so that a difference is a ratio, by their mean *and* by their median: the mean
//! is the sharper where single steps vary evenly, the median where some steps are spikes. Each gets half of the error
//! (Bonferroni). Shares are compared by their mean, in points.
//!
//! A single run does not show how runs differ from one another; give several per side where that matters.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

use super::interval::student_quantile;
use super::{Interval, MEDIAN_LEVEL, MEDIAN_SAMPLES};

/// The chance that the verdicts of one comparison err, all together, each way.
pub const ALPHA: f64 = 0.05;

/// A figure with its standard error, and the degrees of freedom with which that error is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure.
    pub value: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub dof: f64,
}

impl Estimate {
    /// ln of a mean duration. Its standard error is the relative one of the mean (delta method).
    pub fn ln_mean(mean: f64, stddev: f64, samples: usize) -> Option<Self> {
        let standard_error = stddev / mean / (samples as f64).sqrt();
        Self::checked(mean.ln(), standard_error, samples as f64 - 1.0)
    }

    /// ln of a median duration, from its interval.
    ///
    /// The interval spans about k = 2·z·√n/2 of n spacings between neighbouring samples. They are nearly exponential, so its
    /// length varies by √((1 − k/n)/k) of itself, which is worth k / (2·(1 − k/n)) degrees of freedom (Satterthwaite 1946,
    /// *An approximate distribution of estimates of variance components*, Biometrics Bull. 2:110).
    pub fn ln_median(median: f64, ci95: Interval, samples: usize) -> Option<Self> {
        let z = Normal::standard().inverse_cdf(0.5 + MEDIAN_LEVEL / 2.0);
        let spacings = z * (samples as f64).sqrt();
        let dof = spacings / (2.0 * (1.0 - spacings / samples as f64));
        Self::checked(median.ln(), (ci95.high - ci95.low) / median / (2.0 * z), dof)
            .filter(|_| samples >= MEDIAN_SAMPLES)
    }

    /// A share in percent, from its Student interval, of which one end may be cut off at 0 or 100.
    pub fn share(share: f64, ci95: Interval, samples: usize) -> Option<Self> {
        let dof = samples as f64 - 1.0;
        let half = (ci95.high - share).max(share - ci95.low);
        Self::checked(share, half / student_quantile(0.975, dof)?, dof)
    }

    /// A figure of several runs of one side: what differs between them is the error, and it holds what differs within them.
    /// `None` below two runs.
    pub fn over_runs(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        Self::checked(super::mean(values), super::stddev(values)? / count.sqrt(), count - 1.0)
    }

    fn checked(value: f64, standard_error: f64, dof: f64) -> Option<Self> {
        let sound = value.is_finite() && standard_error.is_finite() && standard_error >= 0.0 && dof > 0.0;
        sound.then_some(Self { value, standard_error, dof })
    }
}

/// B − A, with Welch's degrees of freedom (Welch 1947, *The generalization of "Student's" problem*, Biometrika 34:28).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference(Estimate);

impl Difference {
    /// B − A of two independent figures.
    pub fn between(a: Estimate, b: Estimate) -> Self {
        let (var_a, var_b) = (a.standard_error.powi(2), b.standard_error.powi(2));
        let sum = var_a + var_b;
        let dof = if sum > 0.0 { sum.powi(2) / (var_a.powi(2) / a.dof + var_b.powi(2) / b.dof) } else { a.dof + b.dof };
        Self(Estimate { value: b.value - a.value, standard_error: sum.sqrt(), dof })
    }

    /// In the unit of the estimates: the ln of a ratio of durations, points of a share.
    pub fn value(&self) -> f64 {
        self.0.value
    }

    /// The 95 % interval of this difference alone, uncorrected.
    pub fn ci95(&self) -> Option<Interval> {
        let half = self.0.standard_error * student_quantile(0.975, self.0.dof)?;
        Some(Interval { low: self.value() - half, high: self.value() + half })
    }

    /// The chance of so large a difference, either way, if there is none.
    pub fn p_different(&self) -> f64 {
        (2.0 * self.p_above(self.value().abs())).min(1.0)
    }

    /// The chance of so small a difference if it is `margin` or more, either way: two one-sided tests (Schuirmann 1987,
    /// J. Pharmacokinet. Biopharm. 15:657).
    pub fn p_same(&self, margin: f64) -> f64 {
        self.p_above(margin - self.value().abs())
    }

    /// The upper tail at `distance`, a step at 0 where nothing varies.
    fn p_above(&self, distance: f64) -> f64 {
        match StudentsT::new(0.0, self.0.standard_error, self.0.dof) {
            Ok(student) => student.sf(distance),
            Err(_) => f64::from(distance <= 0.0),
        }
    }
}

/// The relation of B to A. Of a share, `Faster` says that it fell and `Slower` that it rose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The difference is within the margin, shown and not just not seen.
    Same,
    /// B takes less, shown.
    Faster,
    /// B takes more, shown.
    Slower,
    /// None of these could be shown.
    Unclear,
}

/// One verdict per row of a family, together wrong with at most `alpha` each way: on equal runs no row is called faster or
/// slower, and on runs that differ by the margin no row is called the same, with 1 − `alpha`. Families of one comparison
/// divide [`ALPHA`] among them.
///
/// The margin is in the unit of the differences: for durations the ln of the ratio that still counts as the same.
/// A row holds the differences of the figures it is judged by (mean and median, or one), of which the clearest decides; an
/// empty row is `Unclear`. A difference that is sure but within the margin is called the same where that is sure too.
pub fn verdicts(rows: &[Vec<Difference>], margin: f64, alpha: f64) -> Vec<Verdict> {
    let corrected = |p: &dyn Fn(&Difference) -> f64| holm(&rows.iter().map(|row| smallest(row, p)).collect::<Vec<_>>());
    let same = corrected(&|difference| difference.p_same(margin));
    let different = corrected(&Difference::p_different);
    let verdicts = rows.iter().zip(same).zip(different);
    verdicts.map(|((row, same), different)| verdict(row, margin, same <= alpha, different <= alpha)).collect()
}

/// The difference that decides a row.
pub fn clearest(row: &[Difference]) -> Option<&Difference> {
    row.iter().min_by(|a, b| a.p_different().total_cmp(&b.p_different()))
}

fn verdict(row: &[Difference], margin: f64, same: bool, different: bool) -> Verdict {
    match clearest(row).map_or(0.0, Difference::value) {
        value if same && !(different && value.abs() > margin) => Verdict::Same,
        value if different && value > 0.0 => Verdict::Slower,
        _ if different => Verdict::Faster,
        _ => Verdict::Unclear,
    }
}

/// The smallest p-value of a row, corrected for having been chosen (Bonferroni).
fn smallest(row: &[Difference], p: &dyn Fn(&Difference) -> f64) -> f64 {
    (row.len().max(1) as f64 * row.iter().map(p).fold(1.0, f64::min)).min(1.0)
}

/// Adjusts a family of p-values so that comparing each with α keeps the chance of any false one at α: Holm 1979, *A simple
/// sequentially rejective multiple test procedure*, Scand. J. Stat. 6:65.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![1.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}
