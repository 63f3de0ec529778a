//! Local response normalisation across channels, as in Caffe and PyTorch: y = x · s^−β with s = k + α/n · Σ x², the sum over
//! the n channels from c − ⌊n/2⌋ to c + ⌊(n−1)/2⌋ that exist.

use std::ops::Range;

use rayon::prelude::*;

use crate::model::kind::Lrn;
use crate::plan::Shape;

pub fn forward(lrn: &Lrn, shape: Shape, x: &[f64]) -> Vec<f64> {
    let beta = f64::from(lrn.beta);
    per_image(shape, &[x], |inputs, y| {
        for (index, s) in scales(lrn, shape, inputs[0]).into_iter().enumerate() {
            y[index] = inputs[0][index] * s.powf(-beta);
        }
    })
}

/// dx_c = dy_c · s_c^−β − 2αβ/n · x_c · Σ dy_j · x_j · s_j^(−β−1), the sum over the channels j whose window holds c.
pub fn backward_data(lrn: &Lrn, shape: Shape, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let (alpha, beta, plane) = (f64::from(lrn.alpha), f64::from(lrn.beta), shape.h * shape.w);
    let factor = 2.0 * alpha * beta / lrn.size as f64;
    per_image(shape, &[x, dy], |inputs, dx| {
        let (x, dy) = (inputs[0], inputs[1]);
        let scales = scales(lrn, shape, x);
        let power: Vec<f64> = scales.iter().map(|s| s.powf(-beta)).collect();
        let terms: Vec<f64> = (0..x.len()).map(|at| dy[at] * x[at] * power[at] / scales[at]).collect();
        for c in 0..shape.c {
            // Mirrored: c lies in j's window exactly when j lies in this one.
            let readers = window(c, (lrn.size - 1) / 2, lrn.size / 2, shape.c);
            for at in c * plane..(c + 1) * plane {
                let sum: f64 = readers.clone().map(|j| terms[j * plane + at % plane]).sum();
                dx[at] = dy[at] * power[at] - factor * x[at] * sum;
            }
        }
    })
}

/// s for every element of one image.
fn scales(lrn: &Lrn, shape: Shape, x: &[f64]) -> Vec<f64> {
    let (plane, factor) = (shape.h * shape.w, f64::from(lrn.alpha) / lrn.size as f64);
    let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
    let mut scales = vec![f64::from(lrn.k); x.len()];
    for (c, scales) in scales.chunks_mut(plane).enumerate() {
        for neighbour in window(c, lrn.size / 2, (lrn.size - 1) / 2, shape.c) {
            let squares = &squares[neighbour * plane..][..plane];
            scales.iter_mut().zip(squares).for_each(|(s, square)| *s += factor * square);
        }
    }
    scales
}

fn window(c: usize, before: usize, after: usize, channels: usize) -> Range<usize> {
    c.saturating_sub(before)..(c + after + 1).min(channels)
}

fn per_image(shape: Shape, inputs: &[&[f64]], work: impl Fn(&[&[f64]], &mut [f64]) + Sync) -> Vec<f64> {
    let image = shape.image_elements();
    let mut result = vec![0.0; shape.elements()];
    result.par_chunks_mut(image).enumerate().for_each(|(n, result)| {
        let inputs: Vec<&[f64]> = inputs.iter().map(|input| &input[n * image..][..image]).collect();
        work(&inputs, result);
    });
    result
}
