//! Fully connected layers: Gemm, and MatMul with an Add behind it.

use super::folded::Folded;
use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::ConstTensor;
use super::value::{OnnxActivation, Value, View};
use crate::model::Kind;
use crate::model::kind::{Conv, Fc, Padding, Pair};

pub fn gemm<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let input = import.activation(node, 0)?;
    let Some(weight) = import.tensor(node, 1)? else { return Err("has no weights".into()) };
    let factors = [node.float("alpha").unwrap_or(1.0), node.float("beta").unwrap_or(1.0)];
    if factors != [1.0, 1.0] || node.int("transA").unwrap_or(0) != 0 {
        return Err("alpha and beta other than 1, and transA, are not known".into());
    }
    let transposed = node.int("transB").unwrap_or(0) != 0;
    let (outputs, inputs) = match *weight.dims.as_slice() {
        [outputs, inputs] if transposed => (outputs, inputs),
        [inputs, outputs] => (outputs, inputs),
        _ => return Err(format!("has weights of {} sizes: 2 are wanted", weight.dims.len()).into()),
    };
    let bias = import.tensor(node, 2)?;
    fully_connected(import, node, input, &weight, [outputs, inputs], bias.as_ref())
}

/// A product with constant weights \[inputs, outputs\]. In channels-last order it is a 1 × 1 convolution of every pixel.
pub fn matmul<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let Value::Tensor(weight) = import.value(node, 1)? else {
        return Err("multiplies two tensors that both depend on the image, as attention does: a transformer cannot be described".into());
    };
    let input = import.activation(node, 0)?;
    let &[inputs, outputs] = weight.dims.as_slice() else {
        return Err(format!("has weights of {} sizes: 2 are wanted", weight.dims.len()).into());
    };
    if input.view != View::ChannelsLast {
        return fully_connected(import, node, input, &weight, [outputs, inputs], None);
    }
    let channels = import.draft.shape(input.source).c;
    if channels != inputs {
        return Err(format!("has weights for {inputs} channels, but {channels} come in").into());
    }
    let (one, pad) = (Pair::square(1), Padding::NONE);
    let conv = Conv { channels: outputs, kernel: one, stride: one, pad, dilation: one, groups: 1, bias: false };
    Ok(Value::Activation(import.layer(node, Some(&weight), Kind::Conv(conv), &[input])?))
}

fn fully_connected<'a>(
    import: &mut Import<'a>,
    node: Node<'a>,
    input: OnnxActivation,
    weight: &ConstTensor,
    [outputs, inputs]: [usize; 2],
    bias: Option<&ConstTensor>,
) -> Imports<Value> {
    let elements = import.draft.shape(input.source).image_elements();
    if input.view != View::Vector {
        return Err(format!("takes {}: [N, inputs] is wanted", input.view.words()).into());
    }
    if elements != inputs {
        return Err(format!("has weights for {inputs} inputs, but {elements} come in").into());
    }
    let folded = Folded::of(node, weight, bias);
    let kind = Kind::Fc(Fc { outputs, bias: folded.has_bias(bias) });
    let output = import.layer(node, Some(weight), kind, &[input])?;
    folded.behind(import, output)
}

/// Tells if a constant with a number for each channel meets the channels.
pub fn is_along_channels(view: View, constant: &ConstTensor, channels: usize) -> bool {
    let dims = &constant.dims;
    match view {
        View::ChannelsFirst => dims.len() >= 3 && dims[dims.len() - 3] == channels,
        View::ChannelsLast | View::Vector => dims.last() == Some(&channels),
        View::Pixels => dims.len() >= 2 && dims[dims.len() - 2] == channels,
        View::Grouped(_) | View::Shuffled(_) => false,
    }
}

/// Gives the bias to the convolution or fully connected layer before, which must have none and no other reader.
pub fn add_bias<'a>(
    import: &mut Import<'a>,
    node: Node<'a>,
    input: usize,
    bias: &ConstTensor,
) -> Imports<Option<Value>> {
    let activation = import.activation(node, input)?;
    let channels = import.draft.shape(activation.source).c;
    let along = is_along_channels(activation.view, bias, channels);
    if bias.vector() != Some(channels) || !along || !import.is_only_reader(node, input) {
        return Ok(None);
    }
    let wants = import.draft.layer(activation.source).and_then(|layer| layer.kind.bias_mut());
    match wants {
        Some(bias) if !*bias => {
            *bias = true;
            Ok(Some(Value::Activation(activation)))
        }
        _ => Ok(None),
    }
}
