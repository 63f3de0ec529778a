//! Expand of one pixel's values over an image, which a product does by itself: squeeze and excitation with `expand_as`.

use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::Number;
use super::value::{OnnxActivation, Value};
use super::{constants, views};
use crate::model::Kind;

/// A value for each channel, at every pixel.
#[derive(Clone, Debug)]
pub struct Spread {
    of: OnnxActivation,
    /// Sizes behind the batch that it then has.
    sizes: Vec<usize>,
}

/// Expand of an activation, or of a constant.
pub fn expand<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    if !views::is_of_activation(import, node) {
        return constants::fold(import, node);
    }
    let of = import.activation(node, 0)?;
    let shape = import.draft.shape(of.source);
    let before = of.view.sizes(shape);
    let asked = import.tensor(node, 1)?.and_then(|sizes| sizes.numbers).ok_or("its new sizes are not known")?;
    let together = |(&size, asked): (&usize, &Number)| match *asked {
        Number::Known(asked) if asked == size as f64 || asked == 1.0 => Some(size),
        Number::Known(asked) if size == 1 && asked > 1.0 && asked.fract() == 0.0 => Some(asked as usize),
        Number::Known(_) | Number::Batch => None,
    };
    // The batch may have any size: a file that fixes it has the one that it was exported with.
    let sizes: Option<Vec<usize>> = match asked.split_first() {
        Some((_, asked)) if asked.len() == before.len() => before.iter().zip(asked).map(together).collect(),
        _ => None,
    };
    match sizes {
        Some(sizes) if sizes == before => Ok(Value::Activation(of)),
        Some(sizes) if (shape.h, shape.w) == (1, 1) => Ok(Value::Spread(Spread { of, sizes })),
        _ => Err(format!("spreads {before:?} per image over other sizes: one value per channel is known").into()),
    }
}

/// A product with such values; `None` of other operands.
pub fn product<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Option<Value>> {
    let (spread, other) = match (import.value(node, 0)?, import.value(node, 1)?) {
        (_, Value::Spread(spread)) => (spread, 0),
        (Value::Spread(spread), _) => (spread, 1),
        _ => return Ok(None),
    };
    if node.operator() != "Mul" {
        return Ok(None);
    }
    let image = import.activation(node, other)?;
    if image.view != spread.of.view || image.view.sizes(import.draft.shape(image.source)) != spread.sizes {
        return Err(format!("multiplies by values that are spread over {:?} per image", spread.sizes).into());
    }
    Ok(Some(Value::Activation(import.layer(node, None, Kind::Multiply, &[image, spread.of])?)))
}
