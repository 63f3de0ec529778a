//! ReLU.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::plan::{LayerPlan, Phase, Shape};

/// Rules of `Kind::Relu`, which has no parameters.
pub struct Relu;

impl Rules for Relu {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(inputs[0]))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { output: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// One comparison per element.
    fn operations(&self, layer: &LayerPlan, _: Phase) -> u64 {
        elements(layer.output)
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}
