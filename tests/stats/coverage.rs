//! The coverage of the 95 % intervals, by simulation with the stopping rule switched on.
//!
//! Each simulated run draws steps of five phases, asks [`StoppingRule`] after every pair as a real run does, and summarises
//! what it then has. The truth is that of the distribution drawn from, found from many draws of it; under drift it is the
//! median of the mixture over the steps that the run made (see `layertime::stats`). `--nocapture` prints the tables.

use std::collections::HashMap;
use std::time::Duration;

use layertime::profile::stopping::{Decision, StoppingRule};
use layertime::stats::{Interval, SampleSummary, quantile, share};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Gamma, StandardNormal};

const RUNS: usize = 16_000;
const TRUTH_STEPS: usize = 400_000;

/// Lengths of the phases in microseconds: the group in question is the first two, the phase the third.
const PHASES_US: [f64; 5] = [40e3, 35e3, 20e3, 6e3, 4e3];
const GROUP: std::ops::Range<usize> = 0..2;
const PHASE: usize = 2;

/// Relative standard deviation of a step, and the seconds it may be measured for: from 10 samples, where the target is
/// reached at once, over every number of looks, to runs that time stops at about 200, 60, 12 and 7 samples.
const NOISES: [(f64, f64); 8] =
    [(0.003, 42.0), (0.01, 42.0), (0.015, 42.0), (0.02, 42.0), (0.03, 42.0), (0.05, 12.6), (0.05, 2.5), (0.05, 1.4)];

type Step = [f64; 5];

/// A kind of timing: what the phases of a step last, given the noise.
#[derive(Clone, Copy)]
struct Timing {
    draw: fn(&mut StdRng, f64) -> Step,
    /// The relative slowdown of all phases from one step to the next.
    drift: f64,
}

/// Every step is slowed as a whole and every phase by itself, in about equal parts of the step's variance; `unit` draws a
/// variable of mean 0 and variance 1.
fn noisy_step(rng: &mut StdRng, noise: f64, unit: impl Fn(&mut StdRng) -> f64) -> Step {
    let whole = 1.0 + 0.7 * noise * unit(rng);
    PHASES_US.map(|length| length * whole * (1.0 + 1.35 * noise * unit(rng)))
}

fn normal_step(rng: &mut StdRng, noise: f64) -> Step {
    noisy_step(rng, noise, |rng| StandardNormal.sample(rng))
}

/// A gamma distribution of shape 1.5: skewness 1.6.
fn skewed_step(rng: &mut StdRng, noise: f64) -> Step {
    let gamma = Gamma::new(1.5, 1.0).unwrap();
    noisy_step(rng, noise, |rng| (gamma.sample(rng) - 1.5) / 1.5_f64.sqrt())
}

/// In 1 step of 25 another program takes the machine for 5 to 30 % of a step, at a moment that falls into one of the
/// phases; 1 step of 25 is slowed as a whole, up to three times.
fn spiky_step(rng: &mut StdRng, noise: f64) -> Step {
    let mut step = normal_step(rng, noise);
    let whole = total(&step);
    if rng.random_bool(0.04) {
        let mut moment = whole * rng.random::<f64>();
        let hit = step.iter().position(|length| {
            moment -= length;
            moment < 0.0
        });
        step[hit.unwrap_or(0)] += whole * rng.random_range(0.05..0.3);
    }
    let slowdown = if rng.random_bool(0.04) { rng.random_range(1.0..3.0) } else { 1.0 };
    step.map(|length| length * slowdown)
}

fn total(step: &Step) -> f64 {
    step.iter().sum()
}

fn group(step: &Step) -> f64 {
    step[GROUP].iter().sum()
}

fn phase(step: &Step) -> f64 {
    step[PHASE]
}

/// The true values of one kind of timing at one noise.
struct Truth {
    drift: f64,
    steps: Vec<f64>,
    phases: Vec<f64>,
    share: f64,
    /// Per number of steps, the medians of step and phase.
    medians: HashMap<usize, [f64; 2]>,
}

impl Truth {
    fn of(timing: Timing, noise: f64, rng: &mut StdRng) -> Self {
        let draws: Vec<Step> = (0..TRUTH_STEPS).map(|_| (timing.draw)(rng, noise)).collect();
        let sorted = |figure: fn(&Step) -> f64| {
            let mut figures: Vec<f64> = draws.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures
        };
        let share = draws.iter().map(|step| 100.0 * group(step) / total(step)).sum::<f64>() / draws.len() as f64;
        Self { drift: timing.drift, steps: sorted(total), phases: sorted(phase), share, medians: HashMap::new() }
    }

    fn medians(&mut self, steps: usize) -> [f64; 2] {
        let medians = || [&self.steps, &self.phases].map(|sorted| mixture_median(sorted, steps, self.drift));
        *self.medians.entry(steps).or_insert_with(medians)
    }
}

