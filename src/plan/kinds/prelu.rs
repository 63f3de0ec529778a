//! Rectified linear units with learnt slopes.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::model::kind::PRelu;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for PRelu {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let slopes = if self.shared { 1 } else { inputs[0].c };
        Ok(Planned { weight_shape: vec![slopes], ..Planned::plain(inputs[0]) })
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { inputs: true, weights: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// A comparison and a product; the slopes' gradient adds products up.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        let per_element = match phase {
            Phase::Forward | Phase::BackwardData => 2,
            Phase::BackwardWeights => 3,
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 0,
        };
        per_element * elements(layer.output)
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }

    /// Around PyTorch's first slope.
    fn initial_weights(&self, _: f32) -> (f32, f32) {
        (0.25, 0.125)
    }
}
