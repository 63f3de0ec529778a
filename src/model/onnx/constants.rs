//! Operators on constants, with which exporters compute sizes.

use super::arrange::{self, wholes};
use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::{ConstTensor, MOST_NUMBERS, Number, is_tensor};
use super::value::Value;
use super::{noise, views};

/// The result of an operator whose inputs do not depend on the image, or of Shape.
pub fn fold<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    if let Some(blank) = blank(import, node)? {
        return Ok(blank);
    }
    let tensor = match node.operator() {
        "Constant" => constant(node)?,
        "Shape" => shape(import, node)?,
        "Gather" => gather(import, node)?,
        "Slice" => part(import, node)?,
        "Concat" => concat(import, node)?,
        "Expand" | "ConstantOfShape" => filled(import, node)?,
        "Unsqueeze" => unsqueezed(import, node)?,
        "Reshape" => arrange::reshaped(import, node)?,
        "Floor" | "Ceil" | "Squeeze" | "Flatten" => same_numbers(import, node)?,
        "Transpose" => arrange::transposed(import, node)?,
        other => return Err(format!("{other} of constants is not known").into()),
    };
    Ok(Value::Tensor(tensor))
}

/// A constant of the batch's size is of use for random numbers, and for zeros beside channels.
fn blank<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Option<Value>> {
    let is_zero = |fill: ConstTensor| fill.uniform() == Some(0.0);
    let (zeros, sizes) = match node.operator() {
        "Expand" => (import.tensor(node, 0).is_ok_and(|fill| fill.is_some_and(is_zero)), import.tensor(node, 1)?),
        // Zero where it does not say otherwise.
        "ConstantOfShape" => {
            let fill = node.tensor("value").map(ConstTensor::read).transpose()?;
            (fill.is_none_or(is_zero), import.tensor(node, 0)?)
        }
        _ => return Ok(None),
    };
    Ok(sizes.and_then(|sizes| sizes.numbers).and_then(|sizes| noise::blank(&sizes, zeros)))
}

fn constant(node: Node) -> Imports<ConstTensor> {
    if let Some(proto) = node.tensor("value") {
        return Ok(ConstTensor::read(proto)?);
    }
    let single = node.int("value_int").map(|value| value as f64).or(node.float("value_float"));
    if let Some(value) = single {
        return Ok(ConstTensor { dims: Vec::new(), ..ConstTensor::list(vec![Number::Known(value)]) });
    }
    match node.ints("value_ints") {
        Some(values) if values.len() <= MOST_NUMBERS => {
            Ok(ConstTensor::list(values.iter().map(|&value| Number::Known(value as f64)).collect()))
        }
        _ => Err("only numbers are known".into()),
    }
}

fn shape<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    let known = |size: &usize| Number::Known(*size as f64);
    let all: Vec<Number> = match import.value(node, 0)? {
        Value::Tensor(tensor) => tensor.dims.iter().map(known).collect(),
        _ => {
            let activation = import.activation(node, 0)?;
            let sizes = activation.view.sizes(import.draft.shape(activation.source));
            [Number::Batch].into_iter().chain(sizes.iter().map(known)).collect()
        }
    };
    let place = |at: i64| (if at < 0 { at + all.len() as i64 } else { at }).clamp(0, all.len() as i64) as usize;
    let (start, end) = (place(node.int("start").unwrap_or(0)), place(node.int("end").unwrap_or(i64::MAX)));
    Ok(ConstTensor::list(all.get(start..end).unwrap_or_default().to_vec()))
}

/// A list of numbers at input `input`.
fn list<'a>(import: &Import<'a>, node: Node<'a>, input: usize) -> Imports<Vec<Number>> {
    match import.tensor(node, input)?.and_then(|tensor| tensor.numbers) {
        Some(numbers) => Ok(numbers),
        None => Err("takes constants that are not known".into()),
    }
}

fn gather<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    if !matches!(import.value(node, 0)?, Value::Tensor(_)) {
        return Err("picks from an activation: Slice of channels is known".into());
    }
    let all = list(import, node, 0)?;
    let indices = wholes(import, node, 1)?.unwrap_or_default();
    let dims = import.tensor(node, 1)?.map_or(Vec::new(), |tensor| tensor.dims);
    let at = |&index: &i64| {
        let index = if index < 0 { index + all.len() as i64 } else { index };
        usize::try_from(index).ok().and_then(|index| all.get(index).copied())
    };
    let picked: Option<Vec<Number>> = indices.iter().map(at).collect();
    picked.map(|numbers| ConstTensor { dims, ..ConstTensor::list(numbers) }).ok_or("picks what is not there".into())
}

fn part<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    match import.value(node, 0)? {
        Value::Tensor(_) => arrange::sliced(import, node),
        _ => Err("takes a part of an activation, which is not known".into()),
    }
}

fn concat<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    let mut numbers = Vec::new();
    for input in 0..node.proto.input.len() {
        numbers.extend(list(import, node, input)?);
        if numbers.len() > MOST_NUMBERS {
            return Err("joins too many constants".into());
        }
    }
    Ok(ConstTensor::list(numbers))
}

/// Numbers that stay as they are: sizes are whole, and lists stay lists.
fn same_numbers<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    match import.tensor(node, 0)? {
        Some(tensor) if tensor.numbers.is_some() => {
            let dims = match (node.operator(), tensor.numbers.as_ref().map(Vec::len)) {
                ("Squeeze", Some(1)) => Vec::new(),
                ("Flatten", Some(length)) => vec![length],
                _ => tensor.dims.clone(),
            };
            Ok(ConstTensor { dims, ..tensor })
        }
        _ => Err("takes constants that are not known".into()),
    }
}

/// More sizes of one; the numbers need not be known.
fn unsqueezed<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    let Some(tensor) = import.tensor(node, 0)? else { return Err("has no input".into()) };
    let dims = views::with_ones(import, node, &tensor.dims)?;
    Ok(ConstTensor { dims, ..tensor })
}

/// One number in every element of a tensor of given sizes.
fn filled<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    let (fill, sizes) = match node.operator() {
        "Expand" => (import.tensor(node, 0)?, wholes(import, node, 1)?),
        _ => (node.tensor("value").map(ConstTensor::read).transpose()?, wholes(import, node, 0)?),
    };
    let fill = match fill {
        Some(fill) => fill.uniform().ok_or("takes constants that are not known")?,
        None => 0.0,
    };
    let dims: Option<Vec<usize>> =
        sizes.unwrap_or_default().into_iter().map(|size| usize::try_from(size).ok()).collect();
    let dims = dims.filter(|dims| is_tensor(dims)).ok_or("asks for sizes that make no tensor")?;
    let elements = dims.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let few = elements.filter(|&elements| elements <= MOST_NUMBERS);
    let numbers = few.map(|elements| vec![Number::Known(fill); elements]);
    Ok(ConstTensor { name: String::new(), dims, numbers, fill: Some(fill) })
}
