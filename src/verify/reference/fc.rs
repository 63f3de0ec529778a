//! Fully connected: y\[n,o\] = b\[o\] + Σ w\[o,i\] · x\[n,i\], where x is the flattened input.

use rayon::prelude::*;

use super::real::Real;
use super::sums::dot;

/// `weights` is \[out, in\], `biases` \[out\] or empty, `x` \[n, in\].
pub fn forward<T: Real>(images: usize, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let inputs = x.len() / images;
    let outputs = weights.len() / inputs;
    let mut y = vec![T::zero(); images * outputs];
    y.par_iter_mut().enumerate().for_each(|(index, y)| {
        let (n, o) = (index / outputs, index % outputs);
        let bias = biases.get(o).copied().unwrap_or(T::zero());
        *y = bias + dot(&weights[o * inputs..][..inputs], &x[n * inputs..][..inputs]);
    });
    y
}

/// dx\[n,i\] = Σ w\[o,i\] · dy\[n,o\]
pub fn backward_data<T: Real>(images: usize, weights: &[T], dy: &[T]) -> Vec<T> {
    let outputs = dy.len() / images;
    let inputs = weights.len() / outputs;
    let mut dx = vec![T::zero(); images * inputs];
    dx.par_chunks_mut(inputs).zip(dy.par_chunks(outputs)).for_each(|(dx, dy)| {
        for (row, &dy) in weights.chunks(inputs).zip(dy) {
            dx.iter_mut().zip(row).for_each(|(dx, &w)| *dx += w * dy);
        }
    });
    dx
}

/// dw\[o,i\] = Σ dy\[n,o\] · x\[n,i\]
pub fn backward_weights<T: Real>(images: usize, x: &[T], dy: &[T]) -> Vec<T> {
    let (inputs, outputs) = (x.len() / images, dy.len() / images);
    let mut dw = vec![T::zero(); outputs * inputs];
    dw.par_chunks_mut(inputs).enumerate().for_each(|(o, row)| {
        for (x, dy) in x.chunks(inputs).zip(dy.chunks(outputs)) {
            row.iter_mut().zip(x).for_each(|(dw, &x)| *dw += dy[o] * x);
        }
    });
    dw
}
