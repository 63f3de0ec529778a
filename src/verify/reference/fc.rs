//! Fully connected: y\[n,o\] = b\[o\] + Σ w\[o,i\] · x\[n,i\], where x is the flattened input.

use super::real::Real;
use super::sums::{by_piece, dot, each};

/// `weights` is \[out, in\], `biases` \[out\] or empty, `x` \[n, in\].
pub fn forward<T: Real>(images: usize, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let inputs = x.len() / images;
    let outputs = weights.len() / inputs;
    each(images * outputs, &|index| {
        let (n, o) = (index / outputs, index % outputs);
        let bias = biases.get(o).copied().unwrap_or(T::zero());
        bias + dot(&weights[o * inputs..][..inputs], &x[n * inputs..][..inputs])
    })
}

/// dx\[n,i\] = Σ w\[o,i\] · dy\[n,o\]
pub fn backward_data<T: Real>(images: usize, weights: &[T], dy: &[T]) -> Vec<T> {
    let outputs = dy.len() / images;
    let inputs = weights.len() / outputs;
    by_piece(images * inputs, inputs, &|n, dx: &mut [T]| {
        for (row, &dy) in weights.chunks(inputs).zip(&dy[n * outputs..][..outputs]) {
            dx.iter_mut().zip(row).for_each(|(dx, &w)| *dx += w * dy);
        }
    })
}

/// dw\[o,i\] = Σ dy\[n,o\] · x\[n,i\]
pub fn backward_weights<T: Real>(images: usize, x: &[T], dy: &[T]) -> Vec<T> {
    let (inputs, outputs) = (x.len() / images, dy.len() / images);
    by_piece(outputs * inputs, inputs, &|o, row: &mut [T]| {
        for (x, dy) in x.chunks(inputs).zip(dy.chunks(outputs)) {
            row.iter_mut().zip(x).for_each(|(dw, &x)| *dw += dy[o] * x);
        }
    })
}
