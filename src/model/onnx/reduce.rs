//! Means and maxima over pixels.

use super::import::{Import, Imports};
use super::node::Node;
use super::value::{OnnxActivation, Value, View};
use super::views;
use crate::model::Kind;
use crate::model::kind::{AvgPool, MaxPool, Padding, Pair};

/// The number that pixels are reduced to.
#[derive(Clone, Copy, PartialEq)]
pub enum Reduced {
    /// One mean of all.
    Mean,
    /// The largest.
    Max,
}

/// One number per channel, as PyTorch's adaptive pooling to 1 × 1.
pub fn global_pool<'a>(import: &mut Import<'a>, node: Node<'a>, to: Reduced) -> Imports<Value> {
    let image = import.image(node, 0)?;
    Ok(Value::Activation(reduced(import, node, image, to, [true; 2])?))
}

/// ReduceMean and ReduceMax over height, width or both.
pub fn over_pixels<'a>(import: &mut Import<'a>, node: Node<'a>, to: Reduced) -> Imports<Value> {
    let input = import.activation(node, 0)?;
    let axes = match views::axes(import, node)? {
        Some(axes) => views::places(&axes, 1 + input.view.sizes(import.draft.shape(input.source)).len())?,
        None => Vec::new(),
    };
    let kept = node.int("keepdims").unwrap_or(1) != 0;
    let over = |places: [usize; 2]| places.map(|place| axes.contains(&place));
    let (sides, view) = match (input.view, axes.len()) {
        (View::Pixels, 1) if axes == [2] => ([true; 2], if kept { View::Pixels } else { View::Vector }),
        (View::ChannelsFirst, 2) if over([2, 3]) == [true; 2] => {
            ([true; 2], if kept { View::ChannelsFirst } else { View::Vector })
        }
        (View::ChannelsLast, 2) if over([1, 2]) == [true; 2] => {
            ([true; 2], if kept { View::ChannelsLast } else { View::Vector })
        }
        (View::ChannelsFirst, 1) if over([2, 3]) != [false; 2] => {
            (over([2, 3]), if kept { View::ChannelsFirst } else { View::Pixels })
        }
        (view, _) => {
            let what = if to == Reduced::Mean { "means" } else { "maxima" };
            return Err(
                format!("takes {what} over sizes {axes:?} of {}: over pixels they are known", view.words()).into()
            );
        }
    };
    let output = reduced(import, node, input, to, sides)?;
    Ok(Value::Activation(OnnxActivation { view, ..output }))
}

/// Rows or columns a step apart from the first on, as the shortcuts of ResNets for CIFAR have them: a pooling of single pixels.
pub fn every<'a>(
    import: &mut Import<'a>,
    node: Node<'a>,
    input: OnnxActivation,
    axis: usize,
    [start, end, step]: [i64; 3],
) -> Imports<Value> {
    let shape = import.draft.shape(input.source);
    let size = if axis == 2 { shape.h } else { shape.w };
    if start != 0 || end < size as i64 {
        return Err(
            "takes a part of the image: every row and column, or one in so many from the first on, are known".into()
        );
    }
    let step = usize::try_from(step).unwrap_or(usize::MAX).min(size);
    let stride = if axis == 2 { Pair { h: step, w: 1 } } else { Pair { h: 1, w: step } };
    let (kernel, dilation) = (Pair::square(1), Pair::square(1));
    let kind = Kind::MaxPool(MaxPool { kernel, stride: Some(stride), pad: Padding::NONE, dilation, ceil: false });
    Ok(Value::Activation(import.layer(node, None, kind, &[input])?))
}

/// One window for all rows, all columns or both.
fn reduced<'a>(
    import: &mut Import<'a>,
    node: Node<'a>,
    input: OnnxActivation,
    to: Reduced,
    [rows, columns]: [bool; 2],
) -> Imports<OnnxActivation> {
    let shape = import.draft.shape(input.source);
    let kernel = Pair { h: if rows { shape.h } else { 1 }, w: if columns { shape.w } else { 1 } };
    let (pad, ceil) = (Padding::NONE, false);
    let kind = match to {
        Reduced::Mean if rows && columns => Kind::AvgPool(AvgPool::Adaptive { output: Pair::square(1) }),
        Reduced::Mean => Kind::AvgPool(AvgPool::Windows { kernel, stride: kernel, pad, ceil, count_include_pad: true }),
        Reduced::Max => Kind::MaxPool(MaxPool { kernel, stride: Some(kernel), pad, dilation: Pair::square(1), ceil }),
    };
    import.layer(node, None, kind, &[input])
}
