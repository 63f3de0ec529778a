//! Masks that are drawn in the graph itself: dropout as PyTorch's `dynamo=True` exporter writes it in training form.
//!
//! Random numbers of the sizes of an activation are compared with the probability to keep, divided by it, and multiplied in.

use super::constants;
use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::{ConstTensor, Number};
use super::value::{OnnxActivation, Value, View};
use crate::model::Kind;
use crate::model::kind::{Dropout, Dropped};

/// Random numbers, or a tensor that is only asked for its sizes.
#[derive(Clone, Debug)]
pub struct Noise {
    /// Sizes behind the batch.
    sizes: Vec<usize>,
    /// A number that was added to them.
    shift: f64,
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
    Some(Value::Noise(Noise { sizes: sizes.collect::<Option<_>>()?, shift: 0.0, keep: None, zeros }))
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
    Value::Noise(Noise { sizes, shift: 0.0, keep: None, zeros: false })
}

/// Ones with a probability.
pub fn less<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let probability = import.tensor(node, 1)?.and_then(|tensor| tensor.uniform());
    match (import.value(node, 0)?, probability) {
        (Value::Noise(noise), Some(keep)) => Ok(Value::Noise(Noise { keep: Some(keep), ..noise })),
        _ => Err("only random numbers are compared, as in dropout".into()),
    }
}

/// Random numbers from 0 to 1, of which one with a probability to keep added to it is a one or a zero.
pub fn floor<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    match import.value(node, 0)? {
        Value::Noise(noise) if noise.shift > 0.0 && noise.shift <= 1.0 && noise.keep.is_none() => {
            Ok(Value::Noise(Noise { keep: Some(noise.shift), ..noise }))
        }
        Value::Noise(_) => Err("only a probability and random numbers are rounded down, as in stochastic depth".into()),
        _ => constants::fold(import, node),
    }
}

/// An activation that a mask multiplies. Dividing it by the probability before is part of the dropout.
fn masked<'a>(import: &mut Import<'a>, node: Node<'a>, input: usize, keep: f64) -> Imports<OnnxActivation> {
    if let Value::Pointwise(curve) = import.value(node, input)? {
        let before = import.node(curve.node);
        let factor = import.tensor(before, 1).ok().flatten().and_then(|factor| factor.scalar());
        let kept = match (before.operator(), factor) {
            ("Div", Some(factor)) => factor,
            ("Mul", Some(factor)) => 1.0 / factor,
            _ => f64::NAN,
        };
        if (kept - keep).abs() < 1e-6 {
            return import.activation(before, 0);
        }
    }
    import.activation(node, input)
}

/// A mask times a number, or an activation times a mask; `None` of other operands.
pub fn product<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Option<Value>> {
    let (mask, other) = match (import.value(node, 0)?, import.value(node, 1)?) {
        (_, Value::Noise(mask)) => (mask, 0),
        (Value::Noise(mask), _) => (mask, 1),
        _ => return Ok(None),
    };
    if let Value::Tensor(number) = import.value(node, other)? {
        let shift = if node.operator() == "Add" { number.uniform().unwrap_or(f64::NAN) } else { 0.0 };
        return Ok(Some(Value::Noise(Noise { shift: mask.shift + shift, ..mask })));
    }
    let (Some(keep), "Mul") = (mask.keep, node.operator()) else {
        return Err("only masks of ones and zeros are multiplied in".into());
    };
    let input = masked(import, node, other, keep)?;
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
