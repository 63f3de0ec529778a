//! Exponential and logarithm without branches, so that loops over them become vector instructions.

use std::f32::consts::{LN_2, LOG2_E};

/// eˣ within 2e-7 relative, for normal results; NaN stays NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2, then the Taylor series of eʳ, whose eighth term is below 6e-9.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to a whole number and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: multiples of the first, short one are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = (std::f64::consts::LN_2 - LN_2_HIGH as f64) as f32;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN_2_HIGH - n * LN_2_LOW;
    let series = [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let power = series.into_iter().fold(0.0, |sum, term| sum * r + term);
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127);
    power * f32::from_bits(exponent << 23)
}

/// ln x within 2e-7 (relative, or absolute near 1), for positive normal x.
///
/// x = 2ⁿ·m with m in \[1/√2, √2), ln m = 2 artanh((m − 1)/(m + 1)), whose sixth term is below 1e-9 of the sum.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    const HALF_ROOT: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let n = (x.to_bits().wrapping_sub(HALF_ROOT) as i32) >> 23;
    let m = f32::from_bits(x.to_bits().wrapping_sub((n << 23) as u32));
    let f = (m - 1.0) / (m + 1.0);
    let square = f * f;
    let series = [1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0].into_iter().fold(0.0, |sum, term| sum * square + term);
    n as f32 * LN_2 + 2.0 * f * series
}

/// Hyperbolic tangent within 3e-7 relative; NaN stays NaN.
///
/// Up to 1, Lambert's continued fraction, whose first left-out term is below 1e-8 there (Abramowitz and Stegun 4.5.70); beyond, 1 − 2 / (e²ˣ + 1).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let square = x * x;
    let above = 135_135.0 + square * (17_325.0 + square * (378.0 + square));
    let below = 135_135.0 + square * (62_370.0 + square * (3_150.0 + square * 28.0));
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < 1.0 { x * above / below } else { far.copysign(x) }
}

/// eˣ − 1 within 5e-7 relative; NaN stays NaN. Near zero 2t / (1 − t) with t = tanh(x/2), so that nothing cancels.
#[inline(always)]
pub fn exp_m1(x: f32) -> f32 {
    let half = tanh(0.5 * x);
    if x.abs() < 1.0 { 2.0 * half / (1.0 - half) } else { exp(x) - 1.0 }
}

/// Error function within 2e-7 absolute; NaN stays NaN.
///
/// 1 − e^(−x·q(x)), where q = −ln(erfc x)/x is a polynomial fitted by least squares on 0 to 4; beyond 4 the result is 1.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    const Q: [f32; 8] = [
        3.099_098e-5,
        -3.051_503e-4,
        1.020_796e-3,
        5.553_829e-4,
        -1.959_952_3e-2,
        1.029_264_1e-1,
        6.365_964e-1,
        1.128_380_3,
    ];
    let size = if x.abs() > 4.0 { 4.0 } else { x.abs() };
    let q = Q.into_iter().fold(0.0, |sum, term| sum * size + term);
    (1.0 - exp(-size * q)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn exponential(x in -87f32..88.0) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - exact).abs() <= 2e-7 * exact);
        }

        #[test]
        fn logarithm(exponent in -30f64..30.0) {
            let x = exponent.exp2() as f32;
            let exact = f64::from(x).ln();
            prop_assert!((f64::from(ln(x)) - exact).abs() <= 2e-7 * exact.abs().max(0.5));
        }
    }

    proptest! {
        #[test]
        fn hyperbolic_tangent(x in -20f32..20.0, small in -0.01f32..0.01) {
            for x in [x, small] {
                let exact = f64::from(x).tanh();
                prop_assert!((f64::from(tanh(x)) - exact).abs() <= 3e-7 * exact.abs());
                let exact = f64::from(x).exp_m1();
                prop_assert!((f64::from(exp_m1(x)) - exact).abs() <= 5e-7 * exact.abs());
            }
        }

        #[test]
        fn error_function(x in -6f32..6.0) {
            prop_assert!((f64::from(erf(x)) - statrs::function::erf::erf(f64::from(x))).abs() <= 2e-7);
        }
    }

    #[test]
    fn extremes() {
        assert!(tanh(f32::NAN).is_nan() && exp_m1(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
        assert_eq!([tanh(-50.0), erf(-50.0), exp_m1(-80.0)], [-1.0; 3]);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(ln(1.0), 0.0);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(f32::NEG_INFINITY) < 2e-38);
    }
}
