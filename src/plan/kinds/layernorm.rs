//! Normalisation of every pixel over its channels.

use super::{AfterFlatten, Misfit, Mover, Planned, Reads, Rules, elements};
use crate::model::kind::LayerNorm;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for LayerNorm {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let channels = inputs[0].c;
        Ok(Planned { weight_shape: vec![channels], biases: channels, ..Planned::plain(inputs[0]) })
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { inputs: true, weights: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// Mean and variance (4), normalise (2), scale and shift (2); two sums of products and their removal (9); of the
    /// parameters' gradients 3.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        let per_element = match phase {
            Phase::Forward => 8,
            Phase::BackwardData => 9,
            Phase::BackwardWeights => 3,
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 0,
        };
        per_element * elements(layer.output)
    }

    fn mover(&self) -> Mover {
        Mover::Batchnorm
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }

    /// Around one, where every channel passes as it is.
    fn initial_weights(&self, _: f32) -> (f32, f32) {
        (1.0, 0.5)
    }
}
