//! Conv or fc? One or two sentences that a person can quote, and where the answer turns.

use serde::{Deserialize, Serialize};

use super::rows::SummaryRow;
use crate::model::kind::Group;
use crate::profile::Status;

/// Where conv and fc take the same share of the step, between two neighbouring measured batch sizes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossover {
    pub image: String,
    /// Interpolated linearly on log(batch).
    pub batch: f64,
    /// Who takes more below this batch size; the other does above.
    pub leads_below: Group,
}

/// All crossovers, by image in the order of the rows, then by batch.
pub fn crossovers(rows: &[SummaryRow]) -> Vec<Crossover> {
    images(rows).into_iter().flat_map(|image| crossovers_at(rows, image)).collect()
}

/// One sentence per image size; says so where no batch was measured.
pub fn sentences(rows: &[SummaryRow]) -> Vec<String> {
    let images = images(rows);
    if images.is_empty() {
        return vec!["No batch was measured.".into()];
    }
    let several = images.len() > 1;
    images.into_iter().map(|image| sentence(rows, image, several)).collect()
}

/// Image sizes in the order in which they come.
pub(super) fn images(rows: &[SummaryRow]) -> Vec<&str> {
    let mut images: Vec<&str> = Vec::new();
    for row in rows {
        if !images.contains(&row.image.as_str()) {
            images.push(&row.image);
        }
    }
    images
}

/// The steps' rows of one image that have figures, by batch.
fn measured<'a>(rows: &'a [SummaryRow], image: &str) -> Vec<&'a SummaryRow> {
    let mut steps: Vec<&SummaryRow> =
        rows.iter().filter(|row| row.is_step() && row.image == image && row.mean_us.is_some()).collect();
    steps.sort_by_key(|row| row.batch);
    steps
}

/// A group's row beside the step's row; a group without layers has none.
fn group<'a>(rows: &'a [SummaryRow], step: &SummaryRow, group: Group) -> Option<&'a SummaryRow> {
    rows.iter().find(|row| {
        (row.batch, &row.image) == (step.batch, &step.image) && row.group == Some(group) && row.phase.is_none()
    })
}

/// Of measured steps by batch: the largest that is ok, else the last.
pub fn largest<'a>(steps: &[&'a SummaryRow]) -> Option<&'a SummaryRow> {
    let fine = steps.iter().rfind(|step| matches!(step.status, Status::Ok | Status::Predicted));
    fine.or(steps.last()).copied()
}

fn share(rows: &[SummaryRow], step: &SummaryRow, of: Group) -> f64 {
    group(rows, step, of).and_then(|row| row.share.share_pct).unwrap_or(0.0)
}

fn crossovers_at(rows: &[SummaryRow], image: &str) -> Vec<Crossover> {
    let leads: Vec<(f64, f64)> = measured(rows, image)
        .into_iter()
        .map(|step| (step.batch as f64, share(rows, step, Group::Conv) - share(rows, step, Group::Fc)))
        .collect();
    let pairs = leads.iter().zip(leads.iter().skip(1));
    pairs
        .filter(|((_, below), (_, above))| (*below < 0.0) != (*above < 0.0))
        .map(|(&(low, below), &(high, above))| Crossover {
            image: image.into(),
            batch: low * (high / low).powf(below / (below - above)),
            leads_below: if below < 0.0 { Group::Fc } else { Group::Conv },
        })
        .collect()
}

fn sentence(rows: &[SummaryRow], image: &str, several_images: bool) -> String {
    let steps = measured(rows, image);
    let at_image = if several_images { format!(", image {image}") } else { String::new() };
    let Some(step) = largest(&steps) else {
        return format!("No batch could be measured{at_image}: none fits in memory.");
    };
    let [conv, fc] = [Group::Conv, Group::Fc].map(|of| (of, share(rows, step, of)));
    let (first, second) = if conv.1 >= fc.1 { (conv, fc) } else { (fc, conv) };
    let whole = if step.status == Status::Predicted { "predicted training step" } else { "training step" };
    if [Group::Conv, Group::Fc].iter().all(|&of| group(rows, step, of).is_none()) {
        return format!("neither conv nor fc has a part in the {whole} at batch {}{at_image}.", step.batch);
    }
    let interval = group(rows, step, first.0).and_then(|row| {
        let (low, high) = (row.share.share_ci95_low_pct?, row.share.share_ci95_high_pct?);
        Some(format!(" (95 % CI {low:.1}–{high:.1})"))
    });
    let reservation = match step.status {
        Status::Ok | Status::Predicted => String::new(),
        Status::Noisy | Status::Throttled | Status::OutOfMemory => {
            format!(" No batch has status ok: batch {}, the largest measured, is {}.", step.batch, step.status.name())
        }
    };
    format!(
        "{} takes {:.1} % of the {whole} at batch {}{at_image}{}, {} {:.1} %{}.{reservation}",
        first.0.name(),
        first.1,
        step.batch,
        interval.unwrap_or_default(),
        second.0.name(),
        second.1,
        turn(rows, image, &steps),
    )
}

