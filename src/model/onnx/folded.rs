//! Batch norms that exporters have folded into the convolution or fully connected layer before them.

use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::ConstTensor;
use super::value::{OnnxActivation, Value};
use crate::model::Kind;
use crate::model::kind::BatchNorm;

/// Tells what has become of the batch norm behind a layer with weights.
pub struct Folded {
    /// The module of a batch norm in training form: it comes back as a layer.
    norm: Option<String>,
    /// The bias is not the layer's own.
    made_up: bool,
    /// A batch norm in inference form is missing.
    missing: bool,
}

impl Folded {
    /// Looks at the names that exporters give the node and its weights.
    pub fn of(node: Node, weight: &ConstTensor, bias: Option<&ConstTensor>) -> Folded {
        let made_up = bias.is_some_and(|bias| is_computed(&weight.name, &bias.name));
        let missing = made_up || node.is_batch_norm_for_inference();
        Folded { norm: node.folded_batch_norm(), made_up, missing }
    }

    /// Tells if the layer has a bias of its own. Zeros that an operator has made stand for none, and where the batch norm comes
    /// back, so does a layer without the bias that the exporter computed.
    pub fn has_bias(&self, bias: Option<&ConstTensor>) -> bool {
        bias.is_some_and(|bias| bias.fill != Some(0.0)) && !(self.norm.is_some() && self.made_up)
    }

    /// The layer's output, or that of its batch norm.
    pub fn behind(self, import: &mut Import, output: OnnxActivation) -> Imports<Value> {
        let Some(name) = self.norm else {
            import.folded += usize::from(self.missing);
            return Ok(Value::Activation(output));
        };
        let norm = Kind::BatchNorm(BatchNorm { eps: 1e-5, momentum: 0.1 });
        let source = import.draft.push(&name, norm, vec![output.source])?;
        Ok(Value::Activation(OnnxActivation { source, ..output }))
    }
}

/// Tells if an exporter has computed the weights and biases from those of a batch norm behind the convolution: PyTorch's
/// TorchScript exporter gives such tensors numbers for names, onnxscript's optimizer names biases after weights.
fn is_computed(weight: &str, bias: &str) -> bool {
    weight.starts_with("onnx::Conv") || bias.strip_suffix("_bias") == Some(weight)
}
