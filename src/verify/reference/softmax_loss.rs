//! Softmax with mean cross-entropy: p = exp(x) / Σ exp(x) per image, loss = −mean of log p\[label\].

/// Probabilities, the layer's output.
pub fn forward(images: usize, x: &[f64]) -> Vec<f64> {
    let mut probabilities = x.to_vec();
    for image in probabilities.chunks_mut(x.len() / images) {
        let normaliser = log_sum_exp(image);
        image.iter_mut().for_each(|value| *value = (*value - normaliser).exp());
    }
    probabilities
}

pub fn loss(labels: &[usize], x: &[f64]) -> f64 {
    let images = x.chunks(x.len() / labels.len());
    images.zip(labels).map(|(x, &label)| log_sum_exp(x) - x[label]).sum::<f64>() / labels.len() as f64
}

/// (p − one-hot(label)) / images
pub fn backward_data(labels: &[usize], probabilities: &[f64]) -> Vec<f64> {
    let images = labels.len();
    let mut dx: Vec<f64> = probabilities.iter().map(|p| p / images as f64).collect();
    for (dx, &label) in dx.chunks_mut(probabilities.len() / images).zip(labels) {
        dx[label] -= 1.0 / images as f64;
    }
    dx
}

/// log Σ exp(x), the largest taken out first so that nothing overflows.
fn log_sum_exp(x: &[f64]) -> f64 {
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + x.iter().map(|value| (value - largest).exp()).sum::<f64>().ln()
}
