//! Judges the ceilings of a run by its phases: none can be far above what is measured well.

use super::run::{LayerPart, Point, Run};
use crate::plan::{Cost, Roofline};

/// Winograd's least multiplications are a quarter of the direct count (F(4x4, 3x3): 36 of 144), so that a convolution may be four
/// times as quick as the ceiling; everything else as quick as the ceiling, but for its spread.
const BY_ALGORITHM: f64 = 4.5;
const BY_SPREAD: f64 = 1.5;

/// Ceilings are doubted when phases that take this part of a step, in percent, are too far above them.
const MUCH: f64 = 10.0;

/// Says that the ceilings look wrong, and why; `None` where they do not, and of predictions, which have a datasheet's.
pub fn of_ceilings(run: &Run) -> Option<String> {
    if run.is_predicted() {
        return None;
    }
    let roofline = run.header.as_ref()?.roofline();
    let share = |point: &Point| -> f64 {
        point.parts.iter().filter(|part| is_above(part, roofline)).map(|part| part.figures.share_pct).sum()
    };
    let shares = run.points.iter().map(|point| (point.batch, share(point)));
    let (batch, share) = shares.max_by(|one, other| one.1.total_cmp(&other.1)).filter(|(_, share)| *share > MUCH)?;
    Some(format!(
        "the ceilings look too low: phases that take {share:.0} % of the step at batch {batch} are far above them, as when other \
         programs ran while they were measured. Times and shares do not depend on them; bound, roof_pct and the roofline do"
    ))
}

/// Tells if a phase is quicker than the ceilings allow. Few bytes may be so by a cache.
fn is_above(part: &LayerPart, roofline: Roofline) -> bool {
    let cost = Cost { macs: 0, flops: part.flops, bytes: part.bytes };
    let us = part.figures.median_us.unwrap_or(part.figures.mean_us);
    let (compute_us, memory_us) = (roofline.compute_us(cost), roofline.memory_us(cost));
    let by_algorithm = if &*part.kind == "conv" { BY_ALGORITHM } else { BY_SPREAD };
    let uncached = roofline.cached_bytes > 0 && part.bytes >= roofline.cached_bytes;
    compute_us > by_algorithm * us || (uncached && memory_us > BY_SPREAD * us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    /// By hand: 1000 FLOP/µs and 100 bytes/µs, conv1's forward takes 11 µs of 50, 22 %; others less.
    fn doubt(flops: u64, bytes: u64, kind: &str, copied: Option<u64>) -> Option<String> {
        let (_out, folder) = fixture::folder(fixture::run(false), [fixture::measured(2)]);
        let mut run = folder.run().clone();
        fixture::header(&mut run).ceilings.copied_bytes = copied;
        let part = &mut run.points[0].parts[0];
        (part.flops, part.bytes, part.kind) = (flops, bytes, kind.into());
        of_ceilings(&run)
    }

    #[test]
    fn phases_far_above_the_ceilings() {
        // 11 µs for what takes 49 by the ceiling are Winograd's; for 60 they are not.
        assert_eq!(doubt(49_000, 1, "conv", None), None);
        let found = doubt(60_000, 1, "conv", None).unwrap();
        assert!(found.contains("phases that take 22 % of the step at batch 2 are far above them"), "{found}");
        assert!(doubt(20_000, 1, "fc", None).is_some());
        // 2000 bytes take 20 µs by the ceiling; a cache may have them, but not one of 1000 bytes.
        assert_eq!(doubt(1, 2_000, "fc", Some(2_001)), None);
        assert!(doubt(1, 2_000, "fc", Some(1_000)).is_some());
        assert_eq!(doubt(1, 2_000, "fc", None), None);
    }

    #[test]
    fn a_doubt_stands_wherever_notes_do() {
        let (_out, folder) = fixture::folder(fixture::run(false), [fixture::measured(2)]);
        let mut run = folder.run().clone();
        run.points[0].parts[0].flops = 60_000;
        let wanted = of_ceilings(&run).unwrap();
        assert!(crate::report::run_tables::notes(&run).contains(&wanted));
        assert_eq!(crate::report::run_file::RunFile::of(&run).unwrap().ceilings_doubt, Some(wanted));
    }
}
