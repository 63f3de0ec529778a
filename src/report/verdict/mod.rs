//! Conv or fc? A few sentences that a person can quote, and the batch sizes at which the answer turns.
//!
//! Times and shares are judged apart: a batch's status speaks of its times, its shares are known or not by their own intervals
//! ([`Point::shares_unknown`]). The answer speaks of the largest batch whose shares are known.

mod crossover;
mod known;

use serde::Serialize;

use super::run::{Point, Run};
use crate::model::kind::Group;

pub use crossover::{Crossover, crossovers};

/// The answer at one image size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// Height x width.
    pub image: String,
    /// The batch that it speaks of.
    pub batch: usize,
    /// The group that takes most of the step there.
    pub leader: Group,
    /// Its share in percent of the step.
    pub share_pct: f64,
    /// The share's 95 % interval.
    pub share_ci95_pct: Option<[f64; 2]>,
    /// Of a prediction, the group that may lead in its place: the two cannot be told apart at 95 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rival: Option<Group>,
    /// Larger batches that have figures, and why the answer does not speak of them.
    pub passed_over: Vec<PassedOver>,
}

/// A batch that the answer does not speak of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PassedOver {
    /// Images per step.
    pub batch: usize,
    /// The reason, in words.
    pub why: String,
}

/// One answer per image size at which anything was measured.
pub fn answers(run: &Run) -> Vec<Answer> {
    run.images().iter().filter_map(|image| answer(run, image)).collect()
}

/// One text per image size, of one sentence or a few; says so where no batch was measured.
pub fn sentences(run: &Run) -> Vec<String> {
    let images = run.images();
    if images.is_empty() {
        return vec!["No batch was measured.".into()];
    }
    images.iter().map(|image| sentence(run, image, images.len() > 1)).collect()
}

fn answer(run: &Run, image: &str) -> Option<Answer> {
    let point = run.largest(image)?;
    let leader = point.leader();
    let passed_over = run.measured(image).into_iter().filter(|larger| larger.batch > point.batch);
    Some(Answer {
        image: image.into(),
        batch: point.batch,
        leader,
        share_pct: point.share(leader),
        share_ci95_pct: point.group(leader).and_then(|figures| figures.share_ci95).map(|ends| [ends.low, ends.high]),
        rival: point.rival(),
        passed_over: passed_over
            .filter_map(|point| Some(PassedOver { batch: point.batch, why: point.shares_unknown()? }))
            .collect(),
    })
}

fn sentence(run: &Run, image: &str, several_images: bool) -> String {
    let at_image = if several_images { format!(", image {image}") } else { String::new() };
    let (Some(point), Some(answer)) = (run.largest(image), answer(run, image)) else {
        return format!("No batch could be measured{at_image}: none fits in memory.");
    };
    let whole = if run.is_predicted() { "predicted training step" } else { "training step" };
    let at = format!("of the {whole} at batch {}{at_image}", point.batch);
    if [Group::Conv, Group::Fc].iter().all(|&group| point.group(group).is_none()) {
        return format!("neither conv nor fc has a part in{}.", at.trim_start_matches("of"));
    }
    let ci = if point.is_predicted() { "95 %:" } else { "95 % CI" };
    let interval = answer.share_ci95_pct.map(|[low, high]| format!(" ({ci} {low:.1}–{high:.1})"));
    let rival = answer.rival.map(|rival| {
        let leader = answer.leader.name();
        format!(" The prediction cannot tell whether {leader} or {} leads at this batch.", rival.name())
    });
    let rest: String =
        followers(point).into_iter().map(|group| format!(", {} {:.1} %", group.name(), point.share(group))).collect();
    format!(
        "{} takes {:.1} % {at}{}{rest}{}.{}{}{}",
        answer.leader.name(),
        answer.share_pct,
        interval.unwrap_or_default(),
        turn(run, image),
        rival.unwrap_or_default(),
        reservation(point, &answer),
        point.closure_note().map_or(String::new(), |note| format!(" At batch {} {note}.", point.batch)),
    )
}

/// The groups that do not lead, the larger share first; `other` only where it takes more than the question's conv or fc.
fn followers(point: &Point) -> Vec<Group> {
    let leader = point.leader();
    let mut groups: Vec<Group> = Group::ALL.into_iter().filter(|&group| group != leader).collect();
    groups.sort_by(|&a, &b| point.share(b).total_cmp(&point.share(a)));
    groups.truncate(if groups.last() == Some(&Group::Other) { 1 } else { 2 });
    groups
}

/// Says why the answer does not speak of a larger batch, or speaks of one whose shares are not known.
fn reservation(point: &Point, answer: &Answer) -> String {
    if let Some(why) = point.shares_unknown() {
        return format!(" No batch's shares are known better: batch {}, the largest measured, is {why}.", point.batch);
    }
    let list: Vec<String> =
        answer.passed_over.iter().map(|PassedOver { batch, why }| format!("batch {batch}, {why}")).collect();
    if list.is_empty() { String::new() } else { format!(" Passed over: {}.", list.join("; ")) }
}

/// Says at which batch the answer turns, or that it does not.
fn turn(run: &Run, image: &str) -> String {
    let crossovers = crossovers(run);
    match (crossovers.iter().rfind(|crossover| crossover.image == image), &*run.measured(image)) {
        (Some(crossover), _) => {
            let decimals = if crossover.batch < 10.0 { 1 } else { 0 };
            let (below, within) = (crossover.leads_below.name(), crossover.within());
            format!("; {below} leads below batch ≈ {:.decimals$}{within}", crossover.batch)
        }
        (None, points @ [least, .., most]) if points.iter().any(|point| point.rival().is_some()) => {
            let (from, to) = (least.batch, most.batch);
            let unsure = points.iter().filter(|point| point.rival().is_some()).map(|point| point.batch.to_string());
            let unsure = unsure.collect::<Vec<_>>().join(", ");
            format!("; {} leads from {from} to {to}, but at {unsure} by less than the error", least.leader().name())
        }
        (None, [least, .., most]) => {
            format!("; {} leads at every batch from {} to {}", least.leader().name(), least.batch, most.batch)
        }
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests;
