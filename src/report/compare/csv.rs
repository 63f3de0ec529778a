//! A comparison as CSV: one row per row of the table.

use anyhow::Result;

use super::table::word;
use super::{Compared, Comparison, Judged, Statistic, Subject};
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::report::csv;
use crate::report::rows::columns::optional;
use crate::report::rows::{Column, Row};
use crate::stats::Difference;

/// One row of the table.
#[derive(Default)]
pub struct ComparedRow {
    batch: usize,
    image: String,
    layer: String,
    group: String,
    phase: String,
    statistic: String,
    times_us: [f64; 2],
    time_ratio: f64,
    time_ratio_ci95: [Option<f64>; 2],
    shares_pct: [f64; 2],
    share_difference_pct: f64,
    share_difference_ci95_pct: [Option<f64>; 2],
    judged: String,
    verdict: Option<String>,
}

const NO_INTERVAL: &str = "where a side has no interval";

impl Row for ComparedRow {
    const FILE: &'static str = "compare --csv";

    #[rustfmt::skip]
    fn columns() -> Vec<Column<ComparedRow>> {
        vec![
            optional("batch", "images", "images per step", "", |row| &mut row.batch),
            optional("image", "pixels", "image size, height x width", "", |row| &mut row.image),
            optional("layer", "name", "the layer; `all` in a total", "", |row| &mut row.layer),
            optional("group", "word", "conv, fc or other; `all` in a total over groups", "", |row| &mut row.group),
            optional("phase", "word", "as in phases.csv; `all` in a total over phases", "", |row| &mut row.phase),
            optional("statistic", "word", "mean or median, whichever differ more clearly", "", |row| &mut row.statistic),
            optional("a_us", "µs", "A's time; of several runs the geometric mean", "", |row| &mut row.times_us[0]),
            optional("b_us", "µs", "B's time", "", |row| &mut row.times_us[1]),
            optional("time_ratio", "ratio", "B's time over A's", "", |row| &mut row.time_ratio),
            optional("time_ratio_ci95_low", "ratio", "lower end of its 95 % interval", NO_INTERVAL, |row| &mut row.time_ratio_ci95[0]),
            optional("time_ratio_ci95_high", "ratio", "upper end of its 95 % interval", NO_INTERVAL, |row| &mut row.time_ratio_ci95[1]),
            optional("a_share_pct", "% of the step", "A's share", "", |row| &mut row.shares_pct[0]),
            optional("b_share_pct", "% of the step", "B's share", "", |row| &mut row.shares_pct[1]),
            optional("share_difference_pct", "points", "B's share less A's", "", |row| &mut row.share_difference_pct),
            optional("share_difference_ci95_low_pct", "points", "lower end of its 95 % interval", NO_INTERVAL, |row| &mut row.share_difference_ci95_pct[0]),
            optional("share_difference_ci95_high_pct", "points", "upper end of its 95 % interval", NO_INTERVAL, |row| &mut row.share_difference_ci95_pct[1]),
            optional("judged", "word", "what the verdict is about: times or shares", "", |row| &mut row.judged),
            optional("verdict", "word", "SAME, FASTER, SLOWER or UNCLEAR; of shares LESS and MORE in place of FASTER and SLOWER", "where nothing is judged", |row| &mut row.verdict),
        ]
    }

    fn blank() -> ComparedRow {
        ComparedRow::default()
    }
}

/// The comparison as CSV, with its header.
pub fn text(comparison: &Comparison) -> Result<Vec<u8>> {
    let mut text = csv::header::<ComparedRow>().into_bytes();
    text.extend(csv::lines(comparison.lines().map(|line| row(line, comparison.judged)))?);
    Ok(text)
}

fn row(line: &Compared, judged: Judged) -> ComparedRow {
    const ALL: &str = "all";
    let (layer, group, phase) = match &line.key.of {
        Subject::Total(scope) => (ALL, scope.group.map_or(ALL, Group::name), scope.phase.map_or(ALL, Phase::name)),
        Subject::Layer(layer, group, phase) => (&**layer, group.name(), phase.name()),
    };
    let ends = |difference: Option<Difference>, value: fn(f64) -> f64| {
        let ends = difference.and_then(|difference| difference.ci95());
        [ends.map(|ends| rounded(value(ends.low))), ends.map(|ends| rounded(value(ends.high)))]
    };
    ComparedRow {
        batch: line.key.batch,
        image: line.key.image.to_string(),
        layer: layer.into(),
        group: group.into(),
        phase: phase.into(),
        statistic: match line.statistic {
            Statistic::Mean => "mean",
            Statistic::Median => "median",
        }
        .into(),
        times_us: line.times_us.map(rounded),
        time_ratio: rounded(line.ratio()),
        time_ratio_ci95: ends(line.time, f64::exp),
        shares_pct: line.share_pct.map(rounded),
        share_difference_pct: rounded(line.share_pct[1] - line.share_pct[0]),
        share_difference_ci95_pct: ends(line.share, |points| points),
        judged: match judged {
            Judged::Times => "times",
            Judged::Shares => "shares",
        }
        .into(),
        verdict: line.verdict.map(|verdict| word(verdict, judged).into()),
    }
}

/// Rounds to six decimals, as in the run's own files.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
