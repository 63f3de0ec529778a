//! Softmax over the classes and mean cross-entropy: loss = 1/N · Σ (ln Σ e^x − x_label), dx = (softmax(x) − onehot) · weight / N.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::tasks::{piece_of, pieces, pieces_of_two};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::device::cpu::compute::{math, parallel};
use crate::model::kind;

pub struct SoftmaxLossOp {
    /// Each image's loss.
    losses: Vec<f64>,
    /// Their mean.
    loss: f64,
    /// Factor of the gradient.
    weight: f32,
}

impl SoftmaxLossOp {
    pub fn new(params: &kind::SoftmaxLoss, images: usize) -> SoftmaxLossOp {
        SoftmaxLossOp { losses: vec![0.0; images], loss: 0.0, weight: params.loss_weight }
    }
}

impl Operation for SoftmaxLossOp {
    fn forward(&mut self, operands: Forward) {
        self.loss = forward(operands.input(), operands.labels, operands.output, &mut self.losses);
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output, labels, input_gradient, accumulate, .. } = operands;
        backward_data(output, labels, self.weight, input_gradient, accumulate);
    }

    fn loss(&mut self) -> Option<&mut f64> {
        Some(&mut self.loss)
    }
}

/// Gives the loss. `losses` has room for one value per image.
fn forward(x: &[f32], labels: &[u32], probabilities: &mut [f32], losses: &mut [f64]) -> f64 {
    let images = labels.len();
    let classes = x.len() / images;
    let rows = parallel::rows(images, classes);
    pieces_of_two((probabilities, rows * classes), (losses, rows), |index, probabilities, losses| {
        let (x, labels) = (piece_of(x, rows * classes, index), piece_of(labels, rows, index));
        let outputs = probabilities.chunks_exact_mut(classes).zip(losses);
        for ((x, &label), (probabilities, loss)) in x.chunks_exact(classes).zip(labels).zip(outputs) {
            *loss = image_loss(x, label as usize, probabilities);
        }
    });
    losses[..images].iter().sum::<f64>() / images as f64
}

fn backward_data(probabilities: &[f32], labels: &[u32], weight: f32, dx: &mut [f32], accumulate: bool) {
    let images = labels.len();
    let classes = probabilities.len() / images;
    let rows = parallel::rows(images, classes);
    let scale = weight / images as f32;
    pieces(dx, rows * classes, |index, dx| {
        let probabilities = piece_of(probabilities, rows * classes, index);
        let outputs = dx.chunks_exact_mut(classes).zip(probabilities.chunks_exact(classes));
        for ((dx, probabilities), &label) in outputs.zip(piece_of(labels, rows, index)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn against_plain_loops(
            images in 1..40usize, classes in 1..1200usize, scale in 0f32..30.0, weight in 0.1f32..1.0, seed: u64,
        ) {
            let x: Vec<f32> = numbers(seed, images * classes).into_iter().map(|x| x * scale).collect();
            let labels: Vec<u32> = (0..images as u64).map(|image| ((seed >> 8).wrapping_mul(image + 1) % classes as u64) as u32).collect();
            let mut loss = 0.0;
            let mut probabilities = Vec::new();
            let mut gradient = Vec::new();
            for (x, &label) in x.chunks(classes).zip(&labels) {
                let sum: f64 = x.iter().map(|&x| f64::from(x).exp()).sum();
                loss += (sum.ln() - f64::from(x[label as usize])) / images as f64;
                for (class, &x) in x.iter().enumerate() {
                    let probability = f64::from(x).exp() / sum;
                    probabilities.push(probability);
                    let share = f64::from(weight) / images as f64;
                    gradient.push((probability - f64::from(class == label as usize)) * share);
                }
            }
            let run = |output: &mut [f32]| forward(&x, &labels, output, &mut vec![0.0; images]);
            check_output(&probabilities, |output| {
                run(output);
            });
            let mut output = vec![0.0; x.len()];
            let given = with_threads(3, || run(&mut output));
            prop_assert!((given - loss).abs() <= 1e-6 * loss.abs().max(1.0), "{given} for {loss}");
            let mut dx = vec![f32::NAN; x.len()];
            backward_data(&output, &labels, weight, &mut dx, false);
            let worst = dx.iter().zip(&gradient).map(|(dx, expected)| (f64::from(*dx) - expected).abs());
            // Probabilities near one cancel against the label's: the error is one of theirs, 1/N.
            prop_assert!(worst.fold(0.0, f64::max) <= 1e-6 / images as f64);
            let dx: Vec<f64> = dx.into_iter().map(f64::from).collect();
            check_gradient(&dx, |dx, accumulate| backward_data(&output, &labels, weight, dx, accumulate));
        }
    }

    /// Uniform logits over four classes: ln 4, and (¼ − onehot)/N.
    #[test]
    fn by_hand() {
        let (mut probabilities, mut dx) = ([0.0; 8], [0.0; 8]);
        let loss = forward(&[500.0; 8], &[0, 3], &mut probabilities, &mut [0.0; 2]);
        assert!((loss - 4f64.ln()).abs() < 1e-7);
        backward_data(&probabilities, &[0, 3], 1.0, &mut dx, false);
        assert_eq!(dx, [-0.375, 0.125, 0.125, 0.125, 0.125, 0.125, 0.125, -0.375]);
    }
}
