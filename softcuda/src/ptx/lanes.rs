//! Arithmetic for all 32 lanes at once: one plain function per operation, chosen when the PTX is decoded.
//!
//! Rounding follows IEEE; the `.approx` forms give the exactly rounded value, which hardware only approaches.

use super::isa::{L32, L64};
use half::f16;

/// A function over lanes from an expression over one lane.
macro_rules! lanes {
    (|$a:ident: $ta:ty| -> $r:ty $e:block) => {{
        fn f(a: &[$ta; 32]) -> [$r; 32] {
            let mut out = [<$r>::default(); 32];
            for i in 0..32 {
                let $a = a[i];
                out[i] = $e;
            }
            out
        }
        f
    }};
    (|$a:ident: $ta:ty, $b:ident: $tb:ty| -> $r:ty $e:block) => {{
        fn f(a: &[$ta; 32], b: &[$tb; 32]) -> [$r; 32] {
            let mut out = [<$r>::default(); 32];
            for i in 0..32 {
                let ($a, $b) = (a[i], b[i]);
                out[i] = $e;
            }
            out
        }
        f
    }};
    (|$a:ident: $ta:ty, $b:ident: $tb:ty, $c:ident: $tc:ty| -> $r:ty $e:block) => {{
        fn f(a: &[$ta; 32], b: &[$tb; 32], c: &[$tc; 32]) -> [$r; 32] {
            let mut out = [<$r>::default(); 32];
            for i in 0..32 {
                let ($a, $b, $c) = (a[i], b[i], c[i]);
                out[i] = $e;
            }
            out
        }
        f
    }};
}
/// A comparison over lanes: bit i of the result is lane i's answer.
macro_rules! compare {
    (|$a:ident: $t:ty, $b:ident| $e:block) => {{
        fn f(a: &[$t; 32], b: &[$t; 32]) -> u32 {
            let mut mask = 0;
            for i in 0..32 {
                let ($a, $b) = (a[i], b[i]);
                mask |= u32::from($e) << i;
            }
            mask
        }
        f
    }};
}

pub fn float(bits: u32) -> f32 {
    f32::from_bits(bits)
}

pub fn unary32(base: &str, ty: &str, modifiers: &[&str]) -> Option<fn(&L32) -> L32> {
    Some(match (base, ty) {
        ("mov", _) => lanes!(|a: u32| -> u32 { a }),
        ("neg", "s32") => lanes!(|a: u32| -> u32 { a.wrapping_neg() }),
        ("neg", "f32") => lanes!(|a: u32| -> u32 { a ^ 0x8000_0000 }),
        ("abs", "s32") => lanes!(|a: u32| -> u32 { (a as i32).unsigned_abs() }),
        ("abs", "f32") => lanes!(|a: u32| -> u32 { a & 0x7fff_ffff }),
        ("not", "b32") => lanes!(|a: u32| -> u32 { !a }),
        ("not", "b16") => lanes!(|a: u32| -> u32 { !a & 0xffff }),
        ("ex2", "f32") if modifiers.contains(&"ftz") => {
            lanes!(|a: u32| -> u32 { flush(flush(float(a)).exp2()).to_bits() })
        }
        ("ex2", "f32") => lanes!(|a: u32| -> u32 { float(a).exp2().to_bits() }),
        ("lg2", "f32") => lanes!(|a: u32| -> u32 { float(a).log2().to_bits() }),
        ("rcp", "f32") => lanes!(|a: u32| -> u32 { (1.0 / float(a)).to_bits() }),
        ("sqrt", "f32") => lanes!(|a: u32| -> u32 { float(a).sqrt().to_bits() }),
        ("rsqrt", "f32") => lanes!(|a: u32| -> u32 { (1.0 / float(a).sqrt()).to_bits() }),
        _ => return None,
    })
}

pub fn unary64(base: &str, ty: &str) -> Option<fn(&L64) -> L64> {
    Some(match (base, ty) {
        ("mov" | "cvta", _) => lanes!(|a: u64| -> u64 { a }),
        ("neg", "s64") => lanes!(|a: u64| -> u64 { a.wrapping_neg() }),
        ("not", "b64") => lanes!(|a: u64| -> u64 { !a }),
        _ => return None,
    })
}

