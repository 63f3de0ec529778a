//! Batch normalisation with the batch's own statistics: y = w · x̂ + b with x̂ = (x − μ) / √(σ² + ε), where mean μ and (biased)
//! variance σ² are over images, rows and columns of each channel (Ioffe and Szegedy 2015).

use super::real::Real;
use super::sums::{each, over_channels};
use crate::plan::Shape;

/// Mean and scale of one channel.
struct ChannelStatistics<T> {
    mean: T,
    /// 1 / √(σ² + ε)
    inverse_deviation: T,
}

pub fn forward<T: Real>(eps: f32, shape: Shape, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let statistics = statistics(eps, shape, x);
    elementwise(shape, |c, at| weights[c] * statistics[c].normalise(x[at]) + biases[c])
}

/// dx = w / √(σ² + ε) · (dy − mean(dy) − x̂ · mean(dy · x̂)), the means over the channel.
pub fn backward_data<T: Real>(eps: f32, shape: Shape, x: &[T], weights: &[T], dy: &[T]) -> Vec<T> {
    let statistics = statistics(eps, shape, x);
    let [weight_sums, bias_sums] = backward_weights(eps, shape, x, dy);
    let count = per_channel(shape);
    elementwise(shape, |c, at| {
        let centred = dy[at] - bias_sums[c] / count - statistics[c].normalise(x[at]) * weight_sums[c] / count;
        weights[c] * statistics[c].inverse_deviation * centred
    })
}

/// Gradients of weights, Σ dy · x̂, and biases, Σ dy.
pub fn backward_weights<T: Real>(eps: f32, shape: Shape, x: &[T], dy: &[T]) -> [Vec<T>; 2] {
    let statistics = statistics(eps, shape, x);
    let weights = over_channels(shape, |c, at| dy[at] * statistics[c].normalise(x[at]));
    [weights, over_channels(shape, |_, at| dy[at])]
}

/// The first of the terms of [`backward_data`]: what remains of it when the others cancel it is rounding.
pub fn uncentred_backward_data<T: Real>(eps: f32, shape: Shape, x: &[T], weights: &[T], dy: &[T]) -> Vec<T> {
    let statistics = statistics(eps, shape, x);
    elementwise(shape, |c, at| weights[c] * statistics[c].inverse_deviation * dy[at])
}

impl<T: Real> ChannelStatistics<T> {
    fn normalise(&self, x: T) -> T {
        (x - self.mean) * self.inverse_deviation
    }
}

fn statistics<T: Real>(eps: f32, shape: Shape, x: &[T]) -> Vec<ChannelStatistics<T>> {
    let count = per_channel(shape);
    let means: Vec<T> = over_channels(shape, |_, at| x[at]).into_iter().map(|sum| sum / count).collect();
    let squares = over_channels(shape, |c, at| (x[at] - means[c]).powi(2));
    let deviation = |square: T| (square / count + T::of(eps)).sqrt();
    means
        .iter()
        .zip(squares)
        .map(|(&mean, square)| ChannelStatistics { mean, inverse_deviation: T::one() / deviation(square) })
        .collect()
}

fn per_channel<T: Real>(shape: Shape) -> T {
    T::of((shape.n * shape.h * shape.w) as f64)
}

fn elementwise<T: Real>(shape: Shape, value: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let plane = shape.h * shape.w;
    each(shape.elements(), &|at| value(at / plane % shape.c, at))
}
