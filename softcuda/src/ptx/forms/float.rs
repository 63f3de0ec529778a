//! Floating point, in f32. Rounding follows IEEE; the `.approx` forms give the exactly rounded value, which hardware only
//! approaches.

use super::super::isa::L32;
use super::lanes::{float, lanes};
use super::{Form, Shape::*};

pub const FORMS: &[Form] = &[
    ("add.rn?.f32", Binary32(lanes!(|a: u32, b: u32| -> u32 { (float(a) + float(b)).to_bits() }))),
    ("sub.rn?.f32", Binary32(lanes!(|a: u32, b: u32| -> u32 { (float(a) - float(b)).to_bits() }))),
    ("mul.rn?.f32", Binary32(lanes!(|a: u32, b: u32| -> u32 { (float(a) * float(b)).to_bits() }))),
    ("div.rn|full|approx.f32", Binary32(lanes!(|a: u32, b: u32| -> u32 { (float(a) / float(b)).to_bits() }))),
    ("fma.rn.f32", Ternary32(fused)),
    (
        "fma.rm.f32",
        Ternary32(lanes!(|a: u32, b: u32, c: u32| -> u32 {
            round_down(f64::from(float(a)).mul_add(f64::from(float(b)), f64::from(float(c)))).to_bits()
        })),
    ),
    // f32::min and max return the other operand for a NaN, as PTX does
    ("min.f32", Binary32(lanes!(|a: u32, b: u32| -> u32 { float(a).min(float(b)).to_bits() }))),
    ("max.f32", Binary32(lanes!(|a: u32, b: u32| -> u32 { float(a).max(float(b)).to_bits() }))),
    ("neg.f32", Unary32(lanes!(|a: u32| -> u32 { a ^ 0x8000_0000 }))),
    ("abs.f32", Unary32(lanes!(|a: u32| -> u32 { a & 0x7fff_ffff }))),
    ("rcp.rn|approx.f32", Unary32(lanes!(|a: u32| -> u32 { (1.0 / float(a)).to_bits() }))),
    ("sqrt.rn|approx.f32", Unary32(lanes!(|a: u32| -> u32 { float(a).sqrt().to_bits() }))),
    ("rsqrt.approx.f32", Unary32(lanes!(|a: u32| -> u32 { (1.0 / float(a).sqrt()).to_bits() }))),
    ("rcp.approx.ftz.f32", Unary32(lanes!(|a: u32| -> u32 { flush(1.0 / flush(float(a))).to_bits() }))),
    ("ex2.approx.f32", Unary32(lanes!(|a: u32| -> u32 { float(a).exp2().to_bits() }))),
    ("ex2.approx.ftz.f32", Unary32(lanes!(|a: u32| -> u32 { flush(flush(float(a)).exp2()).to_bits() }))),
    ("lg2.approx.f32", Unary32(lanes!(|a: u32| -> u32 { float(a).log2().to_bits() }))),
];

/// The fused multiply-add: the processor's own where it has one.
fn fused(a: &L32, b: &L32, c: &L32) -> L32 {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("fma") && std::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2,fma")]
        fn with_fma(a: &L32, b: &L32, c: &L32) -> L32 {
            std::array::from_fn(|i| float(a[i]).mul_add(float(b[i]), float(c[i])).to_bits())
        }
        // SAFETY: the processor has both features, as just checked.
        return unsafe { with_fma(a, b, c) };
    }
    std::array::from_fn(|i| float(a[i]).mul_add(float(b[i]), float(c[i])).to_bits())
}

/// Flushes a subnormal to zero of the same sign.
fn flush(v: f32) -> f32 {
    if v.is_subnormal() { 0f32.copysign(v) } else { v }
}

/// The largest f32 that is not above `exact`.
fn round_down(exact: f64) -> f32 {
    let nearest = exact as f32;
    if f64::from(nearest) > exact { nearest.next_down() } else { nearest }
}