pub fn binary32(base: &str, ty: &str, modifiers: &[&str]) -> Option<fn(&L32, &L32) -> L32> {
    let high = modifiers.contains(&"hi");
    Some(match (base, ty) {
        ("add", "s32" | "u32") => lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) }),
        ("sub", "s32" | "u32") => lanes!(|a: u32, b: u32| -> u32 { a.wrapping_sub(b) }),
        ("mul", "u32") if high => lanes!(|a: u32, b: u32| -> u32 { ((a as u64 * b as u64) >> 32) as u32 }),
        ("mul", "s32") if high => {
            lanes!(|a: u32, b: u32| -> u32 { ((a as i32 as i64 * b as i32 as i64) >> 32) as u32 })
        }
        ("mul", "s32" | "u32") => lanes!(|a: u32, b: u32| -> u32 { a.wrapping_mul(b) }),
        ("add", "s16" | "u16") => lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) & 0xffff }),
        ("sub", "s16" | "u16") => lanes!(|a: u32, b: u32| -> u32 { a.wrapping_sub(b) & 0xffff }),
        ("mul", "s16" | "u16") => lanes!(|a: u32, b: u32| -> u32 { a.wrapping_mul(b) & 0xffff }),
        ("add", "f32") => lanes!(|a: u32, b: u32| -> u32 { (float(a) + float(b)).to_bits() }),
        ("sub", "f32") => lanes!(|a: u32, b: u32| -> u32 { (float(a) - float(b)).to_bits() }),
        ("mul", "f32") => lanes!(|a: u32, b: u32| -> u32 { (float(a) * float(b)).to_bits() }),
        ("div", "f32") => lanes!(|a: u32, b: u32| -> u32 { (float(a) / float(b)).to_bits() }),
        // f32::min and max return the other operand for a NaN, as PTX does
        ("min", "f32") => lanes!(|a: u32, b: u32| -> u32 { float(a).min(float(b)).to_bits() }),
        ("max", "f32") => lanes!(|a: u32, b: u32| -> u32 { float(a).max(float(b)).to_bits() }),
        ("min", "s32") => lanes!(|a: u32, b: u32| -> u32 { (a as i32).min(b as i32) as u32 }),
        ("max", "s32") => lanes!(|a: u32, b: u32| -> u32 { (a as i32).max(b as i32) as u32 }),
        ("min", "u32") => lanes!(|a: u32, b: u32| -> u32 { a.min(b) }),
        ("max", "u32") => lanes!(|a: u32, b: u32| -> u32 { a.max(b) }),
        ("and", "b32" | "b16") => lanes!(|a: u32, b: u32| -> u32 { a & b }),
        ("or", "b32" | "b16") => lanes!(|a: u32, b: u32| -> u32 { a | b }),
        ("xor", "b32" | "b16") => lanes!(|a: u32, b: u32| -> u32 { a ^ b }),
        ("shl", "b32") => lanes!(|a: u32, b: u32| -> u32 { a.checked_shl(b).unwrap_or(0) }),
        ("shl", "b16") => lanes!(|a: u32, b: u32| -> u32 { a.checked_shl(b).unwrap_or(0) & 0xffff }),
        ("shr", "u32" | "b32" | "u16" | "b16") => lanes!(|a: u32, b: u32| -> u32 { a.checked_shr(b).unwrap_or(0) }),
        ("shr", "s32") => lanes!(|a: u32, b: u32| -> u32 { ((a as i32) >> b.min(31)) as u32 }),
        _ => return None,
    })
}

/// Integer division and remainder. A zero divisor is reported by the caller and gives 0 here.
pub fn divide32(base: &str, ty: &str) -> Option<fn(&L32, &L32) -> L32> {
    Some(match (base, ty) {
        ("div", "u32") => lanes!(|a: u32, b: u32| -> u32 { a.checked_div(b).unwrap_or(0) }),
        ("rem", "u32") => lanes!(|a: u32, b: u32| -> u32 { a.checked_rem(b).unwrap_or(0) }),
        ("div", "s32") => {
            lanes!(|a: u32, b: u32| -> u32 { if b == 0 { 0 } else { (a as i32).wrapping_div(b as i32) as u32 } })
        }
        ("rem", "s32") => {
            lanes!(|a: u32, b: u32| -> u32 { if b == 0 { 0 } else { (a as i32).wrapping_rem(b as i32) as u32 } })
        }
        _ => return None,
    })
}

