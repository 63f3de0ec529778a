//! Each element is kept with probability 1 − p and then scaled by 1/(1 − p), or zeroed.
//!
//! The random numbers are [`Philox`]'s, four images to a block: the counter is \[position in image, image / 4, layer, step\], the
//! lane image % 4, and an element is kept when its unit number is at least p.

use super::{BackwardData, Forward, Operation, add};
use crate::device::Training;
use crate::device::cpu::compute::parallel::{self, piece};
use crate::device::cpu::compute::tasks::{piece_of, pieces, pieces_of_two};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::philox::Philox;

/// Images that share a Philox block.
const IMAGES: usize = 4;
/// Positions drawn at once.
const LANES: usize = 64;

pub struct DropoutOp {
    /// None where dropout is off: then the layer copies.
    sampler: Option<Sampler>,
    /// One byte per element: kept or not.
    mask: Vec<u8>,
}

impl DropoutOp {
    /// For `images` images. `positions` has for each memory offset within an image the number of its draw: its
    /// canonical (CHW) index, or that of its channel, or one for all.
    pub fn new(training: &Training, layer: usize, p: f32, positions: Vec<u32>, images: usize) -> DropoutOp {
        let mask = vec![1; images * positions.len()];
        DropoutOp { sampler: training.dropout.then(|| Sampler::new(training.seed, layer, p, positions)), mask }
    }
}

impl Operation for DropoutOp {
    fn forward(&mut self, operands: Forward) {
        match &self.sampler {
            Some(sampler) => sampler.forward(operands.step, operands.input(), operands.output, &mut self.mask),
            None => operands.output.copy_from_slice(operands.input()),
        }
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output_gradient, input_gradient, accumulate, .. } = operands;
        match &self.sampler {
            Some(sampler) => sampler.backward_data(&self.mask, output_gradient, input_gradient, accumulate),
            None => add::backward_data(output_gradient, input_gradient, accumulate),
        }
    }

    fn mask(&mut self) -> Option<&mut [u8]> {
        Some(&mut self.mask)
    }
}

/// Draws the masks.
struct Sampler {
    philox: Philox,
    layer: u32,
    /// An element is kept when its number, in units of 2⁻²⁴, reaches this.
    threshold: u32,
    scale: f32,
    /// The number of the draw of each memory offset within an image.
    positions: Vec<u32>,
}

impl Sampler {
    fn new(seed: u64, layer: usize, p: f32, positions: Vec<u32>) -> Sampler {
        // Unit numbers are multiples of 2⁻²⁴, so that u ≥ p just when u·2²⁴ ≥ ⌈p·2²⁴⌉.
        let threshold = (f64::from(p) * f64::from(1 << 24)).ceil() as u32;
        Sampler { philox: Philox::new(seed), layer: layer as u32, threshold, scale: 1.0 / (1.0 - p), positions }
    }

    /// `mask` is one byte per element, 1 where it is kept.
    fn forward(&self, step: u32, x: &[f32], y: &mut [f32], mask: &mut [u8]) {
        let block = IMAGES * self.positions.len();
        pieces_of_two((y, block), (mask, block), |group, y, mask| {
            let images = Images::new(&self.positions, piece_of(x, block, group), y, mask);
            images.in_pieces(piece(self.positions.len()), &|images| draw(self, group as u32, step, images));
        });
    }

    fn backward_data(&self, mask: &[u8], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let piece = parallel::piece(dx.len());
        pieces(dx, piece, |index, dx| {
            let (dy, mask) = (piece_of(dy, piece, index), piece_of(mask, piece, index));
            backward_piece(dx, dy, mask, self.scale, accumulate);
        });
    }
}

