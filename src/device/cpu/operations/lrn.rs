//! Local response normalisation across channels: y = x · s^−β with s = k + α/n · Σ x² over the channels
//! \[c − ⌊n/2⌋, c + ⌊(n−1)/2⌋\] that exist.
//!
//! Its gradient is dx_i = dy_i · s_i^−β − 2αβ/n · x_i · Σ dy_c · x_c · s_c^(−β−1), over the channels c whose window holds i.
//! Backward computes s again: that takes less time than reading it from memory.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::math;
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces_of_two};
use crate::device::cpu::compute::vector::{lanes, lanes_mut, multiversioned, put};
use crate::model::kind;

/// Channels summed at once.
const LANES: usize = 16;

pub struct LrnOp {
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

impl LrnOp {
    /// For a pool of `threads` threads.
    pub fn new(params: &kind::Lrn, channels: usize, threads: usize) -> LrnOp {
        let &kind::Lrn { size, alpha, beta, k, within_channel: _ } = params;
        let shape = Normaliser { channels, size, k, scale: alpha / size as f32, beta };
        LrnOp { shape, scratch: vec![0.0; parallel::scratches(threads) * shape.scratch_elements()] }
    }

    fn normalise(&mut self, x: &[f32], y: &mut [f32]) {
        let (shape, piece, area) = self.pieces(x.len());
        pieces_of_two((y, piece), (&mut self.scratch, area), |index, y, scratch| {
            forward_piece(shape, piece_of(x, piece, index), y, scratch);
        });
    }

    fn gradient(&mut self, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let (shape, piece, area) = self.pieces(x.len());
        pieces_of_two((dx, piece), (&mut self.scratch, area), |index, dx, scratch| {
            let [x, dy] = [x, dy].map(|values| piece_of(values, piece, index));
            backward_piece(shape, x, dy, dx, accumulate, scratch);
        });
    }

    /// Elements per piece, and numbers in a piece's work area.
    fn pieces(&self, elements: usize) -> (Normaliser, usize, usize) {
        let (shape, area) = (self.shape, self.shape.scratch_elements());
        let rows = parallel::rows_with_scratch(elements / shape.channels, shape.channels, self.scratch.len() / area);
        (shape, rows * shape.channels, area)
    }
}

impl Operation for LrnOp {
    fn forward(&mut self, operands: Forward) {
        self.normalise(operands.input(), operands.output);
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { input, output_gradient, input_gradient, accumulate, .. } = operands;
        self.gradient(input, output_gradient, input_gradient, accumulate);
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

    /// `out` = `offset` + `scale` · Σ over the window that begins at the same place of `row`, which has a window's margin.
    #[inline(always)]
    fn window_sums(self, row: &[f32], (offset, scale): (f32, f32), out: &mut [f32]) {
        for at in (0..self.width()).step_by(LANES) {
            let mut sums = [0.0; LANES];
            for position in at..at + self.size {
                let values: &[f32; LANES] = lanes(row, position);
                for lane in 0..LANES {
                    sums[lane] += values[lane];
                }
            }
            let out: &mut [f32; LANES] = lanes_mut(out, at);
            for lane in 0..LANES {
                out[lane] = offset + scale * sums[lane];
            }
        }
    }

    /// s and s^−β of an image position.
    #[inline(always)]
    fn scales(self, x: &[f32], squares: &mut [f32], s: &mut [f32], power: &mut [f32]) {
        for (square, x) in squares[self.size / 2..].iter_mut().zip(x) {
            *square = x * x;
        }
        self.window_sums(squares, (self.k, self.scale), s);
        let pairs = power.iter_mut().zip(s);
        if self.beta == 0.75 {
            // s^¼ / s: two roots take less time than a logarithm and an exponential.
            pairs.for_each(|(power, s)| *power = s.sqrt().sqrt() / *s);
        } else {
            pairs.for_each(|(power, s)| *power = math::exp(-self.beta * math::ln(*s)));
        }
    }
}

multiversioned! {
    fn forward_piece(shape: Normaliser, x: &[f32], y: &mut [f32], scratch: &mut [f32]) {
        let [squares, _, s, power] = shape.split(scratch);
        for (y, x) in y.chunks_exact_mut(shape.channels).zip(x.chunks_exact(shape.channels)) {
            shape.scales(x, squares, s, power);
            for ((y, x), power) in y.iter_mut().zip(x).zip(&*power) {
                *y = x * power;
            }
        }
    }

    fn backward_piece(shape: Normaliser, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool, scratch: &mut [f32]) {
        let [squares, products, s, power] = shape.split(scratch);
        // Whose window holds a channel lies on the other side of it.
        let before = (shape.size - 1) / 2;
        let factor = -2.0 * shape.scale * shape.beta;
        let rows = x.chunks_exact(shape.channels).zip(dy.chunks_exact(shape.channels));
        for (dx, (x, dy)) in dx.chunks_exact_mut(shape.channels).zip(rows) {
            shape.scales(x, squares, s, power);
            for ((((product, s), power), x), dy) in products[before..].iter_mut().zip(&*s).zip(&*power).zip(x).zip(dy) {
                *product = dy * x * (power / s);
            }
            let sums = &mut *s;
            shape.window_sums(products, (0.0, factor), sums);
            for ((((dx, x), dy), power), sum) in dx.iter_mut().zip(x).zip(dy).zip(&*power).zip(&*sums) {
                put(dx, dy * power + x * sum, accumulate);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    /// Windows clipped to the channels that exist.
    fn window(channel: usize, size: usize, channels: usize) -> std::ops::RangeInclusive<usize> {
        channel.saturating_sub(size / 2)..=(channel + (size - 1) / 2).min(channels - 1)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn against_plain_loops(
            shape in shapes(),
            size in 1..12usize,
            alpha in 1e-4f32..5.0,
            beta in prop_oneof![Just(0.75f32), 0.1f32..2.0],
            k in 0.5f32..3.0,
            seed: u64,
        ) {
            let (x, dy) = (numbers(seed, shape.elements()), numbers(seed ^ 1, shape.elements()));
            let [scale, power, offset] = [alpha / size as f32, beta, k].map(f64::from);
            let channels = shape.c;
            let mut expected = (Vec::new(), Vec::new());
            for (x, dy) in x.chunks(channels).zip(dy.chunks(channels)) {
                let square = |channel: usize| f64::from(x[channel]).powi(2);
                let s: Vec<f64> = (0..channels)
                    .map(|channel| offset + scale * window(channel, size, channels).map(square).sum::<f64>())
                    .collect();
                for i in 0..channels {
                    expected.0.push(f64::from(x[i]) * s[i].powf(-power));
                    let holders = (0..channels).filter(|&c| window(c, size, channels).contains(&i));
                    let sum: f64 = holders.map(|c| f64::from(dy[c] * x[c]) * s[c].powf(-power - 1.0)).sum();
                    expected.1.push(f64::from(dy[i]) * s[i].powf(-power) - 2.0 * scale * power * f64::from(x[i]) * sum);
                }
            }
            let lrn = |threads| LrnOp::new(&kind::Lrn { size, alpha, beta, k, within_channel: false }, channels, threads);
            check_output(&expected.0, |y| lrn(rayon::current_num_threads()).normalise(&x, y));
            check_gradient(&expected.1, |dx, accumulate| {
                lrn(rayon::current_num_threads()).gradient(&x, &dy, dx, accumulate);
            });
        }
    }
}
