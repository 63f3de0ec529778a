//! Dropout: kept elements are scaled by 1 / (1 − p), so that the expectation stays; dropped ones are zero.

/// Forward and backward are the same product. `mask` has ones and zeros; with dropout off there is none, and nothing changes.
pub fn apply(p: f32, mask: Option<&[f64]>, values: &[f64]) -> Vec<f64> {
    let scale = 1.0 / (1.0 - f64::from(p));
    match mask {
        Some(mask) => values.iter().zip(mask).map(|(value, kept)| value * kept * scale).collect(),
        None => values.to_vec(),
    }
}
