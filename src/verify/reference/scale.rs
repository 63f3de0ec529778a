//! A factor and an addend for each channel: y = w · x + b.

use super::real::Real;
use super::sums::over_channels;
use crate::plan::Shape;

/// `biases` may be empty.
pub fn forward<T: Real>(shape: Shape, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let plane = shape.h * shape.w;
    let value = |(at, &x): (usize, &T)| {
        let c = at / plane % shape.c;
        weights[c] * x + biases.get(c).copied().unwrap_or(T::zero())
    };
    x.iter().enumerate().map(value).collect()
}

pub fn backward_data<T: Real>(shape: Shape, weights: &[T], dy: &[T]) -> Vec<T> {
    forward(shape, dy, weights, &[])
}

/// Σ dy · x.
pub fn backward_weights<T: Real>(shape: Shape, x: &[T], dy: &[T]) -> Vec<T> {
    over_channels(shape, |_, at| dy[at] * x[at])
}
