//! Comparisons, alone or combined with a predicate, and selection.

use super::lanes::{compare, float};
use super::{Form, Shape::*};

pub const FORMS: &[Form] = &[
    ("setp.eq.and|or|xor?.s32|u32|b32|s16|u16|b16", Compare32(compare!(|a: u32, b| { a == b }))),
    ("setp.ne.and|or|xor?.s32|u32|b32|s16|u16|b16", Compare32(compare!(|a: u32, b| { a != b }))),
    ("setp.lt|lo.and|or|xor?.u32|u16", Compare32(compare!(|a: u32, b| { a < b }))),
    ("setp.le|ls.and|or|xor?.u32|u16", Compare32(compare!(|a: u32, b| { a <= b }))),
    ("setp.gt|hi.and|or|xor?.u32|u16", Compare32(compare!(|a: u32, b| { a > b }))),
    ("setp.ge|hs.and|or|xor?.u32|u16", Compare32(compare!(|a: u32, b| { a >= b }))),
    ("setp.lt.and|or|xor?.s32", Compare32(compare!(|a: u32, b| { (a as i32) < b as i32 }))),
    ("setp.le.and|or|xor?.s32", Compare32(compare!(|a: u32, b| { a as i32 <= b as i32 }))),
    ("setp.gt.and|or|xor?.s32", Compare32(compare!(|a: u32, b| { a as i32 > b as i32 }))),
    ("setp.ge.and|or|xor?.s32", Compare32(compare!(|a: u32, b| { a as i32 >= b as i32 }))),
    ("setp.eq.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { float(a) == float(b) }))),
    ("setp.ne.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { unequal(float(a), float(b)) }))),
    ("setp.lt.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { float(a) < float(b) }))),
    ("setp.le.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { float(a) <= float(b) }))),
    ("setp.gt.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { float(a) > float(b) }))),
    ("setp.ge.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { float(a) >= float(b) }))),
    // the unordered forms are true for a NaN
    ("setp.equ.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { !unequal(float(a), float(b)) }))),
    ("setp.neu.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { float(a) != float(b) }))),
    ("setp.ltu.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { nan(a, b) || float(a) < float(b) }))),
    ("setp.leu.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { nan(a, b) || float(a) <= float(b) }))),
    ("setp.gtu.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { nan(a, b) || float(a) > float(b) }))),
    ("setp.geu.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { nan(a, b) || float(a) >= float(b) }))),
    ("setp.nan.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { nan(a, b) }))),
    ("setp.num.and|or|xor?.f32", Compare32(compare!(|a: u32, b| { !nan(a, b) }))),
    ("setp.eq.and|or|xor?.s64|u64|b64", Compare64(compare!(|a: u64, b| { a == b }))),
    ("setp.ne.and|or|xor?.s64|u64|b64", Compare64(compare!(|a: u64, b| { a != b }))),
    ("setp.lt|lo.and|or|xor?.u64", Compare64(compare!(|a: u64, b| { a < b }))),
    ("setp.le|ls.and|or|xor?.u64", Compare64(compare!(|a: u64, b| { a <= b }))),
    ("setp.gt|hi.and|or|xor?.u64", Compare64(compare!(|a: u64, b| { a > b }))),
    ("setp.ge|hs.and|or|xor?.u64", Compare64(compare!(|a: u64, b| { a >= b }))),
    ("setp.lt.and|or|xor?.s64", Compare64(compare!(|a: u64, b| { (a as i64) < b as i64 }))),
    ("setp.le.and|or|xor?.s64", Compare64(compare!(|a: u64, b| { a as i64 <= b as i64 }))),
    ("setp.gt.and|or|xor?.s64", Compare64(compare!(|a: u64, b| { a as i64 > b as i64 }))),
    ("setp.ge.and|or|xor?.s64", Compare64(compare!(|a: u64, b| { a as i64 >= b as i64 }))),
    ("selp.b16|u16|s16|b32|u32|s32|f32", Select32),
    ("selp.b64|u64|s64|f64", Select64),
];

/// How a comparison is combined with a predicate.
pub fn combination(mnemonic: &str) -> Option<fn(u32, u32) -> u32> {
    mnemonic.split('.').find_map(|part| match part {
        "and" => Some((|a, b| a & b) as fn(u32, u32) -> u32),
        "or" => Some(|a, b| a | b),
        "xor" => Some(|a, b| a ^ b),
        _ => None,
    })
}

/// False for a NaN.
fn unequal(a: f32, b: f32) -> bool {
    a.partial_cmp(&b).is_some_and(|order| order.is_ne())
}

fn nan(a: u32, b: u32) -> bool {
    float(a).is_nan() || float(b).is_nan()
}
