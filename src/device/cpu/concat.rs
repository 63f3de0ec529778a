//! Channels of several inputs side by side. Each input is handled by a call of its own: its channels are those from
//! `first` on in rows of the output.

use super::parallel;
use super::vector::{multiversioned, put};
use rayon::prelude::*;

/// Where an input's channels lie in the output's.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    pub first: usize,
    pub channels: usize,
    /// Of all inputs together.
    pub total: usize,
}

pub fn forward(part: Part, x: &[f32], y: &mut [f32]) {
    let rows = parallel::rows(x.len() / part.channels, part.channels);
    (y.par_chunks_mut(rows * part.total), x.par_chunks(rows * part.channels)).into_par_iter().for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(part.total).zip(x.chunks_exact(part.channels)) {
            y[part.first..][..part.channels].copy_from_slice(x);
        }
    });
}

pub fn backward_data(part: Part, dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let rows = parallel::rows(dx.len() / part.channels, part.channels);
    (dx.par_chunks_mut(rows * part.channels), dy.par_chunks(rows * part.total))
        .into_par_iter()
        .for_each(|(dx, dy)| backward_piece(part, dx, dy, accumulate));
}

multiversioned! {
    fn backward_piece(part: Part, dx: &mut [f32], dy: &[f32], accumulate: bool) {
        for (dx, dy) in dx.chunks_exact_mut(part.channels).zip(dy.chunks_exact(part.total)) {
            for (dx, &dy) in dx.iter_mut().zip(&dy[part.first..]) {
                put(dx, dy, accumulate);
            }
        }
    }
}
