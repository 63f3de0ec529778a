//! The gradient of a convolution's biases.

use crate::device::cpu::compute::vector::{lanes, lanes_mut, multiversioned};
use crate::device::cpu::operations::pool::channel_blocks;

multiversioned! {
    /// Adds pixels that are `pitch` apart to `sums`, channel by channel. In f64: gradients of opposite sign cancel.
    pub(super) fn sum_pixels(pixels: &[f32], pitch: usize, sums: &mut [f32]) {
        channel_blocks!(sums.len(), |channel, L| {
            let mut exact = [0f64; L];
            for pixel in pixels.chunks(pitch) {
                let pixel: &[f32; L] = lanes(pixel, channel);
                for lane in 0..L {
                    exact[lane] += f64::from(pixel[lane]);
                }
            }
            let sums: &mut [f32; L] = lanes_mut(sums, channel);
            for lane in 0..L {
                sums[lane] += exact[lane] as f32;
            }
        });
    }
}
