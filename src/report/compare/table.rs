//! A comparison as text, within 80 columns.

use super::{Compared, Comparison, Judged, Subject};
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::summary::Scope;
use crate::report::table::{Room, Table, numbers, words, wrapped};
use crate::stats::{Difference, Verdict};

/// Preface, tables, and what the verdicts mean.
pub fn text(comparison: &Comparison, room: Room) -> String {
    // Its prose is long, and broken into lines in a pipe too.
    let room = if room == Room::Pipe { Room::Terminal } else { room };
    let mut text = wrapped(&differs(comparison, room), room) + "\n";
    comparison.preface.iter().for_each(|statement| text += &format!("{}\n", wrapped(statement, room)));
    text += "\nThe step and its groups: ms of A and of B, share of the step in %\n";
    for lines in comparison.wholes.chunk_by(|one, next| one.key.image == next.key.image) {
        text += &section(format!("image {}", lines[0].key.image), &["batch", "group"], lines, comparison.judged, room);
    }
    let point = |line: &Compared| (line.key.image.clone(), line.key.batch);
    for lines in comparison.details.chunk_by(|one, next| point(one) == point(next)) {
        let key = &lines[0].key;
        text += &section(
            format!("Phases and layers at batch {}, image {}", key.batch, key.image),
            &["layer", "phase"],
            lines,
            comparison.judged,
            room,
        );
    }
    text + "\n" + &wrapped(&method(comparison), room) + "\n"
}

/// The differences that matter most, and how many more there are.
pub fn differs(comparison: &Comparison, room: Room) -> String {
    const MOST: usize = 3;
    let all = &comparison.differences;
    match (all.len().saturating_sub(MOST), room) {
        _ if all.is_empty() => "Differs: nothing that the files tell.".into(),
        (more @ 1.., Room::Terminal | Room::Pipe) => {
            format!("Differs (A | B): {}; and {more} more: --wide lists them.", all[..MOST].join("; "))
        }
        (_, Room::Terminal | Room::Pipe | Room::Wide) => format!("Differs (A | B): {}.", all.join("; ")),
    }
}

fn section(title: String, names: &[&str; 2], lines: &[Compared], judged: Judged, room: Room) -> String {
    let by_batch = names[0] == "batch";
    let row = |line: &Compared| {
        let [first, second] = match &line.key.of {
            Subject::Total(scope) if by_batch => {
                [line.key.batch.to_string(), scope.group.map_or("step", Group::name).into()]
            }
            Subject::Total(scope) => [format!("all {}", scope.group.map_or("layers", Group::name)), phase(scope.phase)],
            Subject::Layer(layer, _, of) => [layer.to_string(), phase(Some(*of))],
        };
        let mut cells = vec![first, second];
        cells.extend(line.times_us.map(|us| format!("{:.3}", us / 1e3)));
        cells.push(ratio(line, judged, room));
        cells.extend(line.share_pct.map(|share| format!("{share:.1}")));
        cells.push(points(line, judged, room));
        cells.push(line.verdict.map_or("-", |verdict| word(verdict, judged)).into());
        cells
    };
    let figures = ["A ms", "B ms", "B/A", "A %", "B %", "B - A"].map(numbers);
    let header = names.map(words).into_iter().chain(figures).chain([words("verdict")]).collect();
    format!("\n{}", Table::new(title, header, lines.iter().map(row)).text(room))
}

fn phase(phase: Option<Phase>) -> String {
    phase.map_or("all", Phase::name).replace("backward_", "")
}

/// With its interval where it is judged.
fn ratio(line: &Compared, judged: Judged, room: Room) -> String {
    match line.time {
        Some(time) if judged == Judged::Times => with_interval(time, f64::exp, &|ratio| format!("{ratio:.3}"), room),
        Some(_) | None => format!("{:.3}", line.ratio()),
    }
}

fn points(line: &Compared, judged: Judged, room: Room) -> String {
    match line.share {
        _ if line.key.of == Subject::Total(Scope::STEP) => "-".into(),
        Some(share) if judged == Judged::Shares => {
            with_interval(share, |points| points, &|points| format!("{points:+.2}"), room)
        }
        Some(_) | None => format!("{:+.2}", line.share_pct[1] - line.share_pct[0]),
    }
}

/// A value with the ends of its interval, or with the distance to the further one.
fn with_interval(difference: Difference, of: fn(f64) -> f64, show: &dyn Fn(f64) -> String, room: Room) -> String {
    let value = of(difference.value());
    let interval = difference.ci95().map_or(String::new(), |ends| {
        let (low, high) = (of(ends.low), of(ends.high));
        match room {
            Room::Terminal | Room::Pipe => {
                format!(" ±{}", show((high - value).max(value - low)).trim_start_matches('+'))
            }
            Room::Wide => format!(" [{}, {}]", show(low), show(high)),
        }
    });
    show(value) + &interval
}

/// How B stands to A. Of a share nobody is faster.
pub fn word(verdict: Verdict, judged: Judged) -> &'static str {
    match (verdict, judged) {
        (Verdict::Same, _) => "SAME",
        (Verdict::Faster, Judged::Times) => "FASTER",
        (Verdict::Slower, Judged::Times) => "SLOWER",
        (Verdict::Faster, Judged::Shares) => "LESS",
        (Verdict::Slower, Judged::Shares) => "MORE",
        (Verdict::Unclear, _) => "UNCLEAR",
    }
}

fn method(comparison: &Comparison) -> String {
    let margin = 100.0 * comparison.margin;
    let (what, words, within) = match comparison.judged {
        Judged::Times => (
            "ln of mean and median time, each with half of the error",
            "FASTER or SLOWER is B, different from A",
            format!("{margin} %"),
        ),
        Judged::Shares => {
            ("the share of the step", "LESS or MORE is B's share, different from A's", format!("{margin} points"))
        }
    };
    let judged = |lines: &[Compared]| lines.iter().filter(|line| line.verdict.is_some()).count();
    let (wholes, details) = (judged(&comparison.wholes), judged(&comparison.details));
    let left_out = match comparison.left_out {
        0 => String::new(),
        rows => format!(
            " {rows} rows below {} % of the step are left out: --min-share 0% shows them.",
            100.0 * comparison.min_share
        ),
    };
    format!(
        "Times are means or medians, whichever differ more clearly; intervals are 95 %, each by itself. {words} by Welch's t-test (1947) on {what}; SAME is shown to be \
         within {within} by two one-sided tests (Schuirmann 1987); UNCLEAR is neither. Corrected for {wholes} rows of \
         the step and its groups and {details} of phases and layers (Holm 1979), with half of the error each: in 95 % of \
         comparisons no verdict of a difference is false, and in 95 % none of SAME.{left_out}"
    )
}
