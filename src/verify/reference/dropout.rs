//! Dropout: kept elements are scaled by 1 / (1 − p), so that the expectation stays; dropped ones are zero.

use super::real::Real;

/// Forward and backward are the same product. `mask` has ones and zeros; with dropout off there is none, and nothing changes.
pub fn apply<T: Real>(p: f32, mask: Option<&[T]>, values: &[T]) -> Vec<T> {
    let scale = T::one() / (T::one() - T::of(p));
    match mask {
        Some(mask) => values.iter().zip(mask).map(|(&value, &kept)| value * kept * scale).collect(),
        None => values.to_vec(),
    }
}
