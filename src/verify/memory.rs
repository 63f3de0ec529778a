//! The memory that the reference takes beside the session: an allocation that fails would end the program without a word.

use crate::device::{DeviceError, cpu};
use crate::plan::{LayerPlan, Plan};

/// Refuses a step whose reference this process has no memory for.
pub fn check(plan: &Plan) -> Result<(), DeviceError> {
    let (needed, available) = (needed(plan), cpu::available_bytes());
    match needed <= available {
        true => Ok(()),
        false => Err(DeviceError::OutOfMemory { needed, available, smaller_helps: plan.batch > 1 }),
    }
}

/// Bytes of a value in f64 and in f32.
const BOTH: u64 = 12;

/// A bound in bytes. Both passes of the whole step keep every output, and at the worst every gradient; images and masks stand
/// there as they were read too; beside them are one layer's operands, its weights, and their gradients before and after rounding.
fn needed(plan: &Plan) -> u64 {
    let image = plan.input.elements() as u64;
    let output = |layer: &LayerPlan| layer.output.elements() as u64;
    let inputs = |layer: &LayerPlan| layer.input_shapes.iter().map(|shape| shape.elements() as u64).sum::<u64>();
    let most = |bytes: &dyn Fn(&LayerPlan) -> u64| plan.layers.iter().map(bytes).max().unwrap_or(0);
    let outputs: u64 = plan.layers.iter().map(output).sum();
    let masks: u64 = plan.layers.iter().filter(|layer| layer.kind.has_mask()).map(output).sum();
    2 * BOTH * outputs
        + (BOTH + 4) * (image + masks)
        + 4 * plan.parameters()
        + most(&|layer| BOTH * (inputs(layer) + output(layer)))
        + most(&|layer| 2 * BOTH * layer.parameters())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::plan::Options;

    /// By hand, of two layers: an fc of 6 inputs and 4 outputs (28 parameters), and the loss, whose output are 4 probabilities.
    #[test]
    fn bytes_of_a_small_network() {
        let text = "name = \"small\"\ninput = [6, 1, 1]\n[[layer]]\nname = \"f\"\nkind = \"fc\"\noutputs = 4\n[[layer]]\nname = \"l\"\nkind = \"softmax_loss\"\n";
        let plan = Plan::new(&Model::parse(text, "small").unwrap(), Options::of_batch(3)).unwrap();
        let (outputs, image, layer) = (24 * (12 + 12), 16 * 18, 12 * (18 + 12));
        assert_eq!(needed(&plan), outputs + image + 4 * 28 + layer + 24 * 28);
    }
}
