//! y = max(x, 0); the gradient passes where y > 0.

use super::parallel::piece;
use super::vector::{multiversioned, put};
use rayon::prelude::*;

/// NaN stays NaN, as in PyTorch.
pub fn forward(x: &[f32], y: &mut [f32]) {
    let piece = piece(y.len());
    (y.par_chunks_mut(piece), x.par_chunks(piece)).into_par_iter().for_each(|(y, x)| forward_piece(y, x));
}

/// `dx` (+)= `dy` where the forward output `y` is positive, 0 elsewhere.
pub fn backward_data(y: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let piece = piece(dx.len());
    (dx.par_chunks_mut(piece), dy.par_chunks(piece), y.par_chunks(piece))
        .into_par_iter()
        .for_each(|(dx, dy, y)| backward_piece(dx, dy, y, accumulate));
}

multiversioned! {
    fn forward_piece(y: &mut [f32], x: &[f32]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if x < 0.0 { 0.0 } else { x };
        }
    }

    fn backward_piece(dx: &mut [f32], dy: &[f32], y: &[f32], accumulate: bool) {
        for ((dx, &dy), &y) in dx.iter_mut().zip(dy).zip(y) {
            put(dx, if y > 0.0 { dy } else { 0.0 }, accumulate);
        }
    }
}
