//! A factor for each channel, and where asked for an addend.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::model::kind::Scale;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for Scale {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let channels = inputs[0].c;
        let biases = if self.bias { channels } else { 0 };
        Ok(Planned { weight_shape: vec![channels], biases, ..Planned::plain(inputs[0]) })
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { weights: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// One product per element, and an addition with a bias; the weights' gradient is a sum of products.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        let bias = u64::from(self.bias);
        let per_element = match phase {
            Phase::Forward => 1 + bias,
            Phase::BackwardData => 1,
            Phase::BackwardWeights => 2 + bias,
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 0,
        };
        per_element * elements(layer.output)
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }

    /// Around one, where every channel passes as it is.
    fn initial_weights(&self, _: f32) -> (f32, f32) {
        (1.0, 0.5)
    }
}
