//! Flatten, which renames memory and has no phases.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules};
use crate::plan::{LayerPlan, Phase, Shape};

/// Rules of `Kind::Flatten`, which has no parameters.
pub struct Flatten;

impl Rules for Flatten {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(inputs[0].flattened()))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads::default()
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}
