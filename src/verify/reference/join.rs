//! The kinds with several inputs: add, and concat along the channels.

use super::real::Real;
use crate::plan::Shape;

pub fn add<T: Real>(inputs: &[&[T]]) -> Vec<T> {
    let mut sum = inputs[0].to_vec();
    for input in &inputs[1..] {
        sum.iter_mut().zip(*input).for_each(|(sum, &x)| *sum += x);
    }
    sum
}

/// Image by image, the inputs' channels one after another.
pub fn concat<T: Real>(inputs: &[&[T]], shapes: &[Shape]) -> Vec<T> {
    let mut joined = Vec::new();
    for n in 0..shapes[0].n {
        for (input, shape) in inputs.iter().zip(shapes) {
            joined.extend_from_slice(image(input, shape, n));
        }
    }
    joined
}

/// The channels of `dy` that input number `slot` became.
pub fn concat_backward_data<T: Real>(slot: usize, shapes: &[Shape], dy: &[T]) -> Vec<T> {
    let before: usize = shapes[..slot].iter().map(Shape::image_elements).sum();
    let whole: usize = shapes.iter().map(Shape::image_elements).sum();
    dy.chunks(whole).flat_map(|dy| &dy[before..][..shapes[slot].image_elements()]).copied().collect()
}

fn image<'a, T>(values: &'a [T], shape: &Shape, n: usize) -> &'a [T] {
    &values[n * shape.image_elements()..][..shape.image_elements()]
}