/// Where the answer turns, or that it does not.
fn turn(rows: &[SummaryRow], image: &str, steps: &[&SummaryRow]) -> String {
    match (crossovers_at(rows, image).last(), steps) {
        (Some(crossover), _) => {
            let decimals = if crossover.batch < 10.0 { 1 } else { 0 };
            format!("; {} leads below batch ≈ {:.decimals$}", crossover.leads_below.name(), crossover.batch)
        }
        (None, [least, .., most]) => {
            let conv_leads = share(rows, least, Group::Conv) >= share(rows, least, Group::Fc);
            let leader = if conv_leads { Group::Conv } else { Group::Fc };
            format!("; {} leads at every batch from {} to {}", leader.name(), least.batch, most.batch)
        }
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rows::{Labels, ShareColumns};

    /// The group totals and the step of one batch.
    fn batch(batch: usize, status: Status, conv: f64, fc: f64) -> Vec<SummaryRow> {
        let labels = || Labels {
            run_id: "r".into(),
            model: "m".into(),
            device: "d".into(),
            precision: "f32".into(),
            layout: "nchw".into(),
            launch: "direct".into(),
        };
        let row = |group: Option<Group>, share: f64| {
            let measured = (status != Status::OutOfMemory).then_some(share);
            SummaryRow {
                labels: labels(),
                batch,
                image: "224x224".into(),
                group,
                phase: None,
                status,
                samples: measured.map(|_| 10),
                mean_us: measured,
                median_us: measured,
                ci95_low_us: None,
                ci95_high_us: None,
                share: ShareColumns {
                    share_pct: measured,
                    share_ci95_low_pct: measured.map(|share| share - 0.3),
                    share_ci95_high_pct: measured.map(|share| share + 0.34),
                },
                step: Default::default(),
            }
        };
        let other = 100.0 - conv - fc;
        vec![row(Some(Group::Conv), conv), row(Some(Group::Fc), fc), row(Some(Group::Other), other), row(None, 100.0)]
    }

    #[test]
    fn the_largest_ok_batch_and_the_crossover() {
        let rows = [
            batch(8, Status::Ok, 30.0, 50.0),
            batch(32, Status::Ok, 60.0, 40.0),
            batch(128, Status::Ok, 81.2, 12.9),
            batch(256, Status::Noisy, 85.0, 10.0),
            batch(512, Status::OutOfMemory, 0.0, 0.0),
        ]
        .concat();
        // From −20 at 8 to +20 at 32: zero half way on the logarithm, √(8 · 32) = 16.
        let crossings = crossovers(&rows);
        assert_eq!(crossings.len(), 1);
        assert!((crossings[0].batch - 16.0).abs() < 1e-9 && crossings[0].leads_below == Group::Fc);
        assert_eq!(
            sentences(&rows),
            [
                "conv takes 81.2 % of the training step at batch 128 (95 % CI 80.9–81.5), fc 12.9 %; fc leads below batch ≈ 16."
            ]
        );
    }

    #[test]
    fn several_crossovers_speak_by_the_largest() {
        let rows = [
            batch(1, Status::Ok, 60.0, 40.0),
            batch(2, Status::Ok, 40.0, 60.0),
            batch(16, Status::Ok, 45.0, 45.0),
            batch(64, Status::Ok, 20.0, 70.0),
        ]
        .concat();
        // +20 → −20 between 1 and 2: √2. −20 → 0 → −50: touches at 16, from both sides.
        let crossings: Vec<(f64, Group)> =
            crossovers(&rows).into_iter().map(|crossing| (crossing.batch, crossing.leads_below)).collect();
        assert!((crossings[0].0 - 2f64.sqrt()).abs() < 1e-9 && crossings[0].1 == Group::Conv);
        assert!((crossings[1].0 - 16.0).abs() < 1e-9 && (crossings[2].0 - 16.0).abs() < 1e-9);
        assert!(sentences(&rows)[0].starts_with("fc takes 70.0 % of the training step at batch 64"));
    }

    #[test]
    fn no_crossover_without_a_change_of_sign() {
        let rows = [batch(1, Status::Ok, 50.0, 30.0), batch(8, Status::Ok, 70.0, 20.0)].concat();
        assert_eq!(crossovers(&rows), []);
        assert!(sentences(&rows)[0].ends_with("fc 20.0 %; conv leads at every batch from 1 to 8."));
        let single = batch(4, Status::Ok, 70.0, 20.0);
        assert!(sentences(&single)[0].ends_with("(95 % CI 69.7–70.3), fc 20.0 %."));
    }

    #[test]
    fn a_net_of_other_layers_has_no_leader() {
        let mut rows = [batch(1, Status::Ok, 0.0, 0.0), batch(8, Status::Ok, 0.0, 0.0)].concat();
        rows.retain(|row| row.group.is_none_or(|group| group == Group::Other));
        assert_eq!(sentences(&rows), ["neither conv nor fc has a part in the training step at batch 8."]);
    }

    #[test]
    fn says_so_when_nothing_is_ok() {
        let noisy = [batch(4, Status::Throttled, 55.0, 30.0), batch(8, Status::Noisy, 60.0, 30.0)].concat();
        assert!(sentences(&noisy)[0].ends_with(" No batch has status ok: batch 8, the largest measured, is noisy."));
        let nothing = batch(8, Status::OutOfMemory, 0.0, 0.0);
        assert_eq!(sentences(&nothing), ["No batch could be measured: none fits in memory."]);
        assert_eq!(sentences(&[]), ["No batch was measured."]);
    }

    #[test]
    fn each_image_size_has_its_own_sentence() {
        let mut rows = batch(8, Status::Ok, 60.0, 30.0);
        let mut larger = batch(8, Status::Ok, 90.0, 5.0);
        larger.iter_mut().for_each(|row| row.image = "448x448".into());
        rows.extend(larger);
        let sentences = sentences(&rows);
        assert!(sentences[0].starts_with("conv takes 60.0 % of the training step at batch 8, image 224x224"));
        assert!(sentences[1].starts_with("conv takes 90.0 % of the training step at batch 8, image 448x448"));
    }
}
