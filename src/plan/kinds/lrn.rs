//! Local response normalisation across channels.

use super::{AfterFlatten, Misfit, Mover, Planned, Reads, Rules, elements};
use crate::model::kind::Lrn;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for Lrn {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(inputs[0]))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { inputs: true, output: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// Square, window sum, affine, power, product; backward has a second windowed sum over products.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        let window = if self.within_channel { self.size * self.size } else { self.size };
        elements(layer.output) * (window as u64 + if phase == Phase::Forward { 5 } else { 8 })
    }

    fn mover(&self) -> Mover {
        Mover::Lrn
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Refuses
    }
}
