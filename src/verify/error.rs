//! The distance of a result from its expected value.

use super::reference::Real;

/// Euclidean norm, summed in f64.
pub fn norm<T: Real>(values: &[T]) -> f64 {
    values.iter().map(|value| value.in_f64().powi(2)).sum::<f64>().sqrt()
}

/// Relative L2 error ‖actual − expected‖ / ‖expected‖. Elements that are not `counted` are left out.
///
/// The divisor is at least `least_norm`, and at least the norm of as many of f32's smallest normal numbers: so an expected
/// zero is met by zero alone. NaN anywhere gives NaN, which no bound admits.
pub fn relative_error(
    actual: &[f32],
    expected: impl Fn(usize) -> f64,
    counted: impl Fn(usize) -> bool,
    least_norm: f64,
) -> f64 {
    let (mut difference, mut reference) = (0.0, 0.0);
    for (index, &actual) in actual.iter().enumerate().filter(|&(index, _)| counted(index)) {
        let expected = expected(index);
        difference += (f64::from(actual) - expected).powi(2);
        reference += expected * expected;
    }
    let smallest = f64::from(f32::MIN_POSITIVE) * (actual.len().max(1) as f64).sqrt();
    difference.sqrt() / reference.sqrt().max(least_norm).max(smallest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(actual: &[f32], expected: &[f64]) -> f64 {
        relative_error(actual, |index| expected[index], |_| true, 0.0)
    }

    #[test]
    fn three_four_five() {
        // ‖(3, 4) − (0, 8)‖ = 5, ‖(0, 8)‖ = 8
        assert_eq!(error(&[3.0, 4.0], &[0.0, 8.0]), 0.625);
        assert_eq!(relative_error(&[3.0, 4.0], |_| 4.0, |index| index == 1, 0.0), 0.0);
        assert_eq!(relative_error(&[3.0, 4.0], |index| [0.0, 8.0][index], |_| true, 50.0), 0.1);
    }

    #[test]
    fn zero_is_met_by_zero_alone() {
        assert_eq!(error(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
        assert!(error(&[0.0, 1e-30], &[0.0, 0.0]) > 1.0);
        assert_eq!(error(&[], &[]), 0.0);
    }

    /// As [`super::super::Check::passes`] compares, with a bound of one.
    fn passes(error: f64) -> bool {
        error <= 1.0
    }

    #[test]
    fn nothing_unordered_passes() {
        for (actual, expected) in
            [(f32::NAN, 1.0), (1.0, f64::NAN), (f32::INFINITY, 1.0), (f32::INFINITY, f64::INFINITY)]
        {
            let error = error(&[actual, 1.0], &[expected, 1.0]);
            assert!(!passes(error), "{actual} against {expected} gave {error}");
        }
        assert!(!passes(error(&[1.0], &[f64::INFINITY])));
    }
}
