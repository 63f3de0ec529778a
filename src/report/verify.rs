//! The text that `layertime verify` prints: every comparison in the step's order, and the worst in a last line.

use super::run_tables::NONE;
use super::table::{self, Room, Table, words, wrapped};
use crate::verify::{Check, Report};

/// All comparisons of a report, and the verdict. Ends with a line break.
pub fn text(report: &Report, room: Room) -> String {
    let rows = report.rows.iter().map(|row| {
        let phase = row.phase.map_or("whole step", |phase| phase.name());
        let verdict = if row.passes() { "ok" } else { "FAIL" };
        let algorithm = row.algorithm.as_deref().unwrap_or(NONE);
        let words = [&row.layer, phase, &row.tensor, algorithm, verdict];
        words.map(String::from).into_iter().chain(numbers(row)).collect()
    });
    let Report { model, batch, image: [h, w], device, precision, reference, .. } = report;
    let caption = format!("{model}, batch {batch}, image {h}x{w}, {precision} on {device}, against {reference}");
    let header = ["layer", "phase", "tensor", "algorithm", ""]
        .map(words)
        .into_iter()
        .chain(["error", "bound"].map(table::numbers));
    Table::new(caption, header.collect(), rows).text(room) + "\n" + &wrapped(&verdict(report), room) + "\n"
}

fn numbers(row: &Check) -> [String; 2] {
    [format!("{:.1e}", row.error), format!("{:.0e}", row.bound)]
}

fn verdict(report: &Report) -> String {
    let Some(worst) = report.worst() else { return "nothing to compare".into() };
    let compared = report.rows.len();
    let failed = report.failures().count();
    let phase = worst.phase.map_or("whole step", |phase| phase.name());
    let [error, bound] = numbers(worst);
    let nearest = format!("{} of {}, {phase}: {error} of {bound}", worst.tensor, worst.layer);
    match failed {
        0 => format!("PASS: {compared} comparisons within their bounds; the nearest to its bound is {nearest}"),
        _ => format!("FAIL: {failed} of {compared} comparisons over their bounds; the worst is {nearest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Phase;
    use crate::plan::Precision;

    fn report(errors: &[f64]) -> Report {
        let rows = errors.iter().map(|&error| Check {
            layer: "conv1".into(),
            phase: Some(Phase::Forward),
            tensor: "output.conv1".into(),
            error,
            bound: 1e-5,
            algorithm: Some("engine 7 k2=3 sm80_xmma_fprop_implicit_gemm".into()),
        });
        Report {
            model: "tiny".into(),
            batch: 2,
            image: [16, 16],
            device: "a processor".into(),
            precision: Precision::F32,
            reference: "f64".into(),
            rows: rows.collect(),
        }
    }

    #[test]
    fn passing_names_the_nearest_to_its_bound() {
        let text = text(&report(&[2e-7, 3e-6]), Room::Wide);
        assert!(text.starts_with("tiny, batch 2, image 16x16, f32 on a processor, against f64\n"));
        assert!(text.ends_with("PASS: 2 comparisons within their bounds; the nearest to its bound is output.conv1 of conv1, forward: 3.0e-6 of 1e-5\n"), "{text}");
    }

    #[test]
    fn failing_names_the_worst() {
        let text = text(&report(&[2e-7, f64::NAN, 1e-4]), Room::Wide);
        assert!(
            text.contains(
                "FAIL: 2 of 3 comparisons over their bounds; the worst is output.conv1 of conv1, forward: NaN"
            ),
            "{text}"
        );
    }

    #[test]
    fn each_row_names_its_algorithm() {
        let mut report = report(&[2e-7, 3e-6]);
        report.rows[1].algorithm = None;
        let wide = text(&report, Room::Wide);
        assert!(wide.contains("  engine 7 k2=3 sm80_xmma_fprop_implicit_gemm  ok  2.0e-7   1e-5\n"), "{wide}");
        assert!(wide.contains("  output.conv1  -  "), "{wide}");
        let narrow = text(&report, Room::Terminal);
        assert!(
            narrow.contains("  engine 7 k2=3 sm80") && narrow.lines().all(|line| line.chars().count() <= 80),
            "{narrow}"
        );
    }

    #[test]
    fn long_names_fit_in_a_terminal() {
        let mut long = report(&[2e-7]);
        long.rows[0].tensor = "output.".to_owned() + &"c".repeat(100);
        let text = text(&long, Room::Terminal);
        assert!(
            text.lines().filter(|line| !line.contains(&"c".repeat(80))).all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(text.contains("conv1  forward  output.ccc") && text.contains("…  ok"), "{text}");
    }
}
