//! A comparison as CSV: one row per row of the table.

use anyhow::Result;
use serde::Serialize;

use super::table::word;
use super::{Comparison, Judged, Line, Of, Statistic};
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::stats::Difference;

#[derive(Serialize)]
struct Record<'a> {
    batch: usize,
    image: &'a str,
    layer: &'a str,
    group: &'a str,
    phase: &'a str,
    statistic: &'a str,
    a_us: f64,
    b_us: f64,
    time_ratio: f64,
    time_ratio_ci95_low: Option<f64>,
    time_ratio_ci95_high: Option<f64>,
    a_share_pct: f64,
    b_share_pct: f64,
    share_difference_pct: f64,
    share_difference_ci95_low_pct: Option<f64>,
    share_difference_ci95_high_pct: Option<f64>,
    judged: &'a str,
    verdict: Option<&'a str>,
}

/// With its header.
pub fn text(comparison: &Comparison) -> Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in comparison.lines() {
        writer.serialize(record(line, comparison.judged))?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

fn record(line: &Line, judged: Judged) -> Record<'_> {
    const ALL: &str = "all";
    let (layer, group, phase) = match &line.key.of {
        Of::Total(scope) => (ALL, scope.group.map_or(ALL, Group::name), scope.phase.map_or(ALL, Phase::name)),
        Of::Layer(layer, group, phase) => (&**layer, group.name(), phase.name()),
    };
    let ends = |difference: Option<Difference>, value: fn(f64) -> f64| {
        let ends = difference.and_then(|difference| difference.ci95());
        [ends.map(|ends| rounded(value(ends.low))), ends.map(|ends| rounded(value(ends.high)))]
    };
    let time = ends(line.time, f64::exp);
    let share = ends(line.share, |points| points);
    Record {
        batch: line.key.batch,
        image: &line.key.image,
        layer,
        group,
        phase,
        statistic: match line.statistic {
            Statistic::Mean => "mean",
            Statistic::Median => "median",
        },
        a_us: rounded(line.times_us[0]),
        b_us: rounded(line.times_us[1]),
        time_ratio: rounded(line.ratio()),
        time_ratio_ci95_low: time[0],
        time_ratio_ci95_high: time[1],
        a_share_pct: rounded(line.share_pct[0]),
        b_share_pct: rounded(line.share_pct[1]),
        share_difference_pct: rounded(line.share_pct[1] - line.share_pct[0]),
        share_difference_ci95_low_pct: share[0],
        share_difference_ci95_high_pct: share[1],
        judged: match judged {
            Judged::Times => "times",
            Judged::Shares => "shares",
        },
        verdict: line.verdict.map(|verdict| word(verdict, judged)),
    }
}

/// To six decimals, as in the run's own files.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
