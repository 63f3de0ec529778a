//! The error rates of `compare`, by simulation: whole runs of a network with AlexNet's number of
//! layers go through the very code of the command. `--nocapture` prints what was found.

use std::collections::BTreeMap;

use layertime::model::kind::Group;
use layertime::plan::Phase;
use layertime::profile::Status;
use layertime::profile::summary::Scope;
use layertime::report::compare::{CompareSettings, Comparison, Side, Subject};
use layertime::report::rows::StepColumns;
use layertime::report::run::{Figures, LayerPart, Origin, Point, Run, Total};
use layertime::stats::{SampleSummary, Verdict, share};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

/// Single steps vary by 2 %, and phases within a step by as much again.
const NOISE: f64 = 0.02;
const LAYERS: usize = 22;
/// The phase that one test slows down, a conv layer's forward.
const CHANGED: (usize, Phase) = (3, Phase::Forward);

/// How many times as long as usual a layer's phase takes.
type Slower<'a> = &'a dyn Fn(usize, Phase) -> f64;

fn group(layer: usize) -> Group {
    match layer {
        0..8 => Group::Conv,
        8..11 => Group::Fc,
        _ => Group::Other,
    }
}

/// Each layer's phases with their usual times in µs; those of the last ten layers lie about the smallest share shown.
fn phases() -> Vec<(usize, Phase, f64)> {
    let weights = |layer| group(layer) != Group::Other;
    let usual = |layer: usize| if layer < 12 { 100.0 + 20.0 * layer as f64 } else { 20.0 + layer as f64 };
    let exists = |&(layer, phase): &(usize, Phase)| match phase {
        Phase::Forward => true,
        Phase::BackwardData => layer > 0,
        Phase::BackwardWeights | Phase::WeightUpdate => weights(layer),
        Phase::AllReduce | Phase::LossScale => false,
    };
    let all = (0..LAYERS).flat_map(|layer| Phase::ALL.map(|phase| (layer, phase)));
    all.filter(exists).map(|(layer, phase)| (layer, phase, usual(layer))).collect()
}

fn unit(rng: &mut StdRng) -> f64 {
    StandardNormal.sample(rng)
}

/// Figures as they stand in a run's files.
fn figures(durations: &[f64], steps: &[f64]) -> Figures {
    let (time, share) = (SampleSummary::of(durations).unwrap(), share(durations, steps).unwrap());
    Figures {
        samples: time.samples as u32,
        mean_us: time.mean,
        stddev_us: time.stddev,
        median_us: Some(time.median),
        median_ci95: time.ci95,
        share_pct: share.value,
        share_ci95: share.ci95,
    }
}

/// One batch, at which phases take `slower` times as long as usual, and all of it once more `drift` times.
fn point(batch: usize, drift: f64, slower: Slower, rng: &mut StdRng) -> Point {
    const SAMPLES: usize = 10;
    let phases = phases();
    let mut durations = vec![Vec::new(); phases.len()];
    for _ in 0..SAMPLES {
        let step = drift * (1.0 + NOISE * unit(rng));
        for (durations, &(layer, phase, usual)) in durations.iter_mut().zip(&phases) {
            durations.push(usual * slower(layer, phase) * step * (1.0 + NOISE * unit(rng)));
        }
    }
    let sum = |of: &dyn Fn(usize, Phase) -> bool| -> Vec<f64> {
        let sum = |step: usize| {
            phases
                .iter()
                .zip(&durations)
                .filter(|((layer, phase, _), _)| of(*layer, *phase))
                .map(|(_, d)| d[step])
                .sum()
        };
        (0..SAMPLES).map(sum).collect()
    };
    let steps = sum(&|_, _| true);
    let parts = phases.iter().zip(&durations).map(|(&(layer, phase, _), durations)| LayerPart {
        index: layer as u32,
        layer: format!("layer{layer}").into(),
        kind: "conv".into(),
        group: group(layer),
        phase,
        flops: 1,
        bytes: 1,
        parameters: 1,
        figures: figures(durations, &steps),
    });
    let in_scope = |scope: Scope, layer: usize, phase: Phase| {
        scope.group.is_none_or(|wanted| wanted == group(layer)) && scope.phase.is_none_or(|wanted| wanted == phase)
    };
    let scopes = Scope::every().filter(|&scope| phases.iter().any(|&(layer, phase, _)| in_scope(scope, layer, phase)));
    let totals = scopes.map(|scope| {
        let durations = sum(&|layer, phase| in_scope(scope, layer, phase));
        Total { scope, figures: figures(&durations, &steps) }
    });
    Point {
        batch,
        image: "224x224".into(),
        ranks: 1,
        status: Status::Ok,
        parts: parts.collect(),
        totals: totals.collect(),
        step: StepColumns::default(),
        grouped: Vec::new(),
        record: None,
    }
}

