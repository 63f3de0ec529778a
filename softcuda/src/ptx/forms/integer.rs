//! Integer arithmetic. A 16-bit register is kept zero-extended.

use super::lanes::lanes;
use super::{Form, Shape::*};

pub const FORMS: &[Form] = &[
    ("add.s32|u32", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) }))),
    ("add.s16|u16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) & 0xffff }))),
    ("add.s64|u64", Binary64(lanes!(|a: u64, b: u64| -> u64 { a.wrapping_add(b) }))),
    ("sub.s32|u32", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_sub(b) }))),
    ("sub.s16|u16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_sub(b) & 0xffff }))),
    ("sub.s64|u64", Binary64(lanes!(|a: u64, b: u64| -> u64 { a.wrapping_sub(b) }))),
    ("mul.lo.s32|u32", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_mul(b) }))),
    ("mul.lo.s16|u16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.wrapping_mul(b) & 0xffff }))),
    ("mul.lo.s64|u64", Binary64(lanes!(|a: u64, b: u64| -> u64 { a.wrapping_mul(b) }))),
    ("mul.hi.u32", Binary32(lanes!(|a: u32, b: u32| -> u32 { ((a as u64 * b as u64) >> 32) as u32 }))),
    ("mul.hi.s32", Binary32(lanes!(|a: u32, b: u32| -> u32 { (signed_product(a, b) >> 32) as u32 }))),
    ("mul.wide.u32", MultiplyWide(lanes!(|a: u32, b: u32| -> u64 { a as u64 * b as u64 }))),
    ("mul.wide.s32", MultiplyWide(lanes!(|a: u32, b: u32| -> u64 { signed_product(a, b) }))),
    ("mad.lo.s32|u32", Ternary32(lanes!(|a: u32, b: u32, c: u32| -> u32 { a.wrapping_mul(b).wrapping_add(c) }))),
    ("mad.wide.u32", MultiplyAddWide(lanes!(|a: u32, b: u32| -> u64 { a as u64 * b as u64 }))),
    ("mad.wide.s32", MultiplyAddWide(lanes!(|a: u32, b: u32| -> u64 { signed_product(a, b) }))),
    // a zero divisor is an error of the caller's, and gives 0 here
    ("div.u32", Divide32(lanes!(|a: u32, b: u32| -> u32 { a.checked_div(b).unwrap_or(0) }))),
    ("rem.u32", Divide32(lanes!(|a: u32, b: u32| -> u32 { a.checked_rem(b).unwrap_or(0) }))),
    ("div.s32", Divide32(lanes!(|a: u32, b: u32| -> u32 { quotient(a as i32, b as i32) as u32 }))),
    ("rem.s32", Divide32(lanes!(|a: u32, b: u32| -> u32 { remainder(a as i32, b as i32) as u32 }))),
    ("div.u64", Divide64(lanes!(|a: u64, b: u64| -> u64 { a.checked_div(b).unwrap_or(0) }))),
    ("rem.u64", Divide64(lanes!(|a: u64, b: u64| -> u64 { a.checked_rem(b).unwrap_or(0) }))),
    ("div.s64", Divide64(lanes!(|a: u64, b: u64| -> u64 { quotient64(a as i64, b as i64) as u64 }))),
    ("rem.s64", Divide64(lanes!(|a: u64, b: u64| -> u64 { remainder64(a as i64, b as i64) as u64 }))),
    ("min.s32", Binary32(lanes!(|a: u32, b: u32| -> u32 { (a as i32).min(b as i32) as u32 }))),
    ("min.u32", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.min(b) }))),
    ("min.s64", Binary64(lanes!(|a: u64, b: u64| -> u64 { (a as i64).min(b as i64) as u64 }))),
    ("max.s32", Binary32(lanes!(|a: u32, b: u32| -> u32 { (a as i32).max(b as i32) as u32 }))),
    ("max.u32", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.max(b) }))),
    ("max.s64", Binary64(lanes!(|a: u64, b: u64| -> u64 { (a as i64).max(b as i64) as u64 }))),
    ("neg.s32", Unary32(lanes!(|a: u32| -> u32 { a.wrapping_neg() }))),
    ("neg.s64", Unary64(lanes!(|a: u64| -> u64 { a.wrapping_neg() }))),
    ("abs.s32", Unary32(lanes!(|a: u32| -> u32 { (a as i32).unsigned_abs() }))),
    ("bfe.u32", Ternary32(lanes!(|a: u32, b: u32, c: u32| -> u32 { field(a, b & 0xff, c & 0xff) }))),
    ("bfe.s32", Ternary32(lanes!(|a: u32, b: u32, c: u32| -> u32 { signed_field(a, b & 0xff, c & 0xff) }))),
];

fn signed_product(a: u32, b: u32) -> u64 {
    (a as i32 as i64 * b as i32 as i64) as u64
}

fn quotient(a: i32, b: i32) -> i32 {
    if b == 0 { 0 } else { a.wrapping_div(b) }
}

fn remainder(a: i32, b: i32) -> i32 {
    if b == 0 { 0 } else { a.wrapping_rem(b) }
}

fn quotient64(a: i64, b: i64) -> i64 {
    if b == 0 { 0 } else { a.wrapping_div(b) }
}

fn remainder64(a: i64, b: i64) -> i64 {
    if b == 0 { 0 } else { a.wrapping_rem(b) }
}

/// `length` bits of `a` from bit `start` on.
fn field(a: u32, start: u32, length: u32) -> u32 {
    let kept = 1u32.checked_shl(length).map_or(u32::MAX, |bit| bit - 1);
    a.checked_shr(start).unwrap_or(0) & kept
}

/// The same with the sign of its last bit, or of the last bit that there is.
fn signed_field(a: u32, start: u32, length: u32) -> u32 {
    if length == 0 {
        return 0;
    }
    let sign = a >> (start + length - 1).min(31) & 1;
    let beyond = u32::MAX.checked_shl(length.min(32u32.saturating_sub(start))).unwrap_or(0);
    field(a, start, length) | if sign == 1 { beyond } else { 0 }
}
