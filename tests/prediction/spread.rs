//! The spread of errors on what the fit has not seen, and how often intervals made of it hold.

use layertime::model::kind::Group;
use layertime::plan::Phase;
use layertime::predict::constants::{ByPhase, Programs};
use layertime::predict::spread::{Part, Sensitivity};
use layertime::predict::time::GpuRates;
use layertime::predict::work::Does;
use layertime::predict::{Constants, Program, Spread};

use super::errors::{GENERATIONS, of_acceptance, quantile};
use super::fit::is_step;
use super::published::{Of, Row};
use super::{Outcome, outcome};

/// Standard deviations in a normal distribution's two-sided 90 %.
const NORMAL_90: f64 = 1.645;

fn is_single(row: &Row) -> bool {
    matches!(row.of, Of::Conv(_) | Of::Gemm)
}

/// The row's phases as the spread sees them, with the fit's own times.
fn weights(constants: &Constants, row: &Row) -> Sensitivity {
    let machine = GpuRates::new(constants, &row.question());
    let mut parts = Vec::new();
    for (work, times) in &row.works {
        let group = match work.does {
            Does::Conv(..) => Group::Conv,
            Does::Gemm(_) => Group::Fc,
            Does::Move(_) | Does::BehindNorm | Does::Update => Group::Other,
        };
        let part = Part { us: machine.time(work).us, group, phase: work.phase, within: true };
        parts.extend(std::iter::repeat_n(part, *times as usize));
    }
    Sensitivity::of_sum(&parts)
}

/// The part of the rows whose error lies within so many standard deviations.
fn covered(rows: &[(&Row, Sensitivity, f64)], spread: Spread, deviations: f64) -> f64 {
    let holds = |(row, weights, error): &&(&Row, Sensitivity, f64)| {
        error.abs() <= deviations * spread.on(&row.gpu, row.program).of_sum(weights)
    };
    rows.iter().filter(holds).count() as f64 / rows.len() as f64
}

/// The value at which a rising function reaches a target.
fn root(target: f64, rising: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (0.0, 4.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if rising(middle) < target { low = middle } else { high = middle }
    }
    high
}

fn rows_where(outcome: &Outcome, keep: impl Fn(&Row) -> bool) -> Vec<(&Row, Sensitivity, f64)> {
    let rows = outcome.rows.iter().zip(&outcome.by_chip).filter(|(row, _)| keep(row));
    let constants = outcome.fit.constants();
    rows.map(|(row, error)| (row, weights(&constants, row), *error)).collect()
}

/// Root of the mean square over chips of the median error in a kind.
fn shared(outcome: &Outcome, keep: impl Fn(&Row) -> bool) -> f64 {
    let mut by_chip = std::collections::BTreeMap::<&str, Vec<f64>>::new();
    for (row, error) in outcome.rows.iter().zip(&outcome.by_chip).filter(|(row, _)| keep(row)) {
        by_chip.entry(row.chip()).or_default().push(*error);
    }
    let medians = by_chip.into_values().map(|errors| quantile(errors, 0.5));
    let squares: Vec<f64> = medians.map(|median| median * median).collect();
    (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
}

/// Rows of a program at which half of what sets it apart is taken for true.
const ALIKE: f64 = 100.0;

/// From the errors that are left out by chip.
pub fn fitted(outcome: &Outcome) -> Spread {
    let conv = |phase| shared(outcome, |row| row.of == Of::Conv(phase));
    let q90 = |keep: &dyn Fn(&Row) -> bool| {
        let errors = outcome.rows.iter().zip(&outcome.by_chip).filter(|(row, _)| keep(row));
        quantile(errors.map(|(_, error)| error.abs()).collect(), 0.9)
    };
    let all = q90(&is_step);
    let of_program = |program: Program| {
        let is_its = |row: &Row| is_step(row) && row.program == program;
        let rows = outcome.rows.iter().filter(|row| is_its(row)).count() as f64;
        // As though so many rows more lay as those of all programs do.
        if rows > 0.0 { (q90(&is_its) / all).powf(rows / (rows + ALIKE)) } else { 1.0 }
    };
    let measured = |row: &Row| row.generation().is_measured();
    let mut spread = Spread {
        step: 0.1,
        program: Programs::each(of_program),
        conv: ByPhase {
            forward: conv(Phase::Forward),
            backward_data: conv(Phase::BackwardData),
            backward_weights: conv(Phase::BackwardWeights),
        },
        gemm: shared(outcome, |row| row.of == Of::Gemm),
        // Timed by itself on one card only: taken as the widest of the others.
        other: 0.0,
        single: 0.1,
        neighbour: (q90(&|row| is_step(row) && !measured(row)) / q90(&|row| is_step(row) && measured(row))).max(1.1),
        tail: 1.0,
    };
    spread.other = [spread.conv.forward, spread.conv.backward_data, spread.conv.backward_weights, spread.gemm]
        .into_iter()
        .fold(0.0, f64::max);
    let (steps, singles) = (rows_where(outcome, is_step), rows_where(outcome, is_single));
    for _ in 0..5 {
        spread.single = root(0.9, |single| covered(&singles, Spread { single, ..spread }, NORMAL_90));
        spread.step = root(0.9, |step| covered(&steps, Spread { step, ..spread }, NORMAL_90));
    }
    let all: Vec<_> = steps.into_iter().chain(singles).collect();
    spread.tail = root(0.95, |tail| covered(&all, spread, 1.96 * tail)).max(1.0);
    spread
}

/// Rows that suffice to tell how often intervals hold.
const MANY: f64 = 60.0;

/// Intervals of 90 % hold 85 to 95 % of what is left out, steps and single layers, and steps in each generation.
#[test]
fn intervals_of_90_percent_hold_as_often_as_they_say() {
    let outcome = outcome();
    let spread = Spread::fitted();
    let check = |what: &str, keep: &dyn Fn(&Row) -> bool| {
        let rows = rows_where(outcome, keep);
        let part = covered(&rows, spread, NORMAL_90);
        println!("{what}: {:.1} % of {}", 100.0 * part, rows.len());
        (part, rows.len() as f64)
    };
    let between = |(part, _): (f64, f64)| (0.85..=0.95).contains(&part);
    let steps = between(check("whole steps", &is_step));
    let acceptance = "whole steps of AlexNet, VGG, ResNet and Inception up to Ampere";
    let acceptance = between(check(acceptance, &of_acceptance));
    let singles = between(check("single layers", &is_single));
    for phase in super::published::NO_UPDATE {
        check(&format!("convolutions {}", phase.name()), &|row| row.of == Of::Conv(phase));
    }
    check("products", &|row| row.of == Of::Gemm);
    for generation in GENERATIONS {
        let of = |row: &Row| is_step(row) && row.generation() == generation;
        let (part, rows) = check(&format!("whole steps on {generation:?}"), &of);
        // A row more or less is more than a percent.
        let holds = part * rows > 0.85 * rows - 1.1 && part * rows < 0.95 * rows + 1.1;
        assert!(rows < MANY || holds, "{generation:?}: {:.1} %", 100.0 * part);
    }
    assert!(steps && acceptance && singles);
}
