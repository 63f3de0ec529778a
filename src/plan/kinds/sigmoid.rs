//! Sigmoid.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::plan::{LayerPlan, Phase, Shape};

/// Rules of `Kind::Sigmoid`, which has no parameters.
pub struct Sigmoid;

impl Rules for Sigmoid {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(inputs[0]))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { output: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// Negation, exponential, addition, division; backward has a subtraction and two products.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        elements(layer.output) * if phase == Phase::Forward { 4 } else { 3 }
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}
