//! Constants with other sizes, or their numbers in another order: lists of pads, as PyTorch's TorchScript exporter computes them.

use super::import::{Import, Imports};
use super::node::Node;
use super::tensor::{ConstTensor, MOST_NUMBERS, Number, is_tensor};
use super::views;

/// Known whole numbers at input `input`; `None` where it is left out.
pub fn wholes<'a>(import: &Import<'a>, node: Node<'a>, input: usize) -> Imports<Option<Vec<i64>>> {
    match import.tensor(node, input)? {
        None => Ok(None),
        Some(tensor) => {
            let numbers = tensor.known().ok_or("takes constants that are not known")?;
            Ok(Some(numbers.into_iter().map(|number| number as i64).collect()))
        }
    }
}

/// Other sizes for as many numbers.
pub fn reshaped<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    let Some(tensor) = import.tensor(node, 0)? else { return Err("has no input".into()) };
    let asked = match node.ints("shape") {
        Some(shape) => shape.to_vec(),
        None => wholes(import, node, 1)?.ok_or("its new sizes are not known")?,
    };
    let size = |(place, &size): (usize, &i64)| match size {
        -1 => Some(None),
        0 => tensor.dims.get(place).map(|&size| Some(size)),
        size => usize::try_from(size).ok().map(Some),
    };
    let sizes: Option<Vec<Option<usize>>> = asked.iter().enumerate().take(17).map(size).collect();
    let sizes = sizes.filter(|sizes| sizes.len() <= 16 && sizes.iter().filter(|size| size.is_none()).count() <= 1);
    let sizes = sizes.ok_or("asks for sizes that make no tensor")?;
    let elements: usize = tensor.dims.iter().product();
    let known = sizes.iter().flatten().try_fold(1usize, |product, &size| product.checked_mul(size));
    let rest = known.and_then(|known| elements.checked_div(known));
    let dims: Vec<usize> = sizes.into_iter().map(|size| size.or(rest).unwrap_or(0)).collect();
    match is_tensor(&dims) && dims.iter().product::<usize>() == elements {
        true => Ok(ConstTensor { dims, ..tensor }),
        false => Err(format!("makes {asked:?} of {:?}: as many elements are wanted", tensor.dims).into()),
    }
}

/// A part along one size, forwards or backwards.
pub fn sliced<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    let tensor = import.tensor(node, 0)?.filter(|tensor| tensor.numbers.is_some());
    let Some(tensor) = tensor else { return Err("takes constants that are not known".into()) };
    let single = |input: usize, name: &str, default: Option<i64>| -> Imports<i64> {
        let given = match node.ints(name) {
            Some(given) => Some(given.to_vec()),
            None => wholes(import, node, input)?,
        };
        match (given.as_deref(), default) {
            (Some(&[at]), _) | (None, Some(at)) => Ok(at),
            _ => Err("takes a part along several sizes".into()),
        }
    };
    let (start, end) = (single(1, "starts", None)?, single(2, "ends", None)?);
    let (axis, step) = (single(3, "axes", Some(0))?, single(4, "steps", Some(1))?);
    let axis = views::places(&[axis], tensor.dims.len())?[0];
    if tensor.dims[axis] > MOST_NUMBERS {
        return Err("takes a part of too many places".into());
    }
    let places = run(tensor.dims[axis], [start, end, step]).ok_or("has a step of zero")?;
    let inner: usize = tensor.dims[axis + 1..].iter().product();
    let outer: usize = tensor.dims[..axis].iter().product();
    let row = |outer: usize, place: usize| (outer * tensor.dims[axis] + place) * inner;
    let starts = (0..outer).flat_map(|outer| places.iter().map(move |&place| (outer, place)));
    let indices = starts.flat_map(|(outer, place)| row(outer, place)..row(outer, place) + inner);
    let mut dims = tensor.dims.clone();
    dims[axis] = places.len();
    picked(&tensor, indices, dims)
}

/// Places from `start` on before `end`, by ONNX's rules; `None` where the step is zero.
fn run(size: usize, [start, end, step]: [i64; 3]) -> Option<Vec<usize>> {
    let length = size as i64;
    let from_start = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let [start, end] = [start, end].map(|at| from_start(at).clamp(low, high.max(low)));
    let mut places = Vec::new();
    let mut at = start.max(if step > 0 { 0 } else { -1 });
    while (step > 0 && at < end) || (step < 0 && at > end) {
        places.push(usize::try_from(at).ok()?);
        at = at.saturating_add(step);
    }
    (step != 0).then_some(places)
}

/// Sizes in another order; the numbers go with them where they are known.
pub fn transposed<'a>(import: &Import<'a>, node: Node<'a>) -> Imports<ConstTensor> {
    let Some(tensor) = import.tensor(node, 0)? else { return Err("has no input".into()) };
    let rank = tensor.dims.len();
    let order = node.ints("perm").map_or_else(|| (0..rank as i64).rev().collect(), <[i64]>::to_vec);
    let order = views::places(&order, rank)?;
    if order.len() != rank || (0..rank).any(|place| !order.contains(&place)) {
        return Err("has no such order".into());
    }
    let dims: Vec<usize> = order.iter().map(|&place| tensor.dims[place]).collect();
    if tensor.numbers.is_none() {
        return Ok(ConstTensor { dims, ..tensor });
    }
    let steps: Vec<usize> = order.iter().map(|&place| tensor.dims[place + 1..].iter().product()).collect();
    let index = |mut rest: usize| {
        let of_axis = |(&size, step): (&usize, &usize)| {
            let place = rest % size;
            rest /= size;
            place * step
        };
        dims.iter().zip(&steps).rev().map(of_axis).sum::<usize>()
    };
    let elements: usize = dims.iter().product();
    picked(&tensor, (0..elements).map(index).collect::<Vec<_>>().into_iter(), dims.clone())
}

/// The numbers at these indices.
fn picked(tensor: &ConstTensor, mut indices: impl Iterator<Item = usize>, dims: Vec<usize>) -> Imports<ConstTensor> {
    let all: &[Number] = tensor.numbers.as_deref().unwrap_or_default();
    let numbers: Option<Vec<Number>> = indices.by_ref().map(|index| all.get(index).copied()).collect();
    let numbers = numbers.ok_or("picks what is not there")?;
    Ok(ConstTensor { name: tensor.name.clone(), dims, numbers: Some(numbers), fill: tensor.fill })
}
