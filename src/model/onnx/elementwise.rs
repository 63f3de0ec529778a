//! Operators that work element by element.

use super::curve::{self, Samples};
use super::import::{Fault, Import, Imports};
use super::linear;
use super::list;
use super::local_norm;
use super::node::Node;
use super::noise;
use super::spread;
use super::tensor::{ConstTensor, MOST_NUMBERS, Number};
use super::value::{OnnxActivation, Pointwise, Value};
use crate::model::Kind;
use crate::model::kind::Scale;

/// Said of a function that is no activation function of docs/networks.md.
const UNKNOWN_FUNCTION: &str = "no layer computes this function of its input: relu, sigmoid, tanh, silu, gelu, leaky_relu, elu and a few others are known";

/// A function of one activation; of constants, their results.
pub fn unary<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let Some(function) = function_of(node) else { return Err("its attributes are not known".into()) };
    match import.value(node, 0)? {
        Value::Tensor(tensor) => Ok(Value::Tensor(mapped(&tensor, &function))),
        _ => Ok(Value::Pointwise(applied(import, node, 0, function)?)),
    }
}

fn function_of(node: Node) -> Option<Box<dyn Fn(f64) -> f64>> {
    if node.operator() == "Gelu" && node.text("approximate") == Some("tanh") {
        return None;
    }
    curve::unary(node.operator(), node.float("alpha"), node.float("beta"))
}

fn mapped(tensor: &ConstTensor, function: impl Fn(f64) -> f64) -> ConstTensor {
    let of = |number: &Number| match *number {
        Number::Known(number) => Number::Known(function(number)),
        Number::Batch => Number::Batch,
    };
    let numbers = tensor.numbers.as_ref().map(|numbers| numbers.iter().map(of).collect());
    ConstTensor { numbers, fill: tensor.fill.map(&function), ..tensor.clone() }
}

/// `function` of an input that depends on the image.
fn applied<'a>(
    import: &mut Import<'a>,
    node: Node<'a>,
    input: usize,
    function: impl Fn(f64) -> f64,
) -> Imports<Pointwise> {
    let curve = operand(import, node, input)?;
    Ok(Pointwise { samples: curve.samples.map(function), node: node.index, depth: curve.depth + 1, ..curve })
}

/// An input as a function of a layer's output.
fn operand<'a>(import: &mut Import<'a>, node: Node<'a>, input: usize) -> Imports<Pointwise> {
    match import.value(node, input)? {
        Value::Pointwise(curve) => Ok(curve),
        _ => {
            let base = import.activation(node, input)?;
            Ok(Pointwise { base, samples: Samples::IDENTITY, node: node.index, depth: 0 })
        }
    }
}

/// The limits of Clip are attributes before opset 11, and inputs since.
fn limits<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<[f64; 2]> {
    let limit = |input: usize, name: &str, none: f64| -> Imports<f64> {
        match import.tensor(node, input)? {
            Some(tensor) => tensor.scalar().ok_or(Fault::Here(format!("`{name}` is no number that is known"))),
            None => Ok(node.float(name).unwrap_or(none)),
        }
    };
    let [low, high] = [limit(1, "min", f64::NEG_INFINITY)?, limit(2, "max", f64::INFINITY)?];
    if low <= high { Ok([low, high]) } else { Err(format!("has limits {low} and {high}").into()) }
}

pub fn clip<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let [low, high] = limits(import, node)?;
    Ok(Value::Pointwise(applied(import, node, 0, |x| x.clamp(low, high))?))
}

/// Two operands: constants, an activation and a constant, or two activations.
pub fn binary<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    let operator = if node.operator() == "Sum" { "Add" } else { node.operator() };
    let Some(function) = curve::binary(operator) else { return Err("the operator is not known".into()) };
    if node.proto.input.len() != 2 {
        return joined(import, node, Kind::Add);
    }
    if let Some(value) = noise::product(import, node)? {
        return Ok(value);
    }
    if let Some(value) = spread::product(import, node)? {
        return Ok(value);
    }
    if let Some(value) = local_norm::arithmetic(import, node)? {
        return Ok(value);
    }
    if let Some(places) = list::arithmetic(import, node)? {
        return Ok(Value::Places(places));
    }
    match (import.value(node, 0)?, import.value(node, 1)?) {
        (Value::Tensor(a), Value::Tensor(b)) => Ok(Value::Tensor(folded(&a, &b, function))),
        (_, Value::Tensor(constant)) => with_constant(import, node, 0, &constant, function),
        (Value::Tensor(constant), _) => with_constant(import, node, 1, &constant, |x, c| function(c, x)),
        _ => {
            let [a, b] = [operand(import, node, 0)?, operand(import, node, 1)?];
            if a.base == b.base && (a.depth > 0 || b.depth > 0) {
                let samples = a.samples.with(b.samples, function);
                let depth = a.depth.max(b.depth) + 1;
                return Ok(Value::Pointwise(Pointwise { base: a.base, samples, node: node.index, depth }));
            }
            two_layers(import, node)
        }
    }
}

