//! Operators that change sizes or their order, and joins.

use super::constants;
use super::import::{Fault, Import, Imports};
use super::list;
use super::local_norm;
use super::node::Node;
use super::reduce;
use super::tensor::Number;
use super::value::{OnnxActivation, Value, View};
use super::zeros;
use crate::model::Kind;
use crate::model::kind::{ChannelShuffle, Slice};
use crate::plan::Shape;

impl View {
    /// Sizes behind the batch.
    pub fn sizes(self, shape: Shape) -> Vec<usize> {
        let Shape { c, h, w, .. } = shape;
        match self {
            View::ChannelsFirst => vec![c, h, w],
            View::ChannelsLast => vec![h, w, c],
            View::Vector => vec![c * h * w],
            View::Pixels => vec![c, h * w],
            View::Grouped(groups) => vec![groups, c / groups, h, w],
            View::Shuffled(groups) => vec![c / groups, groups, h, w],
        }
    }

    /// The sizes, for messages.
    pub fn words(self) -> &'static str {
        match self {
            View::ChannelsFirst => "[N, channels, height, width]",
            View::ChannelsLast => "[N, height, width, channels]",
            View::Vector => "[N, elements]",
            View::Pixels => "[N, channels, pixels]",
            View::Grouped(_) | View::Shuffled(_) => "[N, groups, channels, height, width]",
        }
    }
}

/// Other sizes for the same values.
pub fn reshape<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    match (import.value(node, 0)?, node.operator()) {
        (Value::Tensor(_), _) => return constants::fold(import, node),
        (Value::LocalNorm(norm), "Reshape" | "Squeeze") => return local_norm::reshaped(import, node, norm),
        (Value::Places(places), "Unsqueeze") => return list::unsqueezed(import, node, places),
        _ => {}
    }
    let activation = import.activation(node, 0)?;
    if activation.pad != [0; 4] {
        return Err("takes zeros around an image, which only a convolution or a pooling can do itself".into());
    }
    if node.operator() == "Transpose" {
        return transpose(node, activation);
    }
    if node.operator() == "Reshape" && makes_list(import, node)? {
        return Ok(Value::List(activation));
    }
    let before = activation.view.sizes(import.draft.shape(activation.source));
    let sizes = match node.operator() {
        "Reshape" => reshaped(import, node, &before)?,
        "Flatten" => flattened(node, &before)?,
        _ => squeezed(import, node, &before)?,
    };
    viewed(import, node, activation, &sizes)
}

/// Tells if Reshape asks for one list of all images' numbers.
fn makes_list<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<bool> {
    let list = [-1.0];
    match node.ints("shape") {
        Some(shape) => Ok(shape == [-1]),
        None => Ok(import.tensor(node, 1)?.and_then(|shape| shape.known()).is_some_and(|shape| shape == list)),
    }
}

/// Sizes behind the batch that Reshape asks for.
pub fn reshaped<'a>(import: &Import<'a>, node: Node<'a>, before: &[usize]) -> Imports<Vec<usize>> {
    let target = match node.ints("shape") {
        Some(shape) => shape.iter().map(|&size| Number::Known(size as f64)).collect(),
        None => import.tensor(node, 1)?.and_then(|shape| shape.numbers).ok_or("its new sizes are not known")?,
    };
    let Some((_, rest)) = target.split_first() else { return Err("asks for no sizes".into()) };
    let elements: usize = before.iter().product();
    let mut sizes = Vec::with_capacity(rest.len());
    for (place, size) in rest.iter().enumerate() {
        sizes.push(match *size {
            Number::Known(0.0) => before.get(place).copied(),
            Number::Known(-1.0) => None,
            Number::Known(size) if size >= 1.0 && size.fract() == 0.0 => Some(size as usize),
            Number::Known(_) | Number::Batch => return Err("its new sizes mix images".into()),
        });
    }
    let known = sizes.iter().flatten().try_fold(1usize, |product, &size| product.checked_mul(size));
    let known = known.filter(|&known| known > 0).ok_or("its new sizes make no tensor")?;
    Ok(sizes.into_iter().map(|size| size.unwrap_or(elements / known)).collect())
}

fn flattened(node: Node, before: &[usize]) -> Imports<Vec<usize>> {
    match node.int("axis") {
        None | Some(1) => Ok(vec![before.iter().product()]),
        Some(axis) => match axis.checked_add(1 + before.len() as i64) {
            Some(1) => Ok(vec![before.iter().product()]),
            _ => Err(format!("axis {axis} joins images: 1 is known").into()),
        },
    }
}

