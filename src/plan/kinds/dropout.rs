//! Dropout.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::model::kind::Dropout;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for Dropout {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(inputs[0]))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { mask: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// One multiplication per element.
    fn operations(&self, layer: &LayerPlan, _: Phase) -> u64 {
        elements(layer.output)
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}
