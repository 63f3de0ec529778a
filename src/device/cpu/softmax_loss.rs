//! Softmax over the classes and mean cross-entropy: loss = 1/N · Σ (ln Σ e^x − x_label), dx = (softmax(x) − onehot) / N.

use super::vector::{multiversioned, put};
use super::{math, parallel};
use rayon::prelude::*;

/// Gives the loss. `losses` has room for one value per image.
pub fn forward(x: &[f32], labels: &[u32], probabilities: &mut [f32], losses: &mut [f64]) -> f64 {
    let images = labels.len();
    let classes = x.len() / images;
    let rows = parallel::rows(images, classes);
    (x.par_chunks(rows * classes), labels.par_chunks(rows), probabilities.par_chunks_mut(rows * classes))
        .into_par_iter()
        .zip(losses.par_chunks_mut(rows))
        .for_each(|((x, labels, probabilities), losses)| {
            let outputs = probabilities.chunks_exact_mut(classes).zip(losses);
            for ((x, &label), (probabilities, loss)) in x.chunks_exact(classes).zip(labels).zip(outputs) {
                *loss = image_loss(x, label as usize, probabilities);
            }
        });
    losses[..images].iter().sum::<f64>() / images as f64
}

pub fn backward_data(probabilities: &[f32], labels: &[u32], dx: &mut [f32], accumulate: bool) {
    let images = labels.len();
    let classes = probabilities.len() / images;
    let rows = parallel::rows(images, classes);
    let scale = 1.0 / images as f32;
    (dx.par_chunks_mut(rows * classes), probabilities.par_chunks(rows * classes), labels.par_chunks(rows))
        .into_par_iter()
        .for_each(|(dx, probabilities, labels)| {
            let rows = dx.chunks_exact_mut(classes).zip(probabilities.chunks_exact(classes));
            for ((dx, probabilities), &label) in rows.zip(labels) {
                image_gradient(dx, probabilities, label as usize, scale, accumulate);
            }
        });
}

/// Partial sums side by side, so that they can be one vector.
const LANES: usize = 16;

multiversioned! {
    fn image_loss(x: &[f32], label: usize, probabilities: &mut [f32]) -> f64 {
        let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for (probability, x) in probabilities.iter_mut().zip(x) {
            *probability = math::exp(x - largest);
        }
        let mut sums = [0.0; LANES];
        for block in probabilities.chunks(LANES) {
            for (sum, &power) in sums.iter_mut().zip(block) {
                *sum += f64::from(power);
            }
        }
        let sum: f64 = sums.iter().sum();
        let scale = sum.recip() as f32;
        for probability in probabilities {
            *probability *= scale;
        }
        sum.ln() - f64::from(x[label] - largest)
    }

    fn image_gradient(dx: &mut [f32], probabilities: &[f32], label: usize, scale: f32, accumulate: bool) {
        for (dx, probability) in dx.iter_mut().zip(probabilities) {
            put(dx, probability * scale, accumulate);
        }
        dx[label] -= scale;
    }
}
