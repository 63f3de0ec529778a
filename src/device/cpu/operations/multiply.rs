//! Products of two inputs. A factor of one pixel per channel meets every pixel of its image; its gradient is a sum over them.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::plan::LayerPlan;

/// Channels whose sums are kept in registers and the first-level cache.
const CHANNELS: usize = 64;

pub struct MultiplyOp {
    /// Channels of both factors.
    channels: usize,
    /// Pixels of each factor.
    planes: [usize; 2],
}

impl MultiplyOp {
    pub fn new(layer: &LayerPlan) -> MultiplyOp {
        let plane = |slot: usize| layer.input_shapes[slot].h * layer.input_shapes[slot].w;
        MultiplyOp { channels: layer.output.c, planes: [plane(0), plane(1)] }
    }

    fn plane(&self) -> usize {
        self.planes[0].max(self.planes[1])
    }

    /// `y` (+)= `a` · `b`, where `b` is factor number `slot`.
    fn product(&self, a: &[f32], b: &[f32], slot: usize, y: &mut [f32], accumulate: bool) {
        if self.planes[slot] == self.plane() {
            let piece = parallel::piece(y.len());
            return pieces(y, piece, |index, y| {
                let [a, b] = [a, b].map(|values| piece_of(values, piece, index));
                products(y, a, b, accumulate);
            });
        }
        let (channels, plane) = (self.channels, self.plane());
        let rows = parallel::rows(y.len() / channels, channels);
        pieces(y, rows * channels, |piece, y| {
            let pixels = y.chunks_exact_mut(channels).zip(piece_of(a, rows * channels, piece).chunks_exact(channels));
            for (pixel, (y, a)) in (piece * rows..).zip(pixels) {
                products(y, a, &b[pixel / plane * channels..][..channels], accumulate);
            }
        });
    }

    /// `db` (+)= Σ over pixels of `dy` · `a`.
    fn sums(&self, dy: &[f32], a: &[f32], db: &mut [f32], accumulate: bool) {
        let (channels, image) = (self.channels, self.plane() * self.channels);
        pieces(db, channels, |index, db| {
            let [dy, a] = [dy, a].map(|values| &values[index * image..][..image]);
            pieces(db, CHANNELS, |block, db| sum_block(dy, a, channels, block * CHANNELS, db, accumulate));
        });
    }
}

impl Operation for MultiplyOp {
    fn forward(&mut self, operands: Forward) {
        let [a, b] = [operands.inputs[0], operands.inputs[1]];
        // The second operand of a product may be the smaller.
        match self.planes[0] < self.planes[1] {
            true => self.product(b, a, 0, operands.output, false),
            false => self.product(a, b, 1, operands.output, false),
        }
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let other = 1 - operands.slot;
        let BackwardData { inputs, output_gradient, input_gradient, accumulate, .. } = operands;
        match self.planes[operands.slot] == self.plane() {
            true => self.product(output_gradient, inputs[other], other, input_gradient, accumulate),
            false => self.sums(output_gradient, inputs[other], input_gradient, accumulate),
        }
    }
}

multiversioned! {
    fn products(y: &mut [f32], a: &[f32], b: &[f32], accumulate: bool) {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            put(y, a * b, accumulate);
        }
    }

    /// Of the channels of one image from `first` on.
    fn sum_block(dy: &[f32], a: &[f32], channels: usize, first: usize, db: &mut [f32], accumulate: bool) {
        let mut sums = [0f64; CHANNELS];
        let sums = &mut sums[..db.len()];
        for (dy, a) in dy.chunks_exact(channels).zip(a.chunks_exact(channels)) {
            for ((sum, &dy), &a) in sums.iter_mut().zip(&dy[first..]).zip(&a[first..]) {
                *sum += f64::from(dy * a);
            }
        }
        for (db, &sum) in db.iter_mut().zip(&*sums) {
            put(db, sum as f32, accumulate);
        }
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
        fn against_plain_loops(shape in shapes(), gate in 0..3usize, seed: u64) {
            let plane = shape.h * shape.w;
            // The first factor, the second or none has one pixel.
            let planes = [0, 1].map(|slot| if slot == gate { 1 } else { plane });
            let mut op = MultiplyOp { channels: shape.c, planes };
            let inputs = [0, 1].map(|slot| numbers(seed ^ slot as u64, shape.n * planes[slot] * shape.c));
            let at = |slot: usize, index: usize| match planes[slot] {
                1 if plane > 1 => index / (plane * shape.c) * shape.c + index % shape.c,
                _ => index,
            };
            let value = |slot: usize, index: usize| f64::from(inputs[slot][at(slot, index)]);
            let y: Vec<f64> = (0..shape.elements()).map(|index| value(0, index) * value(1, index)).collect();
            let slices = [inputs[0].as_slice(), inputs[1].as_slice()];
            let mut output = vec![f32::NAN; y.len()];
            op.forward(Forward { inputs: &slices, output: &mut output, ..Forward::default() });
            assert_close(&output, &y, 1e-6);
            let dy = numbers(seed ^ 2, y.len());
            for slot in [0, 1] {
                let mut dx = vec![0f64; inputs[slot].len()];
                for (index, &dy) in dy.iter().enumerate() {
                    dx[at(slot, index)] += f64::from(dy) * value(1 - slot, index);
                }
                check_gradient(&dx, |dx, accumulate| {
                    let mut op = MultiplyOp { channels: shape.c, planes };
                    op.backward_data(BackwardData {
                        slot, inputs: &slices, output_gradient: &dy, input_gradient: dx, accumulate, ..BackwardData::default()
                    });
                });
            }
        }
    }
}
