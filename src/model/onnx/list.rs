//! An average of channels-last images that is copied into channels-first memory, as PyTorch's `dynamo=True` exporter writes it: the
//! numbers of all images become one list, and Gather picks each from the place where it is.

use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::{ConstTensor, MOST_NUMBERS, Number};
use super::value::{OnnxActivation, Value, View};
use super::views;

/// Places in a list of all images' numbers. Those within an image may be anything.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// From an image to the next.
    stride: f64,
    /// Sizes behind the batch.
    sizes: Vec<usize>,
}

/// Numbers from 0 up: one for each image, or so many as are known.
pub fn range<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let scalar = |input: usize| -> Imports<Number> {
        let numbers = import.tensor(node, input)?.and_then(|tensor| tensor.numbers);
        match numbers.as_deref() {
            Some(&[number]) => Ok(number),
            _ => Err("its bounds are not known".into()),
        }
    };
    match [scalar(0)?, scalar(1)?, scalar(2)?] {
        [Number::Known(0.0), Number::Batch, Number::Known(1.0)] => {
            Ok(Value::Places(Places { stride: 1.0, sizes: Vec::new() }))
        }
        [Number::Known(start), Number::Known(end), Number::Known(step)] if step != 0.0 => {
            let length = ((end - start) / step).ceil().max(0.0);
            if length > (1u64 << 40) as f64 || length.is_nan() {
                return Err("asks for sizes that make no tensor".into());
            }
            let few = length <= MOST_NUMBERS as f64;
            let numbers = few.then(|| (0..length as u32).map(|n| Number::Known(start + f64::from(n) * step)).collect());
            let (name, dims) = (String::new(), vec![length as usize]);
            Ok(Value::Tensor(ConstTensor { name, dims, numbers, fill: None }))
        }
        _ => Err("its bounds are not known".into()),
    }
}

/// Places times a number, or with other places within an image; `None` of other operands.
pub fn arithmetic<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<Option<Places>> {
    let (places, constant) = match (import.value(node, 0)?, import.value(node, 1)?) {
        (Value::Places(places), Value::Tensor(constant)) | (Value::Tensor(constant), Value::Places(places)) => {
            (places, constant)
        }
        (Value::Places(_), _) | (_, Value::Places(_)) => return Err("calculates with places of two images".into()),
        _ => return Ok(None),
    };
    match (node.operator(), constant.scalar()) {
        ("Mul", Some(factor)) => Ok(Some(Places { stride: places.stride * factor, ..places })),
        ("Add", _) => {
            let sizes = together(&places.sizes, &constant.dims).ok_or("adds places of other sizes")?;
            Ok(Some(Places { sizes, ..places }))
        }
        _ => Err("only sums and multiples of places are known".into()),
    }
}

/// Sizes behind the batch of places and a constant, by ONNX's rule: a size of one goes with any other.
fn together(places: &[usize], constant: &[usize]) -> Option<Vec<usize>> {
    let rank = places.len() + 1;
    if constant.len() > rank || constant.len() == rank && constant[0] != 1 {
        return None;
    }
    let of_constant = |place: usize| match (constant.len() + place).checked_sub(places.len()) {
        Some(at) => constant[at],
        None => 1,
    };
    let both = |(place, &size): (usize, &usize)| match (size, of_constant(place)) {
        (one, other) if one == other => Some(one),
        (1, other) => Some(other),
        (one, 1) => Some(one),
        _ => None,
    };
    places.iter().enumerate().map(both).collect()
}

/// Places with more sizes of one behind the batch.
pub fn unsqueezed<'a>(import: &Import<'a>, node: Node<'a>, places: Places) -> Imports<Value> {
    // The batch is one more size, which stays the first.
    let all: Vec<usize> = [usize::MAX].iter().chain(&places.sizes).copied().collect();
    match views::with_ones(import, node, &all)?.split_first() {
        Some((&usize::MAX, sizes)) => Ok(Value::Places(Places { sizes: sizes.to_vec(), ..places })),
        _ => Err("changes the place of the batch".into()),
    }
}

/// All numbers of images of one pixel, picked from their list: image by image as before.
pub fn gather<'a>(import: &Import<'a>, node: Node<'a>, list: OnnxActivation) -> Imports<Value> {
    let shape = import.draft.shape(list.source);
    let each = |places: &Places| {
        let as_many = places.sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
        places.stride == shape.c as f64 && as_many == Some(shape.c)
    };
    let single = (shape.h, shape.w) == (1, 1) && node.int("axis").unwrap_or(0) == 0;
    match import.value(node, 1)? {
        Value::Places(places) if single && each(&places) => match places.sizes.as_slice() {
            [_, 1, 1] => Ok(Value::Activation(OnnxActivation { view: View::ChannelsFirst, ..list })),
            [1, 1, _] => Ok(Value::Activation(OnnxActivation { view: View::ChannelsLast, ..list })),
            [_] => Ok(Value::Activation(OnnxActivation { view: View::Vector, ..list })),
            sizes => Err(format!("makes {sizes:?} of each image: sizes of an image are wanted").into()),
        },
        _ => Err("picks numbers out of all images: all numbers of single pixels, in their order, are known".into()),
    }
}
