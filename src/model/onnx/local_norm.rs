//! PyTorch's `LocalResponseNorm` as its `dynamo=True` exporter writes it: x · x as [N, 1, C, H, W] with channels of zeros around it, the
//! mean over `size` channels, times alpha, plus k, to the power of beta; and x divided by that.

use super::import::{Import, Imports};
use super::node::Node;
use super::value::{OnnxActivation, Value, View};
use super::views;
use crate::model::Kind;
use crate::model::kind::Lrn;

/// The divisor of x, as far as it is computed.
#[derive(Clone, Debug)]
pub struct LocalNorm {
    /// x.
    of: OnnxActivation,
    /// Channels of a window.
    size: usize,
    /// The mean has been taken.
    averaged: bool,
    alpha: f64,
    k: f64,
    beta: Option<f64>,
}

/// Pad of squares by channels; `None` of anything else.
pub fn padded<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Option<Value>> {
    let squares = match import.value(node, 0)? {
        Value::Activation(squares) if squares.view == View::Grouped(1) => squares,
        _ => return Ok(None),
    };
    let source = match import.draft.layer(squares.source) {
        Some(layer) if layer.kind == Kind::Multiply && layer.inputs[0] == layer.inputs[1] => layer.inputs[0],
        _ => return Ok(None),
    };
    let pads = match node.ints("pads") {
        Some(pads) => pads.iter().map(|&pad| pad as f64).collect(),
        None => import.tensor(node, 1)?.and_then(|pads| pads.known()).unwrap_or_default(),
    };
    let &[0.0, 0.0, before, 0.0, 0.0, 0.0, 0.0, after, 0.0, 0.0] = pads.as_slice() else { return Ok(None) };
    // As many channels before as behind, or one more.
    if !(0.0..=1e6).contains(&after) || ![after, after + 1.0].contains(&before) {
        return Ok(None);
    }
    let of = OnnxActivation::viewed(source, View::ChannelsFirst);
    let size = (before + after) as usize + 1;
    Ok(Some(Value::LocalNorm(LocalNorm { of, size, averaged: false, alpha: 1.0, k: 0.0, beta: None })))
}

/// AveragePool over the channels; `None` of anything else.
pub fn averaged<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<Option<Value>> {
    let Value::LocalNorm(norm) = import.value(node, 0)? else { return Ok(None) };
    let all = |name: &str, value: i64| node.ints(name).is_none_or(|ints| ints.iter().all(|&int| int == value));
    let plain = all("strides", 1) && all("pads", 0) && all("dilations", 1) && !norm.averaged;
    match node.ints("kernel_shape") {
        Some(&[size, 1, 1]) if plain && size == norm.size as i64 => {
            Ok(Some(Value::LocalNorm(LocalNorm { averaged: true, ..norm })))
        }
        _ => Err("takes other means than a LocalResponseNorm: over its channels they are known".into()),
    }
}

/// The mean without its fifth size.
pub fn reshaped<'a>(import: &Import<'a>, node: Node<'a>, norm: LocalNorm) -> Imports<Value> {
    let wanted = norm.of.view.sizes(import.draft.shape(norm.of.source));
    let before: Vec<usize> = [1].iter().chain(&wanted).copied().collect();
    let sizes = match node.operator() {
        "Reshape" => views::reshaped(import, node, &before)?,
        _ => views::squeezed(import, node, &before)?,
    };
    match sizes == wanted {
        true => Ok(Value::LocalNorm(norm)),
        false => Err(format!("makes {sizes:?} of squares of {wanted:?}").into()),
    }
}

/// Alpha, k, beta, and the division; `None` of other operands.
pub fn arithmetic<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Option<Value>> {
    let (norm, other, first) = match (import.value(node, 0)?, import.value(node, 1)?) {
        (Value::LocalNorm(norm), other) => (norm, other, true),
        (other, Value::LocalNorm(norm)) => (norm, other, false),
        _ => return Ok(None),
    };
    let number = if let Value::Tensor(tensor) = &other { tensor.scalar() } else { None };
    let open = norm.averaged && norm.beta.is_none();
    let norm = match (node.operator(), number) {
        ("Mul", Some(factor)) if open => LocalNorm { alpha: norm.alpha * factor, k: norm.k * factor, ..norm },
        ("Add", Some(addend)) if open => LocalNorm { k: norm.k + addend, ..norm },
        ("Pow", Some(beta)) if open && first => LocalNorm { beta: Some(beta), ..norm },
        ("Div", None) if !first => return divided(import, node, &norm).map(Some),
        _ => return Err("calculates with squares otherwise than a LocalResponseNorm".into()),
    };
    Ok(Some(Value::LocalNorm(norm)))
}

fn divided<'a>(import: &mut Import<'a>, node: Node<'a>, norm: &LocalNorm) -> Imports<Value> {
    let x = import.activation(node, 0)?;
    let (Some(beta), true) = (norm.beta, x == norm.of) else {
        return Err("divides by squares otherwise than a LocalResponseNorm".into());
    };
    let [alpha, beta, k] = [norm.alpha, beta, norm.k].map(|number| number as f32);
    let kind = Kind::Lrn(Lrn { size: norm.size, alpha, beta, k, within_channel: false });
    Ok(Value::Activation(import.layer(node, None, kind, &[x])?))
}