pub fn divide64(base: &str, ty: &str) -> Option<fn(&L64, &L64) -> L64> {
    Some(match (base, ty) {
        ("div", "u64") => lanes!(|a: u64, b: u64| -> u64 { a.checked_div(b).unwrap_or(0) }),
        ("rem", "u64") => lanes!(|a: u64, b: u64| -> u64 { a.checked_rem(b).unwrap_or(0) }),
        ("div", "s64") => {
            lanes!(|a: u64, b: u64| -> u64 { if b == 0 { 0 } else { (a as i64).wrapping_div(b as i64) as u64 } })
        }
        ("rem", "s64") => {
            lanes!(|a: u64, b: u64| -> u64 { if b == 0 { 0 } else { (a as i64).wrapping_rem(b as i64) as u64 } })
        }
        _ => return None,
    })
}

pub fn binary64(base: &str, ty: &str) -> Option<fn(&L64, &L64) -> L64> {
    Some(match (base, ty) {
        ("add", "s64" | "u64") => lanes!(|a: u64, b: u64| -> u64 { a.wrapping_add(b) }),
        ("sub", "s64" | "u64") => lanes!(|a: u64, b: u64| -> u64 { a.wrapping_sub(b) }),
        ("mul", "s64" | "u64") => lanes!(|a: u64, b: u64| -> u64 { a.wrapping_mul(b) }),
        ("min", "s64") => lanes!(|a: u64, b: u64| -> u64 { (a as i64).min(b as i64) as u64 }),
        ("max", "s64") => lanes!(|a: u64, b: u64| -> u64 { (a as i64).max(b as i64) as u64 }),
        ("and", "b64") => lanes!(|a: u64, b: u64| -> u64 { a & b }),
        ("or", "b64") => lanes!(|a: u64, b: u64| -> u64 { a | b }),
        ("xor", "b64") => lanes!(|a: u64, b: u64| -> u64 { a ^ b }),
        _ => return None,
    })
}

pub fn shift64(base: &str, ty: &str) -> Option<fn(&L64, &L32) -> L64> {
    Some(match (base, ty) {
        ("shl", "b64") => lanes!(|a: u64, b: u32| -> u64 { a.checked_shl(b).unwrap_or(0) }),
        ("shr", "u64" | "b64") => lanes!(|a: u64, b: u32| -> u64 { a.checked_shr(b).unwrap_or(0) }),
        ("shr", "s64") => lanes!(|a: u64, b: u32| -> u64 { ((a as i64) >> b.min(63)) as u64 }),
        _ => return None,
    })
}

pub fn ternary32(base: &str, ty: &str, modifiers: &[&str]) -> Option<fn(&L32, &L32, &L32) -> L32> {
    Some(match (base, ty) {
        ("mad", "s32" | "u32") if modifiers.contains(&"lo") => {
            lanes!(|a: u32, b: u32, c: u32| -> u32 { a.wrapping_mul(b).wrapping_add(c) })
        }
        ("fma", "f32") if modifiers.contains(&"rm") => lanes!(|a: u32, b: u32, c: u32| -> u32 {
            round_down(f64::from(float(a)).mul_add(f64::from(float(b)), f64::from(float(c)))).to_bits()
        }),
        ("fma", "f32") if modifiers.contains(&"rn") => fused(),
        ("bfe", "u32") => lanes!(|a: u32, b: u32, c: u32| -> u32 {
            let kept = 1u32.checked_shl(c & 0xff).map_or(u32::MAX, |bit| bit - 1);
            a.checked_shr(b & 0xff).unwrap_or(0) & kept
        }),
        ("prmt", "b32") => lanes!(|a: u32, b: u32, c: u32| -> u32 { permute(a, b, c) }),
        _ => return None,
    })
}

/// The fused multiply-add: the processor's own where it has one.
fn fused() -> fn(&L32, &L32, &L32) -> L32 {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("fma") && std::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2,fma")]
        fn with_fma(a: &L32, b: &L32, c: &L32) -> L32 {
            std::array::from_fn(|i| float(a[i]).mul_add(float(b[i]), float(c[i])).to_bits())
        }
        // SAFETY: the processor has both features, as just checked.
        return |a, b, c| unsafe { with_fma(a, b, c) };
    }
    lanes!(|a: u32, b: u32, c: u32| -> u32 { float(a).mul_add(float(b), float(c)).to_bits() })
}

