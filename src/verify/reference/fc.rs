//! Fully connected: y\[n,o\] = b\[o\] + Σ w\[o,i\] · x\[n,i\], where x is the flattened input.

use rayon::prelude::*;

use super::sums::dot;

/// `weights` is \[out, in\], `biases` \[out\] or empty, `x` \[n, in\].
pub fn forward(images: usize, x: &[f64], weights: &[f64], biases: &[f64]) -> Vec<f64> {
    let inputs = x.len() / images;
    let outputs = weights.len() / inputs;
    let mut y = vec![0.0; images * outputs];
    y.par_iter_mut().enumerate().for_each(|(index, y)| {
        let (n, o) = (index / outputs, index % outputs);
        let bias = biases.get(o).copied().unwrap_or(0.0);
        *y = bias + dot(&weights[o * inputs..][..inputs], &x[n * inputs..][..inputs]);
    });
    y
}

/// dx\[n,i\] = Σ w\[o,i\] · dy\[n,o\]
pub fn backward_data(images: usize, weights: &[f64], dy: &[f64]) -> Vec<f64> {
    let outputs = dy.len() / images;
    let inputs = weights.len() / outputs;
    let mut dx = vec![0.0; images * inputs];
    dx.par_chunks_mut(inputs).zip(dy.par_chunks(outputs)).for_each(|(dx, dy)| {
        for (row, dy) in weights.chunks(inputs).zip(dy) {
            dx.iter_mut().zip(row).for_each(|(dx, w)| *dx += w * dy);
        }
    });
    dx
}

/// dw\[o,i\] = Σ dy\[n,o\] · x\[n,i\]
pub fn backward_weights(images: usize, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let (inputs, outputs) = (x.len() / images, dy.len() / images);
    let mut dw = vec![0.0; outputs * inputs];
    dw.par_chunks_mut(inputs).enumerate().for_each(|(o, row)| {
        for (x, dy) in x.chunks(inputs).zip(dy.chunks(outputs)) {
            row.iter_mut().zip(x).for_each(|(dw, x)| *dw += dy[o] * x);
        }
    });
    dw
}
