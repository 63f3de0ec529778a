//! Softmax with mean cross-entropy.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::model::kind::SoftmaxLoss;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for SoftmaxLoss {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let input = inputs[0];
        match (input.h, input.w) {
            (1, 1) => Ok(Planned::plain(input)),
            (h, w) => Err(Misfit::Other(format!(
                "needs one value per class, but its input is {}x{h}x{w}: put an fc or a flatten before",
                input.c
            ))),
        }
    }

    fn backward_data_reads(&self) -> Reads {
        // The output holds the probabilities; a loss has no gradient of its output.
        Reads { output: true, ..Reads::default() }
    }

    /// Maximum, subtraction, exponential, sum, division; backward subtracts the label and scales.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        elements(layer.input()) * if phase == Phase::Forward { 5 } else { 2 }
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}
