//! Masks that are drawn in the graph itself: dropout as PyTorch's `dynamo=True` exporter writes it in training form.
//!
//! Random numbers of the sizes of an activation are compared with the probability to keep, divided by it, and multiplied in.

use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::{ConstTensor, Number};
use super::value::{Value, View};
use crate::model::Kind;
use crate::model::kind::{Dropout, Dropped};

/// Random numbers, or a tensor that is only asked for its sizes.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Sizes behind the batch.
    sizes: Vec<usize>,
    /// The probability of a one, once the numbers have become ones and zeros.
    keep: Option<f64>,
    /// It is nothing but zeros.
    zeros: bool,
}

impl Noise {
    /// Sizes behind the batch of what is nothing but zeros.
    pub fn zeros(&self) -> Option<&[usize]> {
        self.zeros.then_some(&self.sizes)
    }
}

/// A tensor whose first size is the batch, and whose elements may all be zero.
pub fn blank(sizes: &[Number], zeros: bool) -> Option<Value> {
    let [Number::Batch, rest @ ..] = sizes else { return None };
    let sizes = rest.iter().map(|size| match *size {
        Number::Known(size) if size >= 1.0 && size.fract() == 0.0 => Some(size as usize),
        Number::Known(_) | Number::Batch => None,
    });
    Some(Value::Noise(Noise { sizes: sizes.collect::<Option<_>>()?, keep: None, zeros }))
}

pub fn random_like<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    match import.value(node, 0)? {
        Value::Noise(Noise { sizes, .. }) => Ok(drawn(sizes)),
        Value::Tensor(ConstTensor { dims, .. }) if !dims.is_empty() => Ok(drawn(dims[1..].to_vec())),
        Value::Activation(activation) => {
            let sizes = activation.view.sizes(import.draft.shape(activation.source));
            Ok(drawn(sizes))
        }
        _ => Err("random numbers of these sizes are not known".into()),
    }
}

fn drawn(sizes: Vec<usize>) -> Value {
    Value::Noise(Noise { sizes, keep: None, zeros: false })
}

/// Ones with a probability.
pub fn less<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let probability = import.tensor(node, 1)?.and_then(|tensor| tensor.uniform());
    match (import.value(node, 0)?, probability) {
        (Value::Noise(noise), Some(keep)) => Ok(Value::Noise(Noise { keep: Some(keep), ..noise })),
        _ => Err("only random numbers are compared, as in dropout".into()),
    }
}

/// A mask times a number, or an activation times a mask; `None` of other operands.
pub fn product<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Option<Value>> {
    let (mask, other) = match (import.value(node, 0)?, import.value(node, 1)?) {
        (_, Value::Noise(mask)) => (mask, 0),
        (Value::Noise(mask), _) => (mask, 1),
        _ => return Ok(None),
    };
    if let Value::Tensor(_) = import.value(node, other)? {
        return Ok(Some(Value::Noise(mask)));
    }
    let (Some(keep), "Mul") = (mask.keep, node.operator()) else {
        return Err("only masks of ones and zeros are multiplied in".into());
    };
    let input = import.activation(node, other)?;
    let shape = import.draft.shape(input.source);
    let of = if mask.sizes == input.view.sizes(shape) {
        Dropped::Element
    } else if mask.sizes.iter().all(|&size| size == 1) {
        Dropped::Image
    } else if input.view == View::ChannelsFirst && mask.sizes == [shape.c, 1, 1] {
        Dropped::Channel
    } else {
        return Err("masks that are neither of elements, of channels nor of images are not known".into());
    };
    let kind = Kind::Dropout(Dropout { p: (1.0 - keep) as f32, of });
    Ok(Some(Value::Activation(import.layer(node, None, kind, &[input])?)))
}