/// The median of the mixture of `sorted` times 1, 1 + drift, 1 + 2·drift, …, by bisection.
fn mixture_median(sorted: &[f64], steps: usize, drift: f64) -> f64 {
    if drift == 0.0 {
        return quantile(sorted, 0.5);
    }
    let below = |x: f64| -> usize {
        (0..steps).map(|i| sorted.partition_point(|&length| length * (1.0 + drift * i as f64) < x)).sum()
    };
    let (mut low, mut high) = (sorted[0], sorted[sorted.len() - 1] * (1.0 + drift * steps as f64));
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        *(if 2 * below(middle) < steps * sorted.len() { &mut low } else { &mut high }) = middle;
    }
    (low + high) / 2.0
}

/// One run: draws steps until the rule stops it.
fn run(timing: Timing, noise: f64, rule: StoppingRule, rng: &mut StdRng) -> (Vec<Step>, Decision) {
    let (mut steps, mut totals, mut elapsed_us) = (Vec::new(), Vec::new(), 0.0);
    loop {
        let slowdown = 1.0 + timing.drift * steps.len() as f64;
        let step = (timing.draw)(rng, noise).map(|length| length * slowdown);
        totals.push(total(&step));
        steps.push(step);
        elapsed_us += 2.0 * total(&step);
        match rule.decide(&totals, Duration::from_micros(elapsed_us as u64)) {
            Decision::Continue => {}
            stop @ (Decision::TargetReached | Decision::TimeUp) => return (steps, stop),
        }
    }
}

fn covers(interval: Option<Interval>, truth: f64) -> bool {
    interval.is_some_and(|interval| interval.low <= truth && truth <= interval.high)
}

/// Percent of runs that cover the median step, the median phase and the group's share.
fn coverage(name: &str, timing: Timing, (noise, seconds): (f64, f64)) -> [f64; 3] {
    let rng = &mut StdRng::seed_from_u64(1);
    let mut truth = Truth::of(timing, noise, rng);
    let rule =
        StoppingRule { target: 0.01, max_time: Duration::from_secs_f64(seconds), min_samples: 10, warm_up: None };
    let (mut covered, mut samples, mut reached) = ([0; 3], 0, 0);
    for _ in 0..RUNS {
        let (steps, decision) = run(timing, noise, rule, rng);
        let column = |figure: fn(&Step) -> f64| steps.iter().map(figure).collect::<Vec<_>>();
        let median_interval = |samples: &[f64]| SampleSummary::of(samples).and_then(|summary| summary.ci95);
        let totals = column(total);
        let share = share(&column(group), &totals).and_then(|share| share.ci95);
        let [step_us, phase_us] = truth.medians(steps.len());
        covered[0] += usize::from(covers(median_interval(&totals), step_us));
        covered[1] += usize::from(covers(median_interval(&column(phase)), phase_us));
        covered[2] += usize::from(covers(share, truth.share));
        samples += steps.len();
        reached += usize::from(decision == Decision::TargetReached);
    }
    let percent = |count: usize| 100.0 * count as f64 / RUNS as f64;
    let [step, phase, share] = covered.map(percent);
    let (samples, reached, noise) = (samples as f64 / RUNS as f64, percent(reached), 100.0 * noise);
    println!("{name:9} {noise:4.1} %  {samples:7.1} {reached:5.1} %  {step:6.2} {phase:6.2} {share:6.2}");
    [step, phase, share]
}

fn assert_covers_94_to_97(name: &str, timing: Timing) {
    println!("timings    noise  samples  target    step  phase  share");
    for noise in NOISES {
        for percent in coverage(name, timing, noise) {
            assert!((94.0..=97.0).contains(&percent), "{name} at {noise:?}: {percent} %");
        }
    }
}

#[test]
fn normal() {
    assert_covers_94_to_97("normal", Timing { draw: normal_step, drift: 0.0 });
}

#[test]
fn skewed() {
    assert_covers_94_to_97("skewed", Timing { draw: skewed_step, drift: 0.0 });
}

/// The machine slows down steadily, by 2 % over 100 steps.
#[test]
fn drifting() {
    assert_covers_94_to_97("drifting", Timing { draw: normal_step, drift: 2e-4 });
}

#[test]
fn spiky() {
    assert_covers_94_to_97("spiky", Timing { draw: spiky_step, drift: 0.0 });
}

/// Drift of several times the noise: the medians' intervals are too wide, never too narrow, and shares do not see it.
#[test]
fn strong_drift_only_widens() {
    for noise in [(0.003, 42.0), (0.01, 42.0)] {
        let [step, phase, share] = coverage("drift 30x", Timing { draw: normal_step, drift: 6e-3 }, noise);
        assert!(step >= 94.0 && phase >= 94.0, "{step} %, {phase} %");
        assert!((94.0..=97.0).contains(&share), "{share} %");
    }
}
