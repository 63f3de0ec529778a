//! The kinds with several inputs: add, multiply, and concat along the channels.

use super::real::Real;
use crate::plan::Shape;

pub fn add<T: Real>(inputs: &[&[T]]) -> Vec<T> {
    let mut sum = inputs[0].to_vec();
    for input in &inputs[1..] {
        sum.iter_mut().zip(*input).for_each(|(sum, &x)| *sum += x);
    }
    sum
}

/// One factor of a product, at an element of the other or of the output.
fn factor<T: Real>(values: &[T], shape: Shape, plane: usize, at: usize) -> T {
    if shape.h * shape.w == plane { values[at] } else { values[at / plane] }
}

/// Pixels of the larger factor.
fn larger_plane(shapes: &[Shape]) -> usize {
    shapes.iter().map(|shape| shape.h * shape.w).fold(1, usize::max)
}

/// A factor of one pixel meets every pixel of its channel.
pub fn multiply<T: Real>(inputs: &[&[T]], shapes: &[Shape]) -> Vec<T> {
    let plane = larger_plane(shapes);
    let elements = inputs[0].len().max(inputs[1].len());
    (0..elements).map(|at| factor(inputs[0], shapes[0], plane, at) * factor(inputs[1], shapes[1], plane, at)).collect()
}

pub fn multiply_backward_data<T: Real>(slot: usize, inputs: &[&[T]], shapes: &[Shape], dy: &[T]) -> Vec<T> {
    let (other, plane) = (1 - slot, larger_plane(shapes));
    let term = |at: usize| dy[at] * factor(inputs[other], shapes[other], plane, at);
    if shapes[slot].h * shapes[slot].w == plane {
        return (0..dy.len()).map(term).collect();
    }
    (0..dy.len() / plane).map(|channel| (channel * plane..(channel + 1) * plane).map(term).sum()).collect()
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
