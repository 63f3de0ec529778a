//! Conversions. A 16-bit register is kept zero-extended; a narrower value in a 32-bit register likewise.

use super::lanes::{float, lanes};
use super::{Form, Shape::*};
use half::f16;

pub const FORMS: &[Form] = &[
    ("cvt.f32.f16", Unary32(lanes!(|a: u32| -> u32 { f16::from_bits(a as u16).to_f32().to_bits() }))),
    ("cvt.rn.f16.f32", Unary32(lanes!(|a: u32| -> u32 { u32::from(f16::from_f32(float(a)).to_bits()) }))),
    ("cvt.sat.f32.f32", Unary32(lanes!(|a: u32| -> u32 { saturate(float(a)).to_bits() }))),
    ("cvt.rzi.f32.f32", Unary32(lanes!(|a: u32| -> u32 { float(a).trunc().to_bits() }))),
    ("cvt.rni.f32.f32", Unary32(lanes!(|a: u32| -> u32 { float(a).round_ties_even().to_bits() }))),
    ("cvt.rn.f32.s32", Unary32(lanes!(|a: u32| -> u32 { (a as i32 as f32).to_bits() }))),
    ("cvt.rn.f32.u32|u16|u8", Unary32(lanes!(|a: u32| -> u32 { (a as f32).to_bits() }))),
    ("cvt.rzi.s32.f32", Unary32(lanes!(|a: u32| -> u32 { float(a) as i32 as u32 }))),
    ("cvt.rni.s32.f32", Unary32(lanes!(|a: u32| -> u32 { float(a).round_ties_even() as i32 as u32 }))),
    ("cvt.rzi.u32.f32", Unary32(lanes!(|a: u32| -> u32 { float(a) as u32 }))),
    ("cvt.u16|s16|u32|s32.u16", Unary32(lanes!(|a: u32| -> u32 { a & 0xffff }))),
    ("cvt.u16|s16.u32|s32", Unary32(lanes!(|a: u32| -> u32 { a & 0xffff }))),
    ("cvt.u16|u32|s16|s32.u8", Unary32(lanes!(|a: u32| -> u32 { a & 0xff }))),
    ("cvt.u8.u16|u32", Unary32(lanes!(|a: u32| -> u32 { a & 0xff }))),
    ("cvt.s32.s16", Unary32(lanes!(|a: u32| -> u32 { a as i16 as i32 as u32 }))),
    ("cvt.s32.s8", Unary32(lanes!(|a: u32| -> u32 { a as i8 as i32 as u32 }))),
    ("cvt.s16.s8", Unary32(lanes!(|a: u32| -> u32 { a as i8 as i32 as u32 & 0xffff }))),
    ("cvt.u64|s64.u32|u16|u8", Widen(lanes!(|a: u32| -> u64 { u64::from(a) }))),
    ("cvt.s64|u64.s32", Widen(lanes!(|a: u32| -> u64 { a as i32 as i64 as u64 }))),
    ("cvt.u32|s32.u64|s64", Narrow(lanes!(|a: u64| -> u32 { a as u32 }))),
    ("cvt.u16|s16.u64|s64", Narrow(lanes!(|a: u64| -> u32 { a as u32 & 0xffff }))),
];

/// To [0, 1]; a NaN to 0.
fn saturate(v: f32) -> f32 {
    if v >= 0.0 { v.min(1.0) } else { 0.0 }
}
