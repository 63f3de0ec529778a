//! A fully connected layer's shape arithmetic.

use super::Shape;
use crate::model::kind::Fc;

pub fn output(fc: &Fc, input: Shape) -> Shape {
    Shape { n: input.n, c: fc.outputs, h: 1, w: 1 }
}

pub fn weights(fc: &Fc, input: Shape) -> u64 {
    (fc.outputs * input.image_elements()) as u64
}
