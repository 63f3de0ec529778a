//! The arithmetic of the formulas: f64, the expectation, or f32, which shows what rounding alone does to a whole step.

use std::iter::Sum;
use std::ops::{AddAssign, SubAssign};

use num_traits::Float;

/// A floating-point number.
pub trait Real: Float + Default + Sum + AddAssign + SubAssign + Send + Sync {
    /// The number nearest to a constant.
    fn of(value: impl Into<f64>) -> Self;
    /// The number in f64.
    fn in_f64(self) -> f64;
}

impl Real for f64 {
    fn of(value: impl Into<f64>) -> f64 {
        value.into()
    }

    fn in_f64(self) -> f64 {
        self
    }
}

impl Real for f32 {
    fn of(value: impl Into<f64>) -> f32 {
        value.into() as f32
    }

    fn in_f64(self) -> f64 {
        f64::from(self)
    }
}
