//! Share of the step by group and phase over batch size: conv forward, conv backward_data and so on up to fc weight_update.

use super::scene::{Canvas, Scene};
use super::stack::{self, Band};
use super::style;
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::summary::Scope;
use crate::report::run::Run;

/// `None` where nothing was measured at this image size.
pub fn scene(run: &Run, image: &str, canvas: Canvas) -> Option<Scene> {
    let points = run.measured(image);
    let parts = Group::ALL.into_iter().flat_map(|group| Phase::ALL.map(|phase| (group, phase)));
    let band = |(group, phase): (Group, Phase)| {
        let phase_name = if canvas.is_narrow() { short(phase) } else { phase.name() };
        Band {
            scope: Scope { group: Some(group), phase: Some(phase) },
            name: format!("{} {}", group.name(), phase_name.replace('_', " ")),
            fill: style::of_part(group, phase),
        }
    };
    let takes_time = |band: &Band| points.iter().any(|point| stack::share(point, band) > 0.0);
    let bands: Vec<Band> = parts.map(band).filter(takes_time).collect();
    let title = "Share of the training step by group and phase";
    stack::scene(run, &points, title, &bands, canvas, &|_, _| {})
}

/// A phase's name where there is little room.
fn short(phase: Phase) -> &'static str {
    match phase {
        Phase::Forward => "fwd",
        Phase::BackwardData => "data",
        Phase::BackwardWeights => "weights",
        Phase::AllReduce => "reduce",
        Phase::LossScale => "scale",
        Phase::WeightUpdate => "update",
    }
}
