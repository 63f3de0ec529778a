//! Layer normalisation over the channels of each pixel: y = w · x̂ + b with x̂ = (x − μ) / √(σ² + ε), where mean μ and (biased)
//! variance σ² are over the channels (Ba et al. 2016; over channels alone as in ConvNeXt, Liu et al. 2022).

use super::real::Real;
use super::sums::over_channels;
use crate::plan::Shape;

/// Mean and scale of one pixel.
struct PixelStatistics<T> {
    mean: T,
    /// 1 / √(σ² + ε)
    inverse_deviation: T,
}

impl<T: Real> PixelStatistics<T> {
    fn normalise(&self, x: T) -> T {
        (x - self.mean) * self.inverse_deviation
    }
}

pub fn forward<T: Real>(eps: f32, shape: Shape, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let statistics = statistics(eps, shape, x);
    elementwise(shape, |c, pixel, at| weights[c] * statistics[pixel].normalise(x[at]) + biases[c])
}

/// dx = (g − mean(g) − x̂ · mean(g · x̂)) / √(σ² + ε) with g = w · dy, the means over the pixel.
pub fn backward_data<T: Real>(eps: f32, shape: Shape, x: &[T], weights: &[T], dy: &[T]) -> Vec<T> {
    let statistics = statistics(eps, shape, x);
    let count = T::of(shape.c as f64);
    let mean = |value: &dyn Fn(usize, usize, usize) -> T| -> Vec<T> {
        over_pixels(shape, value).into_iter().map(|sum| sum / count).collect()
    };
    let gradients = mean(&|c, _, at| weights[c] * dy[at]);
    let products = mean(&|c, pixel, at| weights[c] * dy[at] * statistics[pixel].normalise(x[at]));
    elementwise(shape, |c, pixel, at| {
        let of = &statistics[pixel];
        (weights[c] * dy[at] - gradients[pixel] - of.normalise(x[at]) * products[pixel]) * of.inverse_deviation
    })
}

/// Gradients of weights, Σ dy · x̂, and biases, Σ dy.
pub fn backward_weights<T: Real>(eps: f32, shape: Shape, x: &[T], dy: &[T]) -> [Vec<T>; 2] {
    let statistics = statistics(eps, shape, x);
    let weights = over_channels(shape, |_, at| dy[at] * statistics[pixel_of(shape, at)].normalise(x[at]));
    [weights, over_channels(shape, |_, at| dy[at])]
}

/// The first of the terms of [`backward_data`]: what remains of it when the others cancel it is rounding.
pub fn uncentred_backward_data<T: Real>(eps: f32, shape: Shape, x: &[T], weights: &[T], dy: &[T]) -> Vec<T> {
    let statistics = statistics(eps, shape, x);
    elementwise(shape, |c, pixel, at| weights[c] * dy[at] * statistics[pixel].inverse_deviation)
}

fn statistics<T: Real>(eps: f32, shape: Shape, x: &[T]) -> Vec<PixelStatistics<T>> {
    let count = T::of(shape.c as f64);
    let means: Vec<T> = over_pixels(shape, &|_, _, at| x[at]).into_iter().map(|sum| sum / count).collect();
    let squares = over_pixels(shape, &|_, pixel, at| (x[at] - means[pixel]).powi(2));
    let deviation = |square: T| (square / count + T::of(eps)).sqrt();
    let both = means.into_iter().zip(squares);
    both.map(|(mean, square)| PixelStatistics { mean, inverse_deviation: T::one() / deviation(square) }).collect()
}

/// The pixel, among those of all images, that an element belongs to.
fn pixel_of(shape: Shape, at: usize) -> usize {
    let plane = shape.h * shape.w;
    at / (shape.c * plane) * plane + at % plane
}

/// Per pixel, the sum over channels of `value(channel, pixel, index)`.
fn over_pixels<T: Real>(shape: Shape, value: &dyn Fn(usize, usize, usize) -> T) -> Vec<T> {
    let plane = shape.h * shape.w;
    let pixel = |pixel: usize| {
        let first = pixel / plane * shape.c * plane + pixel % plane;
        (0..shape.c).map(|c| value(c, pixel, first + c * plane)).sum()
    };
    (0..shape.n * plane).map(pixel).collect()
}

/// `value(channel, pixel, index)` of every element.
fn elementwise<T: Real>(shape: Shape, value: impl Fn(usize, usize, usize) -> T) -> Vec<T> {
    let plane = shape.h * shape.w;
    (0..shape.elements()).map(|at| value(at / plane % shape.c, pixel_of(shape, at), at)).collect()
}
