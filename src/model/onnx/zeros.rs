//! Channels of zeros that a graph joins to others, as ENet in PyTorch does: `torch.cat` of an activation and `torch.zeros`.

use super::import::{Import, Imports};
use super::node::Node;
use super::value::{OnnxActivation, Value, View};
use crate::model::Kind;
use crate::model::kind::PadChannels;

/// The activations that a Concat joins, each with the zeros behind it, the first with those before it too.
pub fn inputs<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Vec<OnnxActivation>> {
    let count = node.proto.input.len();
    let is_activation = |value: Value| matches!(value, Value::Activation(_) | Value::Pointwise(_));
    let values: Vec<Value> = (0..count).map(|input| import.value(node, input)).collect::<Imports<_>>()?;
    let Some(first) = values.iter().position(|value| is_activation(value.clone())) else {
        return (0..count).map(|input| import.activation(node, input)).collect();
    };
    let like = import.activation(node, first)?;
    let mut joined: Vec<(OnnxActivation, PadChannels)> = Vec::new();
    let mut before = 0;
    for (input, value) in values.into_iter().enumerate() {
        match (channels_of_zeros(import, &value, like), joined.last_mut()) {
            (Some(channels), None) => before += channels,
            (Some(channels), Some((_, pad))) => pad.after += channels,
            (None, _) => {
                let activation = import.activation(node, input)?;
                joined.push((activation, PadChannels { before: std::mem::take(&mut before), after: 0 }));
            }
        }
    }
    let padded = |(activation, pad): (OnnxActivation, PadChannels)| match pad.before + pad.after {
        0 => Ok(activation),
        _ => import.layer(node, None, Kind::PadChannels(pad), &[activation]),
    };
    joined.into_iter().map(padded).collect()
}

/// The channels of a value that is nothing but zeros at an activation's pixels.
fn channels_of_zeros(import: &Import, value: &Value, like: OnnxActivation) -> Option<usize> {
    let sizes = match value {
        Value::Tensor(tensor) if tensor.uniform() == Some(0.0) => tensor.dims.get(1..)?,
        Value::Noise(noise) => noise.zeros()?,
        _ => return None,
    };
    let shape = import.draft.shape(like.source);
    let (channels, pixels) = match (like.view, sizes) {
        (View::ChannelsFirst, &[c, h, w]) | (View::ChannelsLast, &[h, w, c]) => (c, [h, w]),
        _ => return None,
    };
    (pixels == [shape.h, shape.w]).then_some(channels)
}
