//! Products of two inputs: of equal shapes, or of maps with one number per channel and image, as squeeze and excitation has them
//! (Hu et al. 2018).

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::plan::{LayerPlan, Phase, Shape};

/// Rules of `Kind::Multiply`, which has no parameters.
pub struct Multiply;

impl Rules for Multiply {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let [a, b] = [inputs[0], inputs[1]];
        let is_gate = |gate: Shape, of: Shape| gate == Shape { h: 1, w: 1, ..of };
        if a == b || is_gate(b, a) {
            return Ok(Planned::plain(a));
        }
        if is_gate(a, b) {
            return Ok(Planned::plain(b));
        }
        let wanted = "equal shapes, or one pixel per channel in one of them, are wanted";
        Err(Misfit::Other(format!("multiplies {a} by {b}: {wanted}")))
    }

    /// Each input's gradient holds the other input.
    fn backward_data_reads(&self) -> Reads {
        Reads { inputs: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// One product per element of the output, for each gradient again; sums of products for a gradient of one number per channel.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        let output = elements(layer.output);
        if phase == Phase::Forward {
            return output;
        }
        let wanted = layer.input_shapes.iter().zip(&layer.input_gradients).filter(|(_, wanted)| **wanted);
        wanted.map(|(&shape, _)| if shape == layer.output { output } else { 2 * output }).sum()
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}
