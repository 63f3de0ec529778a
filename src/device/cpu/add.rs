//! The sum of two or more inputs; the gradient goes to each of them as it is.

use super::parallel::piece;
use super::vector::{multiversioned, put};
use rayon::prelude::*;

/// Elements summed at once: they stay in the first-level cache while the inputs come in turn.
const TILE: usize = 2048;

pub fn forward(inputs: &[&[f32]], y: &mut [f32]) {
    let piece = piece(y.len());
    y.par_chunks_mut(piece).enumerate().for_each(|(index, y)| sum(inputs, index * piece, y));
}

/// For each input whose gradient is wanted.
pub fn backward_data(dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let piece = piece(dx.len());
    (dx.par_chunks_mut(piece), dy.par_chunks(piece)).into_par_iter().for_each(|(dx, dy)| pass_on(dx, dy, accumulate));
}

multiversioned! {
    fn sum(inputs: &[&[f32]], start: usize, y: &mut [f32]) {
        for (tile, y) in y.chunks_mut(TILE).enumerate() {
            let start = start + tile * TILE;
            for (index, input) in inputs.iter().enumerate() {
                for (y, &x) in y.iter_mut().zip(&input[start..]) {
                    put(y, x, index > 0);
                }
            }
        }
    }

    fn pass_on(dx: &mut [f32], dy: &[f32], accumulate: bool) {
        for (dx, &dy) in dx.iter_mut().zip(dy) {
            put(dx, dy, accumulate);
        }
    }
}