/// Sizes without those of one, or with more of them.
pub fn squeezed<'a>(import: &Import<'a>, node: Node<'a>, before: &[usize]) -> Imports<Vec<usize>> {
    let axes = axes(import, node)?;
    let insert = node.operator() == "Unsqueeze";
    let rank = 1 + before.len() + if insert { axes.as_ref().map_or(0, Vec::len) } else { 0 };
    let axes = axes.map(|axes| places(&axes, rank)).transpose()?;
    if axes.as_ref().is_some_and(|axes| axes.contains(&0)) {
        return Err("changes the place of the batch".into());
    }
    Ok(match (axes, insert) {
        (None, _) => before.iter().copied().filter(|&size| size != 1).collect(),
        (Some(axes), false) => {
            let kept = before.iter().enumerate().filter(|(place, _)| !axes.contains(&(place + 1)));
            kept.map(|(_, &size)| size).collect()
        }
        (Some(axes), true) => {
            let mut rest = before.iter();
            (1..rank).map(|place| if axes.contains(&place) { 1 } else { rest.next().copied().unwrap_or(1) }).collect()
        }
    })
}

/// The sizes of a constant with ones where Unsqueeze puts them.
pub fn with_ones<'a>(import: &Import<'a>, node: Node<'a>, before: &[usize]) -> Imports<Vec<usize>> {
    let axes = axes(import, node)?.ok_or("has no axes")?;
    let rank = before.len() + axes.len();
    let axes = places(&axes, rank)?;
    let mut rest = before.iter();
    Ok((0..rank).map(|place| if axes.contains(&place) { 1 } else { rest.next().copied().unwrap_or(1) }).collect())
}

/// Axes are an attribute or, in later opsets, an input.
pub fn axes<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<Option<Vec<i64>>> {
    if let Some(axes) = node.ints("axes") {
        return Ok(Some(axes.to_vec()));
    }
    match import.tensor(node, 1)? {
        None => Ok(None),
        Some(axes) if axes.dims.iter().product::<usize>() <= 8 => {
            let axes = axes.known().ok_or("its axes are not known")?;
            Ok(Some(axes.into_iter().map(|axis| axis as i64).collect()))
        }
        Some(_) => Err("has too many axes".into()),
    }
}

/// Axes from 0; negative ones count from the end.
pub fn places(axes: &[i64], rank: usize) -> Imports<Vec<usize>> {
    let place = |&axis: &i64| {
        let place = if axis < 0 { axis.checked_add(rank as i64)? } else { axis };
        usize::try_from(place).ok().filter(|&place| place < rank)
    };
    axes.iter().map(place).collect::<Option<_>>().ok_or(Fault::Here(format!("axes {axes:?} are none of {rank} sizes")))
}

/// The view that has these sizes.
fn viewed<'a>(import: &mut Import<'a>, node: Node<'a>, from: OnnxActivation, sizes: &[usize]) -> Imports<Value> {
    let shape = import.draft.shape(from.source);
    if from.view.sizes(shape) == sizes {
        return Ok(Value::Activation(from));
    }
    if sizes.iter().try_fold(1usize, |product, &size| product.checked_mul(size)) != Some(shape.image_elements()) {
        let before = from.view.sizes(shape);
        return Err(format!("makes {sizes:?} per image of {before:?}: as many elements are wanted").into());
    }
    let single = (shape.h, shape.w) == (1, 1);
    let to = |view: View| Ok(Value::Activation(OnnxActivation { view, ..from }));
    match (from.view, sizes) {
        (View::ChannelsFirst | View::ChannelsLast | View::Vector | View::Pixels, [_]) if single => to(View::Vector),
        (View::ChannelsFirst | View::ChannelsLast | View::Vector, [_, 1]) if single => to(View::Pixels),
        (View::ChannelsFirst, [c, _]) if *c == shape.c => to(View::Pixels),
        (View::Pixels, [c, h, w]) if [*c, *h, *w] == [shape.c, shape.h, shape.w] => to(View::ChannelsFirst),
        (View::ChannelsFirst | View::ChannelsLast | View::Pixels, [_]) => {
            let flat = import.layer(node, None, Kind::Flatten, &[from])?;
            Ok(Value::Activation(OnnxActivation { view: View::Vector, ..flat }))
        }
        (View::Vector | View::ChannelsLast, [_, 1, 1]) if single => to(View::ChannelsFirst),
        (View::Vector | View::ChannelsFirst, [1, 1, _]) if single => to(View::ChannelsLast),
        (View::ChannelsFirst, [groups, _, h, w]) if [*h, *w] == [shape.h, shape.w] => to(View::Grouped(*groups)),
        (View::Grouped(_), [c, h, w]) if [*c, *h, *w] == [shape.c, shape.h, shape.w] => to(View::ChannelsFirst),
        (View::Shuffled(groups), [c, h, w]) if [*c, *h, *w] == [shape.c, shape.h, shape.w] => {
            let kind = Kind::ChannelShuffle(ChannelShuffle { groups });
            let shuffled = import.layer(node, None, kind, &[from])?;
            Ok(Value::Activation(OnnxActivation { view: View::ChannelsFirst, ..shuffled }))
        }
        _ => Err(format!("makes {sizes:?} of {}: flattening an image is known", from.view.words()).into()),
    }
}

