//! Activation functions.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::model::kind::Activation;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for Activation {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        Ok(Planned::plain(inputs[0]))
    }

    fn backward_data_reads(&self) -> Reads {
        let output = self.has_gradient_of_output();
        Reads { output, inputs: !output, ..Reads::OUTPUT_GRADIENT }
    }

    /// Additions, products, comparisons, exponentials and error functions of an element, by the formulas in
    /// [`Activation`]'s documentation and their derivatives times the output's gradient.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        let (forward, backward) = match self {
            Activation::Relu => (1, 1),
            Activation::Relu6 => (2, 2),
            Activation::LeakyRelu(_) => (2, 2),
            Activation::Sigmoid => (4, 3),
            // (e²ˣ − 1) / (e²ˣ + 1), and 1 − y².
            Activation::Tanh => (5, 3),
            // s + x · s · (1 − s), where s is computed again.
            Activation::Silu => (5, 9),
            Activation::Hardsigmoid => (4, 3),
            Activation::Hardswish => (5, 5),
            // Φ(x) + x · φ(x), where both are computed again.
            Activation::Gelu => (5, 11),
            Activation::Elu(_) => (4, 3),
        };
        elements(layer.output) * if phase == Phase::Forward { forward } else { backward }
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}
