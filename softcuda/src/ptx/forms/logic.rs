//! Bitwise logic, shifts, bytes, predicates.

use super::lanes::lanes;
use super::{Form, Shape::*};

pub const FORMS: &[Form] = &[
    ("and.b32|b16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a & b }))),
    ("and.b64", Binary64(lanes!(|a: u64, b: u64| -> u64 { a & b }))),
    ("and.pred", Predicates(|a, b| a & b)),
    ("or.b32|b16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a | b }))),
    ("or.b64", Binary64(lanes!(|a: u64, b: u64| -> u64 { a | b }))),
    ("or.pred", Predicates(|a, b| a | b)),
    ("xor.b32|b16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a ^ b }))),
    ("xor.b64", Binary64(lanes!(|a: u64, b: u64| -> u64 { a ^ b }))),
    ("xor.pred", Predicates(|a, b| a ^ b)),
    ("not.b32", Unary32(lanes!(|a: u32| -> u32 { !a }))),
    ("not.b16", Unary32(lanes!(|a: u32| -> u32 { !a & 0xffff }))),
    ("not.b64", Unary64(lanes!(|a: u64| -> u64 { !a }))),
    ("not.pred", Predicate(|a, _| !a)),
    // shifts by more than the width give 0, or the sign
    ("shl.b32", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.checked_shl(b).unwrap_or(0) }))),
    ("shl.b16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.checked_shl(b).unwrap_or(0) & 0xffff }))),
    ("shl.b64", Shift64(lanes!(|a: u64, b: u32| -> u64 { a.checked_shl(b).unwrap_or(0) }))),
    ("shr.u32|b32|u16|b16", Binary32(lanes!(|a: u32, b: u32| -> u32 { a.checked_shr(b).unwrap_or(0) }))),
    ("shr.s32", Binary32(lanes!(|a: u32, b: u32| -> u32 { ((a as i32) >> b.min(31)) as u32 }))),
    ("shr.u64|b64", Shift64(lanes!(|a: u64, b: u32| -> u64 { a.checked_shr(b).unwrap_or(0) }))),
    ("shr.s64", Shift64(lanes!(|a: u64, b: u32| -> u64 { ((a as i64) >> b.min(63)) as u64 }))),
    ("prmt.b32", Ternary32(lanes!(|a: u32, b: u32, c: u32| -> u32 { permute(a, b, c) }))),
];

/// Each nibble of the selector picks one byte of the pair; its top bit spreads the byte's sign instead.
fn permute(a: u32, b: u32, selector: u32) -> u32 {
    let bytes = u64::from(b) << 32 | u64::from(a);
    (0..4).fold(0, |out, i| {
        let nibble = selector >> (4 * i) & 0xf;
        let byte = (bytes >> (8 * (nibble & 7))) as u8;
        let byte = if nibble & 8 == 0 { byte } else { ((byte as i8) >> 7) as u8 };
        out | u32::from(byte) << (8 * i)
    })
}