fn transpose(node: Node, from: OnnxActivation) -> Imports<Value> {
    let order = node.ints("perm").unwrap_or_default();
    let view = match (from.view, order) {
        (view, [0, 1]) | (view, [0, 1, 2, 3]) => view,
        (View::ChannelsFirst, [0, 2, 3, 1]) => View::ChannelsLast,
        (View::ChannelsLast, [0, 3, 1, 2]) => View::ChannelsFirst,
        (View::Grouped(groups), [0, 2, 1, 3, 4]) => View::Shuffled(groups),
        (View::Pixels, [0, 2, 1]) => {
            return Err(
                "puts pixels before channels, as a transformer does: only networks of convolutions can be described"
                    .into(),
            );
        }
        (view, order) => return Err(format!("order {order:?} of {} is not known", view.words()).into()),
    };
    Ok(Value::Activation(OnnxActivation { view, ..from }))
}

/// Joins along the channels; of constants, one list behind the other.
pub fn concat<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let is_constant = |input: usize| matches!(import.value(node, input), Ok(Value::Tensor(_)));
    if (0..node.proto.input.len()).all(is_constant) {
        return constants::fold(import, node);
    }
    let inputs = zeros::inputs(import, node)?;
    let [first, ..] = inputs.as_slice() else { return Err("joins nothing".into()) };
    let (rank, channels) = match first.view {
        View::ChannelsFirst => (4, 1),
        View::ChannelsLast => (4, 3),
        View::Vector => (2, 1),
        View::Pixels => (3, 1),
        View::Grouped(_) | View::Shuffled(_) => return Err("joins groups of channels".into()),
    };
    let axis = node.int("axis").unwrap_or(1);
    if places(&[axis], rank)? != [channels] || inputs.iter().any(|input| input.view != first.view) {
        return Err(format!("joins along axis {axis} of {}: channels are known", first.view.words()).into());
    }
    if inputs.len() == 1 {
        return Ok(Value::Activation(*first));
    }
    Ok(Value::Activation(import.layer(node, None, Kind::Concat, &inputs)?))
}

/// Tells if the node's input depends on the image.
pub fn is_of_activation<'a>(import: &Import<'a>, node: Node<'a>) -> bool {
    matches!(import.value(node, 0), Ok(Value::Activation(_) | Value::Pointwise(_)))
}

/// How many sizes, and the axis of the channels.
fn channel_axis(view: View) -> Imports<(usize, usize)> {
    match view {
        View::ChannelsFirst => Ok((4, 1)),
        View::ChannelsLast => Ok((4, 3)),
        View::Vector => Ok((2, 1)),
        View::Pixels => Ok((3, 1)),
        View::Grouped(_) | View::Shuffled(_) => Err("takes a part of groups of channels".into()),
    }
}

