//! The kinds with several inputs: add, and concat along the channels.

use crate::plan::Shape;

pub fn add(inputs: &[&[f64]]) -> Vec<f64> {
    let mut sum = inputs[0].to_vec();
    for input in &inputs[1..] {
        sum.iter_mut().zip(*input).for_each(|(sum, x)| *sum += x);
    }
    sum
}

/// Image by image, the inputs' channels one after another.
pub fn concat(inputs: &[&[f64]], shapes: &[Shape]) -> Vec<f64> {
    let mut joined = Vec::new();
    for n in 0..shapes[0].n {
        for (input, shape) in inputs.iter().zip(shapes) {
            joined.extend_from_slice(image(input, shape, n));
        }
    }
    joined
}

/// The channels of `dy` that input number `slot` became.
pub fn concat_backward_data(slot: usize, shapes: &[Shape], dy: &[f64]) -> Vec<f64> {
    let before: usize = shapes[..slot].iter().map(Shape::image_elements).sum();
    let whole: usize = shapes.iter().map(Shape::image_elements).sum();
    dy.chunks(whole).flat_map(|dy| &dy[before..][..shapes[slot].image_elements()]).copied().collect()
}

fn image<'a>(values: &'a [f64], shape: &Shape, n: usize) -> &'a [f64] {
    &values[n * shape.image_elements()..][..shape.image_elements()]
}
