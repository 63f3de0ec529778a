//! Softmax with mean cross-entropy: p = exp(x) / Σ exp(x) per image, loss = −mean of log p\[label\].

use super::real::Real;

/// Probabilities, the layer's output.
pub fn forward<T: Real>(images: usize, x: &[T]) -> Vec<T> {
    let mut probabilities = x.to_vec();
    for image in probabilities.chunks_mut(x.len() / images) {
        let normaliser = log_sum_exp(image);
        image.iter_mut().for_each(|value| *value = (*value - normaliser).exp());
    }
    probabilities
}

pub fn loss<T: Real>(labels: &[usize], x: &[T]) -> T {
    let images = x.chunks(x.len() / labels.len());
    images.zip(labels).map(|(x, &label)| log_sum_exp(x) - x[label]).sum::<T>() / T::of(labels.len() as f64)
}

/// (p − one-hot(label)) · weight / images
pub fn backward_data<T: Real>(weight: f32, labels: &[usize], probabilities: &[T]) -> Vec<T> {
    let images = labels.len();
    let factor = T::of(weight) / T::of(images as f64);
    let mut dx: Vec<T> = probabilities.iter().map(|&p| p * factor).collect();
    for (dx, &label) in dx.chunks_mut(probabilities.len() / images).zip(labels) {
        dx[label] -= factor;
    }
    dx
}

/// log Σ exp(x), the largest taken out first so that nothing overflows.
fn log_sum_exp<T: Real>(x: &[T]) -> T {
    let largest = x.iter().copied().fold(T::neg_infinity(), T::max);
    largest + x.iter().map(|&value| (value - largest).exp()).sum::<T>().ln()
}