/// Some channels of an activation.
pub fn slice<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let input = import.activation(node, 0)?;
    let (rank, channels) = channel_axis(input.view)?;
    let total = import.draft.shape(input.source).c as i64;
    let list = |place: usize, name: &str| -> Imports<Option<Vec<i64>>> {
        match (node.ints(name), import.tensor(node, place)?) {
            (Some(list), _) => Ok(Some(list.to_vec())),
            (None, Some(tensor)) => {
                let list = tensor.known().ok_or("takes a part between bounds that are not known")?;
                Ok(Some(list.into_iter().map(|bound| bound as i64).collect()))
            }
            (None, None) => Ok(None),
        }
    };
    let (starts, ends, axes) = (list(1, "starts")?, list(2, "ends")?, list(3, "axes")?);
    let steps = list(4, "steps")?;
    let (Some(&[start]), Some(&[end])) = (starts.as_deref(), ends.as_deref()) else {
        return Err("takes a part along several sizes: channels are known".into());
    };
    let along = places(&axes.unwrap_or(vec![0]), rank)?;
    if let (View::ChannelsFirst, &[axis], Some(&[step])) = (input.view, along.as_slice(), steps.as_deref())
        && axis >= 2
        && step >= 2
    {
        return reduce::every(import, node, input, axis, [start, end, step]);
    }
    if along != [channels] || steps.is_some_and(|steps| steps != [1]) {
        return Err(
            format!("takes a part along {along:?} of {}: channels one by one are known", input.view.words()).into()
        );
    }
    let place = |at: i64| (if at < 0 { at.saturating_add(total) } else { at }).clamp(0, total) as usize;
    let (from, end) = (place(start), place(end));
    sliced(import, node, input, [from, end.saturating_sub(from)])
}

/// Parts of the channels, one for each output.
pub fn split<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Vec<Value>> {
    let input = import.activation(node, 0)?;
    let (rank, channels) = channel_axis(input.view)?;
    if places(&[node.int("axis").unwrap_or(0)], rank)? != [channels] {
        return Err(format!("splits other sizes than the channels of {}", input.view.words()).into());
    }
    let (total, outputs) = (import.draft.shape(input.source).c, node.proto.output.len().max(1));
    let given = match (node.ints("split"), import.tensor(node, 1)?) {
        (Some(parts), _) => Some(parts.iter().map(|&part| part as f64).collect()),
        (None, Some(parts)) => Some(parts.known().ok_or("its parts are not known")?),
        (None, None) => None,
    };
    let even = total.div_ceil(outputs);
    let parts: Vec<usize> = match given {
        Some(parts) => parts.into_iter().map(|part: f64| part.max(0.0) as usize).collect(),
        None => (0..outputs).map(|index| even.min(total.saturating_sub(index * even))).collect(),
    };
    if parts.len() != outputs || sum(&parts) != Some(total) {
        return Err(format!("splits {total} channels into {} other parts", parts.len()).into());
    }
    let mut from = 0;
    let part = |part: usize| {
        from += part;
        sliced(import, node, input, [from - part, part])
    };
    parts.into_iter().map(part).collect()
}

/// The same as a sequence, of runs of one length or of lengths that are listed.
pub fn split_to_sequence<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let input = import.activation(node, 0)?;
    let (rank, channels) = channel_axis(input.view)?;
    if places(&[node.int("axis").unwrap_or(0)], rank)? != [channels] {
        return Err(format!("splits other sizes than the channels of {}", input.view.words()).into());
    }
    let total = import.draft.shape(input.source).c;
    let given = import.tensor(node, 1)?.ok_or("splits into single channels, which is not known")?;
    let sizes = given.known().ok_or("its parts are not known")?;
    let parts: Vec<usize> = match sizes.as_slice() {
        &[size] if given.dims.is_empty() && size >= 1.0 => {
            let size = size as usize;
            (0..total.div_ceil(size)).map(|index| size.min(total - index * size)).collect()
        }
        several => several.iter().map(|&part| part.max(0.0) as usize).collect(),
    };
    if sum(&parts) != Some(total) {
        return Err(format!("splits {total} channels into {} other parts", parts.len()).into());
    }
    Ok(Value::Parts(input, parts))
}

/// One of a sequence's parts.
pub fn sequence_at<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let Value::Parts(input, parts) = import.value(node, 0)? else {
        return Err("takes what is no sequence of channels".into());
    };
    let at = import.tensor(node, 1)?.and_then(|at| at.scalar()).ok_or("its place is not known")?;
    let at = places(&[at as i64], parts.len())?[0];
    sliced(import, node, input, [parts[..at].iter().sum(), parts[at]])
}

/// `None` beyond what a number holds.
fn sum(parts: &[usize]) -> Option<usize> {
    parts.iter().try_fold(0usize, |sum, &part| sum.checked_add(part))
}

fn sliced<'a>(
    import: &mut Import<'a>,
    node: Node<'a>,
    input: OnnxActivation,
    [from, channels]: [usize; 2],
) -> Imports<Value> {
    if [from, channels] == [0, import.draft.shape(input.source).c] {
        return Ok(Value::Activation(input));
    }
    let kind = Kind::Slice(Slice { from, channels });
    Ok(Value::Activation(import.layer(node, None, kind, &[input])?))
}
