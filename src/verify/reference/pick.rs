//! Slices and shuffles of channels, and zeros beside them.

use super::real::Real;
use crate::model::kind::PadChannels;
use crate::plan::{ChannelPick, Shape};

/// The picked channels of every image.
pub fn forward<T: Real>(pick: ChannelPick, shape: Shape, x: &[T]) -> Vec<T> {
    let plane = shape.h * shape.w;
    let channel = |n: usize, k: usize| &x[(n * shape.c + pick.source(k)) * plane..][..plane];
    (0..shape.n).flat_map(|n| (0..pick.channels).flat_map(move |k| channel(n, k))).copied().collect()
}

/// Leaves no gradient to the channels that were not picked.
pub fn backward_data<T: Real>(pick: ChannelPick, shape: Shape, dy: &[T]) -> Vec<T> {
    let plane = shape.h * shape.w;
    let mut dx = vec![T::zero(); shape.elements()];
    for (index, dy) in dy.chunks(plane).enumerate() {
        let (n, k) = (index / pick.channels, index % pick.channels);
        dx[(n * shape.c + pick.source(k)) * plane..][..plane].copy_from_slice(dy);
    }
    dx
}

/// Every image between its channels of zeros.
pub fn pad<T: Real>(pad: &PadChannels, shape: Shape, x: &[T]) -> Vec<T> {
    let plane = shape.h * shape.w;
    let zeros = |channels: usize| std::iter::repeat_n(T::zero(), channels * plane);
    let image = |x: &[T]| zeros(pad.before).chain(x.to_vec()).chain(zeros(pad.after));
    x.chunks(shape.image_elements()).flat_map(image).collect()
}

/// The gradient of zeros goes nowhere.
pub fn unpad<T: Real>(pad: &PadChannels, shape: Shape, dy: &[T]) -> Vec<T> {
    let (plane, image) = (shape.h * shape.w, shape.image_elements());
    dy.chunks(image + (pad.before + pad.after) * plane)
        .flat_map(|dy| &dy[pad.before * plane..][..image])
        .copied()
        .collect()
}
