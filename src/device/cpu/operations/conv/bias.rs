//! The gradient of a convolution's biases.

use crate::device::cpu::compute::vector::multiversioned;

/// Channels summed at once.
const CHANNELS: usize = 32;

/// Adds pixels that are `pitch` apart to `sums`, channel by channel. In f64: gradients of opposite sign cancel.
pub(super) fn sum_pixels(pixels: &[f32], pitch: usize, sums: &mut [f32]) {
    for (block, sums) in sums.chunks_mut(CHANNELS).enumerate() {
        let first = block * CHANNELS;
        if first < pixels.len() {
            let mut exact = [0f64; CHANNELS];
            sum_channels(&pixels[first..], pitch, &mut exact[..sums.len()]);
            sums.iter_mut().zip(exact).for_each(|(sum, exact)| *sum += exact as f32);
        }
    }
}

multiversioned! {
    fn sum_channels(pixels: &[f32], pitch: usize, sums: &mut [f64]) {
        for pixel in pixels.chunks(pitch) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(*value);
            }
        }
    }
}
