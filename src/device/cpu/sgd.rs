//! Momentum SGD as in PyTorch, weights and biases alike: g = gradient + weight_decay·w, v = momentum·v + g, w −= learning_rate·v.

use super::parallel::piece;
use super::vector::multiversioned;
use crate::device::Training;
use rayon::prelude::*;

pub fn update(training: &Training, weights: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
    let piece = piece(weights.len());
    (weights.par_chunks_mut(piece), momentum.par_chunks_mut(piece), gradient.par_chunks(piece))
        .into_par_iter()
        .for_each(|(weights, momentum, gradient)| update_piece(training, weights, momentum, gradient));
}

multiversioned! {
    fn update_piece(training: &Training, weights: &mut [f32], momentum: &mut [f32], gradient: &[f32]) {
        let Training { learning_rate, momentum: keep, weight_decay, .. } = *training;
        for ((w, v), gradient) in weights.iter_mut().zip(momentum).zip(gradient) {
            *v = keep * *v + (gradient + weight_decay * *w);
            *w -= learning_rate * *v;
        }
    }
}