/// Constants of sizes, element by element; a single one goes with each of the others.
fn folded(a: &ConstTensor, b: &ConstTensor, function: fn(f64, f64) -> f64) -> ConstTensor {
    let longer = if a.dims.iter().product::<usize>() >= b.dims.iter().product() { a } else { b };
    let at = |numbers: &[Number], index: usize| match numbers {
        [single] => Some(*single),
        all => all.get(index).copied(),
    };
    let of = |a: &Vec<Number>, b: &Vec<Number>| {
        let length = a.len().max(b.len()).min(MOST_NUMBERS);
        let numbers = (0..length).map(|index| match (at(a, index)?, at(b, index)?) {
            (Number::Known(a), Number::Known(b)) => Some(Number::Known(function(a, b))),
            (Number::Batch, Number::Known(1.0)) | (Number::Known(1.0), Number::Batch) if function(1.0, 5.0) == 5.0 => {
                Some(Number::Batch)
            }
            _ => None,
        });
        numbers.collect::<Option<Vec<_>>>()
    };
    let numbers = a.numbers.as_ref().zip(b.numbers.as_ref()).and_then(|(a, b)| of(a, b));
    ConstTensor { name: String::new(), dims: longer.dims.clone(), numbers, fill: None }
}

/// An activation and a constant: one number for all, or a bias for each channel.
fn with_constant<'a>(
    import: &mut Import<'a>,
    node: Node<'a>,
    input: usize,
    constant: &ConstTensor,
    function: impl Fn(f64, f64) -> f64,
) -> Imports<Value> {
    if node.operator() == "Add"
        && constant.scalar().is_none()
        && let Some(value) = linear::add_bias(import, node, input, constant)?
    {
        return Ok(value);
    }
    if node.operator() == "Mul"
        && let Some(value) = scale(import, node, input, constant)?
    {
        return Ok(value);
    }
    match constant.scalar().or_else(|| constant.uniform()) {
        Some(number) => Ok(Value::Pointwise(applied(import, node, input, |x| function(x, number))?)),
        None => {
            let sizes = &constant.dims;
            Err(format!("takes constants of sizes {sizes:?} with an activation: the bias of a convolution and factors of channels are known")
                .into())
        }
    }
}

/// A number for each of several channels.
fn scale<'a>(import: &mut Import<'a>, node: Node<'a>, input: usize, constant: &ConstTensor) -> Imports<Option<Value>> {
    let activation = import.activation(node, input)?;
    let channels = import.draft.shape(activation.source).c;
    if channels == 1
        || constant.vector() != Some(channels)
        || !linear::is_along_channels(activation.view, constant, channels)
    {
        return Ok(None);
    }
    let kind = Kind::Scale(Scale { bias: false });
    Ok(Some(Value::Activation(import.layer(node, Some(constant), kind, &[activation])?)))
}

fn two_layers<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<Value> {
    match node.operator() {
        "Add" | "Sum" => joined(import, node, Kind::Add),
        "Mul" => joined(import, node, Kind::Multiply),
        other => Err(format!("{other} of two activations is not known: Add, Mul and Concat are").into()),
    }
}

/// A layer of all inputs, which have equal views.
fn joined<'a>(import: &mut Import<'a>, node: Node<'a>, kind: Kind) -> Imports<Value> {
    let inputs = (0..node.proto.input.len()).map(|input| import.activation(node, input));
    let inputs: Vec<OnnxActivation> = inputs.collect::<Imports<_>>()?;
    match inputs.iter().find(|other| other.view != inputs[0].view) {
        Some(other) => Err(format!("joins {} with {}", inputs[0].view.words(), other.view.words()).into()),
        None if inputs.len() < 2 => Err("joins less than two inputs".into()),
        None => Ok(Value::Activation(import.layer(node, None, kind, &inputs)?)),
    }
}

/// A curve that no single layer computes: its operand by a layer of its own, and the node's function on top.
pub fn in_parts<'a>(import: &mut Import<'a>, node: Node<'a>) -> Imports<OnnxActivation> {
    let inputs: Vec<usize> = (0..node.proto.input.len())
        .filter(|&input| {
            node.input(input).is_some_and(|name| !matches!(import.values.get(name), Some(Value::Tensor(_))))
        })
        .collect();
    let whole = matches!(inputs[..], [input] if matches!(import.value(node, input), Ok(Value::Activation(_))));
    if whole {
        return Err(UNKNOWN_FUNCTION.into());
    }
    for &input in &inputs {
        import.activation(node, input)?;
    }
    let value = match inputs.len() {
        1 if node.operator() == "Clip" => clip(import, node)?,
        1 => match curve::binary(node.operator()) {
            Some(_) => binary(import, node)?,
            None => unary(import, node)?,
        },
        _ => two_layers(import, node)?,
    };
    match value {
        Value::Activation(activation) => Ok(activation),
        Value::Pointwise(curve) => match curve.samples.kind() {
            Some(kind) => import.layer(node, None, kind, &[curve.base]),
            None => Err(UNKNOWN_FUNCTION.into()),
        },
        Value::Tensor(_)
        | Value::Noise(_)
        | Value::Parts(..)
        | Value::List(_)
        | Value::Places(_)
        | Value::Spread(_)
        | Value::LocalNorm(_)
        | Value::Softmax(_)
        | Value::Missing(_) => Err("gives no activation".into()),
    }
}
