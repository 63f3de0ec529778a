//! How many pieces of work a convolution falls into.
//!
//! GPU libraries see a convolution as a matrix product, pixels of all images by channels, cut its result into square tiles and
//! give each to one multiprocessor. At small batches there are fewer tiles than multiprocessors. Where what is summed over is
//! long, in weight gradients and fully connected layers, the libraries split the sums too, and no multiprocessor need idle.

use crate::plan::{Geometry, LayerPlan, Phase, Shape};

/// The tiles of a phase's result; `None` where sums are split, or where there are none.
pub fn of(layer: &LayerPlan, phase: Phase, side: u64) -> Option<u64> {
    let Geometry::Conv(conv) = &layer.geometry else { return None };
    let groups = conv.groups as u64;
    let Shape { n, c, h, w } = match phase {
        Phase::Forward => layer.output,
        Phase::BackwardData => layer.input(),
        Phase::BackwardWeights | Phase::LossScale | Phase::WeightUpdate => return None,
    };
    let (pixels, channels) = ((n * h * w) as u64, c as u64 / groups);
    Some(groups * pixels.div_ceil(side) * channels.div_ceil(side))
}