pub fn multiply_wide(ty: &str) -> Option<fn(&L32, &L32) -> L64> {
    Some(match ty {
        "u32" => lanes!(|a: u32, b: u32| -> u64 { a as u64 * b as u64 }),
        "s32" => lanes!(|a: u32, b: u32| -> u64 { (a as i32 as i64 * b as i32 as i64) as u64 }),
        _ => return None,
    })
}

pub fn compare32(relation: &str, ty: &str) -> Option<fn(&L32, &L32) -> u32> {
    Some(match (relation, ty) {
        ("eq", "s32" | "u32" | "b32" | "s16" | "u16" | "b16") => compare!(|a: u32, b| { a == b }),
        ("ne", "s32" | "u32" | "b32" | "s16" | "u16" | "b16") => compare!(|a: u32, b| { a != b }),
        ("lt" | "lo", "u32" | "u16") => compare!(|a: u32, b| { a < b }),
        ("le" | "ls", "u32" | "u16") => compare!(|a: u32, b| { a <= b }),
        ("gt" | "hi", "u32" | "u16") => compare!(|a: u32, b| { a > b }),
        ("ge" | "hs", "u32" | "u16") => compare!(|a: u32, b| { a >= b }),
        ("lt", "s32") => compare!(|a: u32, b| { (a as i32) < b as i32 }),
        ("le", "s32") => compare!(|a: u32, b| { a as i32 <= b as i32 }),
        ("gt", "s32") => compare!(|a: u32, b| { a as i32 > b as i32 }),
        ("ge", "s32") => compare!(|a: u32, b| { a as i32 >= b as i32 }),
        ("eq", "f32") => compare!(|a: u32, b| { float(a) == float(b) }),
        ("ne", "f32") => compare!(|a: u32, b| { float(a) < float(b) || float(a) > float(b) }),
        ("lt", "f32") => compare!(|a: u32, b| { float(a) < float(b) }),
        ("le", "f32") => compare!(|a: u32, b| { float(a) <= float(b) }),
        ("gt", "f32") => compare!(|a: u32, b| { float(a) > float(b) }),
        ("ge", "f32") => compare!(|a: u32, b| { float(a) >= float(b) }),
        // the unordered forms are true for a NaN
        ("equ", "f32") => compare!(|a: u32, b| { !(float(a) < float(b) || float(a) > float(b)) }),
        ("neu", "f32") => compare!(|a: u32, b| { float(a) != float(b) }),
        ("ltu", "f32") => compare!(|a: u32, b| { !matches!(float(a).partial_cmp(&float(b)), Some(o) if o.is_ge()) }),
        ("leu", "f32") => compare!(|a: u32, b| { !matches!(float(a).partial_cmp(&float(b)), Some(o) if o.is_gt()) }),
        ("gtu", "f32") => compare!(|a: u32, b| { !matches!(float(a).partial_cmp(&float(b)), Some(o) if o.is_le()) }),
        ("geu", "f32") => compare!(|a: u32, b| { !matches!(float(a).partial_cmp(&float(b)), Some(o) if o.is_lt()) }),
        ("nan", "f32") => compare!(|a: u32, b| { float(a).is_nan() || float(b).is_nan() }),
        ("num", "f32") => compare!(|a: u32, b| { !float(a).is_nan() && !float(b).is_nan() }),
        _ => return None,
    })
}

pub fn compare64(relation: &str, ty: &str) -> Option<fn(&L64, &L64) -> u32> {
    Some(match (relation, ty) {
        ("eq", "s64" | "u64" | "b64") => compare!(|a: u64, b| { a == b }),
        ("ne", "s64" | "u64" | "b64") => compare!(|a: u64, b| { a != b }),
        ("lt" | "lo", "u64") => compare!(|a: u64, b| { a < b }),
        ("le" | "ls", "u64") => compare!(|a: u64, b| { a <= b }),
        ("gt" | "hi", "u64") => compare!(|a: u64, b| { a > b }),
        ("ge" | "hs", "u64") => compare!(|a: u64, b| { a >= b }),
        ("lt", "s64") => compare!(|a: u64, b| { (a as i64) < b as i64 }),
        ("le", "s64") => compare!(|a: u64, b| { a as i64 <= b as i64 }),
        ("gt", "s64") => compare!(|a: u64, b| { a as i64 > b as i64 }),
        ("ge", "s64") => compare!(|a: u64, b| { a as i64 >= b as i64 }),
        _ => return None,
    })
}

