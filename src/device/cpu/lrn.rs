//! Local response normalisation across channels: y = x · s^−β with s = k + α/n · Σ x² over the channels
//! \[c − ⌊n/2⌋, c + ⌊(n−1)/2⌋\] that exist.
//!
//! Its gradient is dx_i = dy_i · s_i^−β − 2αβ/n · x_i · Σ dy_c · x_c · s_c^(−β−1), over the channels c whose window holds i.
//! Backward computes s again: that takes less time than reading it from memory.

use super::math;
use super::parallel;
use super::vector::{lanes, lanes_mut, multiversioned, put};
use crate::model::kind;
use rayon::prelude::*;

/// Channels summed at once.
const LANES: usize = 16;

pub struct Lrn {
    shape: Normaliser,
    scratch: Vec<f32>,
}

#[derive(Clone, Copy)]
struct Normaliser {
    channels: usize,
    size: usize,
    k: f32,
    /// α/n.
    scale: f32,
    beta: f32,
}

impl Lrn {
    /// For a pool of `threads` threads.
    pub fn new(params: &kind::Lrn, channels: usize, threads: usize) -> Lrn {
        let &kind::Lrn { size, alpha, beta, k } = params;
        let shape = Normaliser { channels, size, k, scale: alpha / size as f32, beta };
        Lrn { shape, scratch: vec![0.0; parallel::scratches(threads) * shape.scratch_elements()] }
    }

    pub fn forward(&mut self, x: &[f32], y: &mut [f32]) {
        let (shape, piece, scratch) = self.pieces(x.len());
        (y.par_chunks_mut(piece), x.par_chunks(piece), scratch)
            .into_par_iter()
            .for_each(|(y, x, scratch)| forward_piece(shape, x, y, scratch));
    }

    pub fn backward_data(&mut self, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let (shape, piece, scratch) = self.pieces(x.len());
        (dx.par_chunks_mut(piece), dy.par_chunks(piece), x.par_chunks(piece), scratch)
            .into_par_iter()
            .for_each(|(dx, dy, x, scratch)| backward_piece(shape, x, dy, dx, accumulate, scratch));
    }

    /// Elements per piece, and the pieces' work areas.
    fn pieces(&mut self, elements: usize) -> (Normaliser, usize, rayon::slice::ChunksExactMut<'_, f32>) {
        let (shape, area) = (self.shape, self.shape.scratch_elements());
        let rows = parallel::rows_with_scratch(elements / shape.channels, shape.channels, self.scratch.len() / area);
        (shape, rows * shape.channels, self.scratch.par_chunks_exact_mut(area))
    }
}

impl Normaliser {
    fn width(self) -> usize {
        self.channels.next_multiple_of(LANES)
    }

    /// Two rows with a window's margin, two without.
    fn scratch_elements(self) -> usize {
        4 * self.width() + 2 * self.size
    }

    /// A row of squares or products with zeros around, another such row, and two rows of powers.
    fn split(self, scratch: &mut [f32]) -> [&mut [f32]; 4] {
        scratch.fill(0.0);
        let (first, rest) = scratch.split_at_mut(self.width() + self.size);
        let (second, rest) = rest.split_at_mut(self.width() + self.size);
        let (third, fourth) = rest.split_at_mut(self.width());
        [first, second, third, fourth]
    }

    /// The sums over the window that begins `at` a position of a row with margins, for [`LANES`] neighbours.
    #[inline(always)]
    fn window_sums(self, row: &[f32], at: usize) -> [f32; LANES] {
        let mut sums = [0.0; LANES];
        for offset in 0..self.size {
            let values: &[f32; LANES] = lanes(row, at + offset);
            for lane in 0..LANES {
                sums[lane] += values[lane];
            }
        }
        sums
    }

    /// s^−β and s^(−β−1) from the window's sums of squares.
    #[inline(always)]
    fn powers(self, sums: [f32; LANES]) -> ([f32; LANES], [f32; LANES]) {
        let s = sums.map(|sum| self.k + self.scale * sum);
        let inverse = s.map(|s| 1.0 / s);
        let mut power = [0.0; LANES];
        if self.beta == 0.75 {
            // s^¼ / s takes two roots where the general power takes a logarithm and an exponential.
            for lane in 0..LANES {
                power[lane] = s[lane].sqrt().sqrt() * inverse[lane];
            }
        } else {
            power = s.map(|s| math::exp(-self.beta * math::ln(s)));
        }
        let mut next = power;
        for lane in 0..LANES {
            next[lane] *= inverse[lane];
        }
        (power, next)
    }
}

multiversioned! {
    fn forward_piece(shape: Normaliser, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
        let [squares, _, power, _] = shape.split(scratch);
        let before = shape.size / 2;
        for (y, x) in y.chunks_exact_mut(shape.channels).zip(x.chunks_exact(shape.channels)) {
            for (square, x) in squares[before..].iter_mut().zip(x) {
                *square = x * x;
            }
            for at in (0..shape.width()).step_by(LANES) {
                *lanes_mut(power, at) = shape.powers(shape.window_sums(squares, at)).0;
            }
            for ((y, x), power) in y.iter_mut().zip(x).zip(&*power) {
                *y = x * power;
            }
        }
    }

    fn backward_piece(shape: Normaliser, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool, scratch: &mut [f32]) {
        let [squares, products, power, next] = shape.split(scratch);
        // Who holds i in its window lies on the other side of it.
        let (before, after) = (shape.size / 2, (shape.size - 1) / 2);
        let factor = 2.0 * shape.scale * shape.beta;
        let rows = x.chunks_exact(shape.channels).zip(dy.chunks_exact(shape.channels));
        for (dx, (x, dy)) in dx.chunks_exact_mut(shape.channels).zip(rows) {
            for (square, x) in squares[before..].iter_mut().zip(x) {
                *square = x * x;
            }
            for at in (0..shape.width()).step_by(LANES) {
                (*lanes_mut(power, at), *lanes_mut(next, at)) = shape.powers(shape.window_sums(squares, at));
            }
            for (((product, next), x), dy) in products[after..].iter_mut().zip(&*next).zip(x).zip(dy) {
                *product = dy * x * next;
            }
            for at in (0..shape.width()).step_by(LANES) {
                *lanes_mut(next, at) = shape.window_sums(products, at);
            }
            for ((((dx, x), dy), power), sum) in dx.iter_mut().zip(x).zip(dy).zip(&*power).zip(&*next) {
                put(dx, dy * power - factor * x * sum, accumulate);
            }
        }
    }
}
