//! Local response normalisation across channels, as in Caffe and PyTorch: y = x · s^−β with s = k + α/n · Σ x², the sum over
//! the n channels from c − ⌊n/2⌋ to c + ⌊(n−1)/2⌋ that exist.

use super::sums::by_piece;
use std::ops::Range;

use super::real::Real;
use crate::model::kind::Lrn;
use crate::plan::Shape;

pub fn forward<T: Real>(lrn: &Lrn, shape: Shape, x: &[T]) -> Vec<T> {
    let beta = T::of(lrn.beta);
    per_image(shape, &[x], |inputs, y| {
        for (index, s) in scales(lrn, shape, inputs[0]).into_iter().enumerate() {
            y[index] = inputs[0][index] * s.powf(-beta);
        }
    })
}

/// dx_c = dy_c · s_c^−β − 2αβ/n · x_c · Σ dy_j · x_j · s_j^(−β−1), the sum over the channels j whose window holds c.
pub fn backward_data<T: Real>(lrn: &Lrn, shape: Shape, x: &[T], dy: &[T]) -> Vec<T> {
    let (alpha, beta, plane) = (T::of(lrn.alpha), T::of(lrn.beta), shape.h * shape.w);
    let factor = T::of(2.0) * alpha * beta / T::of(lrn.size as f64);
    per_image(shape, &[x, dy], |inputs, dx| {
        let (x, dy) = (inputs[0], inputs[1]);
        let scales = scales(lrn, shape, x);
        let power: Vec<T> = scales.iter().map(|s| s.powf(-beta)).collect();
        let terms: Vec<T> = (0..x.len()).map(|at| dy[at] * x[at] * power[at] / scales[at]).collect();
        for c in 0..shape.c {
            // Mirrored: c lies in j's window exactly when j lies in this one.
            let readers = window(c, (lrn.size - 1) / 2, lrn.size / 2, shape.c);
            for at in c * plane..(c + 1) * plane {
                let sum: T = readers.clone().map(|j| terms[j * plane + at % plane]).sum();
                dx[at] = dy[at] * power[at] - factor * x[at] * sum;
            }
        }
    })
}

/// s for every element of one image.
fn scales<T: Real>(lrn: &Lrn, shape: Shape, x: &[T]) -> Vec<T> {
    let (plane, factor) = (shape.h * shape.w, T::of(lrn.alpha) / T::of(lrn.size as f64));
    let squares: Vec<T> = x.iter().map(|&x| x * x).collect();
    let mut scales = vec![T::of(lrn.k); x.len()];
    for (c, scales) in scales.chunks_mut(plane).enumerate() {
        for neighbour in window(c, lrn.size / 2, (lrn.size - 1) / 2, shape.c) {
            let squares = &squares[neighbour * plane..][..plane];
            scales.iter_mut().zip(squares).for_each(|(s, &square)| *s += factor * square);
        }
    }
    scales
}

fn window(c: usize, before: usize, after: usize, channels: usize) -> Range<usize> {
    c.saturating_sub(before)..(c + after + 1).min(channels)
}

fn per_image<T: Real>(shape: Shape, inputs: &[&[T]], work: impl Fn(&[&[T]], &mut [T]) + Sync) -> Vec<T> {
    let image = shape.image_elements();
    by_piece(shape.elements(), image, &|n, result: &mut [T]| {
        let inputs: Vec<&[T]> = inputs.iter().map(|input| &input[n * image..][..image]).collect();
        work(&inputs, result);
    })
}