/// Logic on predicates, a bit per lane.
pub fn logic(base: &str) -> Option<fn(u32, u32) -> u32> {
    Some(match base {
        "and" => |a, b| a & b,
        "or" => |a, b| a | b,
        "xor" => |a, b| a ^ b,
        "not" => |a, _| !a,
        "mov" => |a, _| a,
        _ => return None,
    })
}

/// `cvt` between types of up to 32 bits. A 16-bit register is kept zero-extended.
pub fn convert32(to: &str, from: &str, modifiers: &[&str]) -> Option<fn(&L32) -> L32> {
    let saturate = modifiers.contains(&"sat");
    let has = |rounding: &str| modifiers.contains(&rounding);
    Some(match (to, from) {
        ("f32", "f16") => lanes!(|a: u32| -> u32 { f16::from_bits(a as u16).to_f32().to_bits() }),
        ("f16", "f32") if has("rn") && !saturate => {
            lanes!(|a: u32| -> u32 { u32::from(f16::from_f32(float(a)).to_bits()) })
        }
        ("f32", "f32") if saturate => {
            lanes!(|a: u32| -> u32 { if float(a) >= 0.0 { float(a).min(1.0) } else { 0.0 }.to_bits() })
        }
        ("f32", "f32") if has("rzi") => lanes!(|a: u32| -> u32 { float(a).trunc().to_bits() }),
        ("f32", "f32") if has("rni") => lanes!(|a: u32| -> u32 { float(a).round_ties_even().to_bits() }),
        ("f32", "s32") => lanes!(|a: u32| -> u32 { (a as i32 as f32).to_bits() }),
        ("f32", "u32" | "u16" | "u8") => lanes!(|a: u32| -> u32 { (a as f32).to_bits() }),
        ("s32", "f32") if has("rzi") => lanes!(|a: u32| -> u32 { float(a) as i32 as u32 }),
        ("s32", "f32") if has("rni") => lanes!(|a: u32| -> u32 { float(a).round_ties_even() as i32 as u32 }),
        ("u32", "f32") if has("rzi") => lanes!(|a: u32| -> u32 { float(a) as u32 }),
        ("u16" | "s16" | "u32" | "s32", "u16") | ("u16" | "s16", "u32" | "s32") => {
            lanes!(|a: u32| -> u32 { a & 0xffff })
        }
        ("u16" | "u32" | "s16" | "s32", "u8") | ("u8", "u16" | "u32") => lanes!(|a: u32| -> u32 { a & 0xff }),
        ("s32", "s16") => lanes!(|a: u32| -> u32 { a as i16 as i32 as u32 }),
        ("s32", "s8") => lanes!(|a: u32| -> u32 { a as i8 as i32 as u32 }),
        ("s16", "s8") => lanes!(|a: u32| -> u32 { a as i8 as i32 as u32 & 0xffff }),
        _ => return None,
    })
}

pub fn widen(to: &str, from: &str) -> Option<fn(&L32) -> L64> {
    Some(match (to, from) {
        ("u64" | "s64", "u32" | "u16" | "u8") => lanes!(|a: u32| -> u64 { u64::from(a) }),
        ("s64" | "u64", "s32") => lanes!(|a: u32| -> u64 { a as i32 as i64 as u64 }),
        _ => return None,
    })
}

pub fn narrow(to: &str, from: &str) -> Option<fn(&L64) -> L32> {
    Some(match (to, from) {
        ("u32" | "s32", "u64" | "s64") => lanes!(|a: u64| -> u32 { a as u32 }),
        ("u16" | "s16", "u64" | "s64") => lanes!(|a: u64| -> u32 { a as u32 & 0xffff }),
        _ => return None,
    })
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

/// `prmt`: each nibble of the selector picks one byte of the pair; its top bit spreads the byte's sign instead.
fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = u64::from(b) << 32 | u64::from(a);
    (0..4).fold(0, |out, i| {
        let nibble = selector >> (4 * i) & 0xf;
        let byte = (bytes >> (8 * (nibble & 7))) as u8;
        let byte = if nibble & 8 == 0 { byte } else { ((byte as i8) >> 7) as u8 };
        out | u32::from(byte) << (8 * i)
    })
}
