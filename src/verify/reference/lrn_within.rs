//! Local response normalisation within each channel, as Caffe's WITHIN_CHANNEL: y = x · s^−β with s = k + α/n² · Σ x², the sum over
//! the n × n pixels around each that exist.

use std::ops::Range;

use super::real::Real;
use crate::model::kind::Lrn;
use crate::plan::Shape;

pub fn forward<T: Real>(lrn: &Lrn, shape: Shape, x: &[T]) -> Vec<T> {
    let scales = scales(lrn, shape, x);
    x.iter().zip(scales).map(|(&x, s)| x * s.powf(-T::of(lrn.beta))).collect()
}

/// dx_i = dy_i · s_i^−β − 2αβ/n² · x_i · Σ dy_j · x_j · s_j^(−β−1), the sum over the pixels j whose window holds i.
pub fn backward_data<T: Real>(lrn: &Lrn, shape: Shape, x: &[T], dy: &[T]) -> Vec<T> {
    let (scales, beta) = (scales(lrn, shape, x), T::of(lrn.beta));
    let terms: Vec<T> = (0..x.len()).map(|at| dy[at] * x[at] * scales[at].powf(-beta - T::one())).collect();
    let sums = window_sums(lrn.size, shape, &terms);
    let factor = T::of(2.0) * T::of(lrn.beta) * share(lrn);
    (0..x.len()).map(|at| dy[at] * scales[at].powf(-beta) - factor * x[at] * sums[at]).collect()
}

/// α/n².
fn share<T: Real>(lrn: &Lrn) -> T {
    T::of(lrn.alpha) / T::of((lrn.size * lrn.size) as f64)
}

fn scales<T: Real>(lrn: &Lrn, shape: Shape, x: &[T]) -> Vec<T> {
    let squares: Vec<T> = x.iter().map(|&x| x * x).collect();
    window_sums(lrn.size, shape, &squares).into_iter().map(|sum| T::of(lrn.k) + share::<T>(lrn) * sum).collect()
}

/// For each pixel the sum of those around it.
fn window_sums<T: Real>(size: usize, shape: Shape, values: &[T]) -> Vec<T> {
    let around =
        |at: usize, sides: usize| -> Range<usize> { at.saturating_sub(size / 2)..(at + size / 2 + 1).min(sides) };
    let sum = |at: usize| -> T {
        let (plane, row, column) = (at / (shape.h * shape.w), at / shape.w % shape.h, at % shape.w);
        let rows = around(row, shape.h).flat_map(|row| around(column, shape.w).map(move |column| (row, column)));
        rows.map(|(row, column)| values[(plane * shape.h + row) * shape.w + column]).sum()
    };
    (0..values.len()).map(sum).collect()
}
