//! `cvt`.

use super::Width::{D, H, R};
use super::*;

const CASES: &[Case<1>] = &[
    Case("cvt.f32.f16", R, [H], &[([0x3e00], f(1.5)), ([0xfbff], f(-65504.0)), ([0x0001], f(5.960_464_5e-8))]),
    // 1 + 2⁻¹¹ is halfway between two numbers of f16: to even; 65520 is the first that overflows
    Case("cvt.rn.f16.f32", H, [R], &[([f(1.000_488_3)], 0x3c00), ([f(65520.0)], 0x7c00), ([f(-1.5)], 0xbe00)]),
    Case("cvt.sat.f32.f32", R, [R], &[([f(-2.0)], 0), ([f(0.25)], f(0.25)), ([f(7.0)], f(1.0)), ([NAN], 0)]),
    Case("cvt.rzi.f32.f32", R, [R], &[([f(2.75)], f(2.0)), ([f(-2.75)], f(-2.0))]),
    Case("cvt.rni.f32.f32", R, [R], &[([f(2.5)], f(2.0)), ([f(3.5)], f(4.0)), ([f(-2.75)], f(-3.0))]),
    // 2²⁴ + 1 is halfway: to even
    Case("cvt.rn.f32.s32", R, [R], &[([n32(-7)], f(-7.0)), ([16_777_217], f(16_777_216.0))]),
    Case("cvt.rn.f32.u32", R, [R], &[([n32(-1)], f(4_294_967_296.0))]),
    Case("cvt.rn.f32.u16", R, [H], &[([0xffff], f(65535.0))]),
    Case("cvt.rzi.s32.f32", R, [R], &[([f(-2.75)], n32(-2)), ([f(1e20)], n32(i32::MAX)), ([NAN], 0)]),
    Case("cvt.rni.s32.f32", R, [R], &[([f(2.5)], 2), ([f(-3.5)], n32(-4))]),
    Case("cvt.rzi.u32.f32", R, [R], &[([f(2.75)], 2), ([f(-1.0)], 0), ([f(1e20)], n32(-1))]),
    Case("cvt.u32.u16", R, [H], &[([0xffff], 0xffff)]),
    Case("cvt.u16.u32", H, [R], &[([0x1_2345], 0x2345)]),
    Case("cvt.u32.u8", R, [R], &[([0x1ff], 0xff)]),
    Case("cvt.u8.u32", R, [R], &[([0x1ff], 0xff)]),
    Case("cvt.s32.s16", R, [H], &[([0xfffe], n32(-2)), ([0x7fff], 0x7fff)]),
    Case("cvt.s32.s8", R, [R], &[([0xfe], n32(-2)), ([0x7f], 0x7f)]),
    Case("cvt.s16.s8", H, [R], &[([0xfe], 0xfffe)]),
    Case("cvt.u64.u32", D, [R], &[([n32(-1)], 0xffff_ffff)]),
    Case("cvt.s64.s32", D, [R], &[([n32(-2)], n64(-2))]),
    Case("cvt.u32.u64", R, [D], &[([0x1_0000_0002], 2)]),
    Case("cvt.u16.u64", H, [D], &[([0x1_2345], 0x2345)]),
];

#[test]
fn conversions() {
    CASES.iter().for_each(Case::check);
}