/// The same stretch of up to four images; those that the batch lacks are empty.
struct Images<'a> {
    positions: &'a [u32],
    x: [&'a [f32]; IMAGES],
    y: [&'a mut [f32]; IMAGES],
    mask: [&'a mut [u8]; IMAGES],
}

impl<'a> Images<'a> {
    fn new(positions: &'a [u32], x: &'a [f32], y: &'a mut [f32], mask: &'a mut [u8]) -> Images<'a> {
        let image = positions.len();
        let (mut x, mut y, mut mask) = (x.chunks(image), y.chunks_mut(image), mask.chunks_mut(image));
        Images {
            positions,
            x: std::array::from_fn(|_| x.next().unwrap_or_default()),
            y: std::array::from_fn(|_| y.next().unwrap_or_default()),
            mask: std::array::from_fn(|_| mask.next().unwrap_or_default()),
        }
    }

    /// Halves the stretch until it is short enough, and works on the pieces in parallel.
    fn in_pieces(self, longest: usize, work: &(dyn Fn(Images) + Sync)) {
        if self.positions.len() <= longest {
            return work(self);
        }
        let middle = (self.positions.len() / 2).next_multiple_of(LANES);
        let (positions, other_positions) = self.positions.split_at(middle);
        let (x, other_x) = split(self.x, |x| x.split_at(middle.min(x.len())));
        let (y, other_y) = split(self.y, |y| y.split_at_mut(middle.min(y.len())));
        let (mask, other_mask) = split(self.mask, |mask| mask.split_at_mut(middle.min(mask.len())));
        let other = Images { positions: other_positions, x: other_x, y: other_y, mask: other_mask };
        let this = Images { positions, x, y, mask };
        rayon::join(|| this.in_pieces(longest, work), || other.in_pieces(longest, work));
    }
}

fn split<T: Default>(slices: [T; IMAGES], halves: impl Fn(T) -> (T, T)) -> ([T; IMAGES], [T; IMAGES]) {
    let mut second: [T; IMAGES] = Default::default();
    let mut rest = second.iter_mut();
    let first = slices.map(|slice| {
        let (first, last) = halves(slice);
        if let Some(slot) = rest.next() {
            *slot = last;
        }
        first
    });
    (first, second)
}

multiversioned! {
    fn draw(sampler: &Sampler, group: u32, step: u32, images: Images) {
        let Images { positions, x, y, mask } = images;
        let mut words = [[0; LANES]; IMAGES];
        for (block, positions) in positions.chunks(LANES).enumerate() {
            let [first, second, third, fourth] = &mut words;
            let lanes = first.iter_mut().zip(second).zip(third).zip(fourth);
            for (&position, (((first, second), third), fourth)) in positions.iter().zip(lanes) {
                let counter = [position, group, sampler.layer, step];
                [*first, *second, *third, *fourth] = sampler.philox.block(counter);
            }
            let range = block * LANES..block * LANES + positions.len();
            for (image, words) in words.iter().enumerate().filter(|(image, _)| !x[*image].is_empty()) {
                let outputs = y[image][range.clone()].iter_mut().zip(&mut mask[image][range.clone()]);
                for ((&word, x), (y, mask)) in words.iter().zip(&x[image][range.clone()]).zip(outputs) {
                    let keep = word >> 8 >= sampler.threshold;
                    *y = if keep { x * sampler.scale } else { 0.0 };
                    *mask = u8::from(keep);
                }
            }
        }
    }

    fn backward_piece(dx: &mut [f32], dy: &[f32], mask: &[u8], scale: f32, accumulate: bool) {
        for ((dx, &dy), &mask) in dx.iter_mut().zip(dy).zip(mask) {
            put(dx, if mask != 0 { dy * scale } else { 0.0 }, accumulate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use crate::philox::unit;
    use crate::plan::Shape;
    use proptest::prelude::*;

    /// The canonical index of each NHWC offset.
    fn positions(shape: Shape) -> Vec<u32> {
        let pixels = shape.h * shape.w;
        (0..shape.image_elements()).map(|at| (at % shape.c * pixels + at / shape.c) as u32).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn against_philox_itself(shape in shapes(), images in 1..10usize, p in 0f32..1.0, seed: u64, step: u32) {
            let shape = Shape { n: images, ..shape };
            let (image, layer) = (shape.image_elements(), 5);
            let positions = positions(shape);
            let keeps = |at: usize| {
                let (group, lane) = (at / image / 4, at / image % 4);
                let counter = [positions[at % image], group as u32, layer, step];
                unit(Philox::new(seed).block(counter)[lane]) >= p
            };
            let kept: Vec<bool> = (0..shape.elements()).map(keeps).collect();
            let (x, scale) = (numbers(seed, shape.elements()), 1.0 / (1.0 - f64::from(p)));
            let expected = kept.iter().zip(&x).map(|(&kept, &x)| if kept { f64::from(x) * scale } else { 0.0 });
            let expected: Vec<f64> = expected.collect();
            let dropout = Sampler::new(seed, layer as usize, p, positions.clone());
            check_output(&expected, |y| {
                let mut mask = vec![9; y.len()];
                dropout.forward(step, &x, y, &mut mask);
                assert!(mask.iter().map(|&mask| mask == 1).eq(kept.iter().copied()));
            });
            let mask: Vec<u8> = kept.iter().map(|&kept| u8::from(kept)).collect();
            check_gradient(&expected, |dx, accumulate| dropout.backward_data(&mask, &x, dx, accumulate));
        }
    }

    #[test]
    fn off_is_the_identity() {
        let dropout = Sampler::new(1, 0, 0.0, (0..100).collect());
        let (x, mut y, mut mask) = (numbers(3, 300), vec![0.0; 300], vec![0; 300]);
        dropout.forward(0, &x, &mut y, &mut mask);
        assert_eq!(y, x);
        assert!(mask.iter().all(|&mask| mask == 1));
    }

    /// Of 40 000 elements a share of p ± five standard errors is dropped, others in the next step.
    #[test]
    fn drops_the_right_share() {
        let dropout = Sampler::new(1, 0, 0.3, (0..10_000).collect());
        let (x, mut y) = (vec![1.0; 40_000], vec![0.0; 40_000]);
        let masks = [0, 1].map(|step| {
            let mut mask = vec![0; 40_000];
            dropout.forward(step, &x, &mut y, &mut mask);
            mask
        });
        for mask in &masks {
            let dropped = mask.iter().filter(|&&mask| mask == 0).count() as f64 / 40_000.0;
            assert!((dropped - 0.3).abs() < 5.0 * (0.21f64 / 40_000.0).sqrt(), "{dropped}");
        }
        assert_ne!(masks[0], masks[1]);
    }
}