fn run(name: &str, batches: &[usize], drift: f64, slower: Slower, rng: &mut StdRng) -> Run {
    let points = batches.iter().map(|&batch| point(batch, drift, slower, rng)).collect();
    let origin =
        Origin::Measured { device: "d".into(), layout: "nchw".into(), launch: "queued".into(), measurement: None };
    let (run_id, model, precision) = (name.into(), "m".into(), "f32".into());
    Run { path: "r".into(), run_id, model, precision, origin, header: None, points }
}

/// The verdicts of many comparisons, in each `runs` runs a side, which differ by `between_runs`.
fn comparisons(
    count: usize,
    batches: &[usize],
    runs: usize,
    between_runs: f64,
    settings: &CompareSettings,
    slower: Slower,
) -> Vec<Comparison> {
    let rng = &mut StdRng::seed_from_u64(7);
    let mut side = |slower: Slower| {
        let runs = (0..runs).map(|index| {
            let drift = 1.0 + between_runs * unit(rng);
            run(&format!("run{index}"), batches, drift, slower, rng)
        });
        Side::new("A", runs.collect()).unwrap()
    };
    (0..count).map(|_| Comparison::of(&side(&|_, _| 1.0), &side(slower), settings).unwrap()).collect()
}

/// Without a margin no false alarm is called off for being small.
fn settings(clocks_fixed: bool, margin: f64) -> CompareSettings {
    CompareSettings { batches: Vec::new(), margin: Some(margin), min_share: 0.005, clocks_fixed }
}

fn percent(hits: usize, of: usize) -> f64 {
    100.0 * hits as f64 / of as f64
}

#[test]
fn equal_runs_are_called_different_in_at_most_5_percent_of_comparisons() {
    const COUNT: usize = 1_000;
    let cases: BTreeMap<&str, (usize, f64, bool)> = BTreeMap::from([
        ("times, one run each", (1, 0.0, true)),
        ("shares, one run each", (1, 0.0, false)),
        ("times, four runs each that differ by 1 %", (4, 0.01, true)),
    ]);
    for (name, (runs, between_runs, clocks_fixed)) in cases {
        let count = COUNT / runs;
        let found = comparisons(count, &[8], runs, between_runs, &settings(clocks_fixed, 0.0), &|_, _| 1.0);
        let alarm = |comparison: &&Comparison| {
            comparison.lines().any(|line| matches!(line.verdict, Some(Verdict::Faster | Verdict::Slower)))
        };
        let rows = found[0].lines().filter(|line| line.verdict.is_some()).count();
        let alarms = percent(found.iter().filter(alarm).count(), count);
        println!("{name}: {rows} rows, false alarms in {alarms:.1} % of comparisons");
        assert!(rows > 50 && found.iter().any(|comparison| comparison.left_out > 0));
        assert!(alarms <= 5.0, "{name}: {alarms} %");
    }
}

/// How often this row of the table says SLOWER at batch 8.
fn found(batches: &[usize], of: &Subject, slower: Slower) -> f64 {
    const COUNT: usize = 500;
    let comparisons = comparisons(COUNT, batches, 1, 0.0, &settings(true, 0.02), slower);
    let line = |comparison: &Comparison| {
        comparison
            .lines()
            .any(|line| line.key.of == *of && line.key.batch == 8 && line.verdict == Some(Verdict::Slower))
    };
    percent(comparisons.iter().filter(|comparison| line(comparison)).count(), COUNT)
}

#[test]
fn a_step_that_is_5_percent_slower_is_found_at_ten_samples() {
    for batches in [&[8][..], &[1, 2, 4, 8, 16, 32]] {
        let step = found(batches, &Subject::Total(Scope::STEP), &|_, _| 1.05);
        println!("the step, {} batches compared: {step:.1} %", batches.len());
        assert!(step >= 90.0, "{step} %");
    }
}

/// One row alone among all has to pass the whole correction; here it varies by 2.8 %, with its step and by itself.
#[test]
fn a_single_phase_that_is_10_percent_slower_is_found_at_ten_samples() {
    let (layer, phase) = CHANGED;
    let of = Subject::Layer(format!("layer{layer}").into(), group(layer), phase);
    let [less, more] = [1.05, 1.10].map(|ratio| found(&[8], &of, &|l, p| if (l, p) == CHANGED { ratio } else { 1.0 }));
    println!("one phase: 5 % slower {less:.1} %, 10 % slower {more:.1} %");
    assert!(more >= 90.0, "{more} %");
}
