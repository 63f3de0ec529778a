//! PReLU: y = x, below zero w · x, with a slope w for each channel or one for all (He et al. 2015, "Delving Deep into Rectifiers").

use super::real::Real;
use super::sums::over_channels;
use crate::plan::Shape;

/// The slope at an element.
fn slope<T: Real>(shape: Shape, weights: &[T], at: usize) -> T {
    weights[if weights.len() == 1 { 0 } else { at / (shape.h * shape.w) % shape.c }]
}

pub fn forward<T: Real>(shape: Shape, x: &[T], weights: &[T]) -> Vec<T> {
    backward_data(shape, x, weights, x)
}

pub fn backward_data<T: Real>(shape: Shape, x: &[T], weights: &[T], dy: &[T]) -> Vec<T> {
    let value = |at: usize| if x[at] < T::zero() { slope(shape, weights, at) * dy[at] } else { dy[at] };
    (0..x.len()).map(value).collect()
}

/// Σ dy · x over where x is below zero, for `slopes` of them.
pub fn backward_weights<T: Real>(shape: Shape, slopes: usize, x: &[T], dy: &[T]) -> Vec<T> {
    let sums = over_channels(shape, |_, at| if x[at] < T::zero() { dy[at] * x[at] } else { T::zero() });
    if slopes == 1 { vec![sums.into_iter().sum()] } else { sums }
}
