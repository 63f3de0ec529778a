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

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn against_plain_loops(first in 0..40usize, channels in 1..40usize, after in 0..40usize, rows in 1..500usize, seed: u64) {
            let part = Part { first, channels, total: first + channels + after };
            let inside = |at: usize| (first..first + channels).contains(&(at % part.total));
            let x = numbers(seed, rows * channels);
            let outputs = [1, 3].map(|threads| {
                let mut y = vec![7.0; rows * part.total];
                with_threads(threads, || forward(part, &x, &mut y));
                y
            });
            for y in outputs {
                let (within, without): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|&at| inside(at));
                prop_assert!(within.iter().map(|&at| y[at]).eq(x.iter().copied()));
                prop_assert!(without.iter().all(|&at| y[at] == 7.0));
            }
            let dy = numbers(seed ^ 1, rows * part.total);
            let dx: Vec<f64> = (0..dy.len()).filter(|&at| inside(at)).map(|at| f64::from(dy[at])).collect();
            check_gradient(&dx, |dx, accumulate| backward_data(part, &dy, dx, accumulate));
        }
    }
}
