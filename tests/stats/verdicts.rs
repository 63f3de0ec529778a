//! The error rates of a comparison of two runs, by simulation. Only what stands in the rows goes in: mean,
//! standard deviation, median, its interval and the number of samples. `--nocapture` prints the tables.

use layertime::stats::{ALPHA, Difference, Estimate, SampleSummary, Verdict, verdicts};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};

/// Single steps vary by 2 %.
const NOISE: f64 = 0.02;
const MARGIN: f64 = 0.02;

type Draw = fn(&mut StdRng) -> f64;

fn normal(rng: &mut StdRng) -> f64 {
    let unit: f64 = StandardNormal.sample(rng);
    1.0 + NOISE * unit
}

/// Normal, but 1 step of 20 is slowed, up to three times.
fn spiky(rng: &mut StdRng) -> f64 {
    normal(rng) * if rng.random_bool(0.05) { rng.random_range(1.2..3.0) } else { 1.0 }
}

fn skewed(rng: &mut StdRng) -> f64 {
    let unit: f64 = StandardNormal.sample(rng);
    (2.0 * NOISE * unit.abs()).exp()
}

fn row(draw: Draw, samples: usize, ratio: f64, rng: &mut StdRng) -> Vec<Difference> {
    let mut side = |factor: f64| {
        let summary = SampleSummary::of(&(0..samples).map(|_| factor * draw(rng)).collect::<Vec<_>>()).unwrap();
        [
            Estimate::ln_mean(summary.mean, summary.stddev.unwrap(), samples).unwrap(),
            Estimate::ln_median(summary.median, summary.ci95.unwrap(), samples).unwrap(),
        ]
    };
    let (a, b) = (side(1.0), side(ratio));
    a.into_iter().zip(b).map(|(a, b)| Difference::between(a, b)).collect()
}

fn percent(count: usize, of: usize) -> f64 {
    100.0 * count as f64 / of as f64
}

#[test]
fn equal_runs_are_called_different_in_at_most_5_percent_of_comparisons() {
    const COMPARISONS: usize = 2_000;
    // Nothing is the same, so that no false alarm is called off for being small.
    const NO_MARGIN: f64 = 0.0;
    let rng = &mut StdRng::seed_from_u64(1);
    println!("timings rows samples  false alarms");
    for (name, draw) in [("normal", normal as Draw), ("skewed", skewed), ("spiky", spiky)] {
        for rows in [1, 6, 60] {
            for samples in [7, 10, 40] {
                let alarm = |verdict: &Verdict| matches!(verdict, Verdict::Faster | Verdict::Slower);
                let mut comparison = || (0..rows).map(|_| row(draw, samples, 1.0, rng)).collect::<Vec<_>>();
                let false_alarms =
                    (0..COMPARISONS).filter(|_| verdicts(&comparison(), NO_MARGIN, ALPHA).iter().any(alarm)).count();
                let percent = percent(false_alarms, COMPARISONS);
                println!("{name:7} {rows:4} {samples:7}  {percent:5.1} %");
                assert!(percent <= 5.0, "{name}, {rows} rows, {samples} samples: {percent} %");
            }
        }
    }
}

/// How often B, `ratio` times as slow, gets this verdict in each of `rows` rows.
fn found(draw: Draw, rows: usize, samples: usize, ratio: f64, expected: Verdict) -> f64 {
    const COMPARISONS: usize = 2_000;
    let rng = &mut StdRng::seed_from_u64(2);
    let hits = (0..COMPARISONS).map(|_| {
        let comparison: Vec<_> = (0..rows).map(|_| row(draw, samples, ratio, rng)).collect();
        verdicts(&comparison, MARGIN, ALPHA).into_iter().filter(|&verdict| verdict == expected).count()
    });
    percent(hits.sum(), COMPARISONS * rows)
}

#[test]
fn five_percent_is_found_at_ten_samples() {
    println!("timings rows  found");
    for rows in [1, 6, 60] {
        let [slower, faster] = [(1.05, Verdict::Slower), (1.0 / 1.05, Verdict::Faster)]
            .map(|(ratio, expected)| found(normal, rows, 10, ratio, expected));
        println!("normal  {rows:4}  {slower:5.1} % {faster:5.1} %");
        assert!(slower >= 90.0 && faster >= 90.0, "{rows} rows: {slower} %, {faster} %");
    }
}

#[test]
fn spikes_do_not_hide_five_percent() {
    let found = found(spiky, 6, 20, 1.05, Verdict::Slower);
    println!("spiky, 20 samples, 6 rows: {found:.1} %");
    assert!(found >= 90.0, "{found} %");
}

#[test]
fn a_difference_of_the_margin_is_called_the_same_in_at_most_5_percent() {
    println!("timings samples  at the margin  equal");
    for (name, draw) in [("normal", normal as Draw), ("skewed", skewed), ("spiky", spiky)] {
        for samples in [10, 28, 80] {
            let wrong = found(draw, 1, samples, 1.0 + MARGIN, Verdict::Same);
            println!("{name:7} {samples:7}  {wrong:5.1} %  {:5.1} %", found(draw, 1, samples, 1.0, Verdict::Same));
            assert!(wrong <= 5.0, "{name}, {samples} samples: {wrong} %");
        }
    }
    assert!(found(normal, 1, 80, 1.0, Verdict::Same) >= 90.0);
}
