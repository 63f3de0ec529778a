//! Integer and floating-point arithmetic, logic and shifts.

use super::Width::{D, H, P, R};
use super::*;

const UNARY: &[Case<1>] = &[
    Case("neg.s32", R, [R], &[([5], n32(-5)), ([n32(i32::MIN)], n32(i32::MIN))]),
    Case("neg.s64", D, [D], &[([5], n64(-5))]),
    Case("abs.s32", R, [R], &[([n32(-5)], 5), ([7], 7), ([n32(i32::MIN)], 0x8000_0000)]),
    Case("neg.f32", R, [R], &[([f(1.5)], f(-1.5)), ([f(0.0)], f(-0.0))]),
    Case("abs.f32", R, [R], &[([f(-1.5)], f(1.5)), ([f(-0.0)], f(0.0))]),
    Case("rcp.rn.f32", R, [R], &[([f(3.0)], 0x3eaa_aaab), ([f(-0.0)], f(f32::NEG_INFINITY))]),
    Case("rcp.approx.f32", R, [R], &[([f(4.0)], f(0.25))]),
    // The least normal number's reciprocal is normal; a subnormal number counts as zero, and a subnormal result is one.
    Case("rcp.approx.ftz.f32", R, [R], &[([f(4.0)], f(0.25)), ([1], f(f32::INFINITY)), ([f(3e38)], 0)]),
    Case("sqrt.rn.f32", R, [R], &[([f(2.0)], 0x3fb5_04f3)]),
    Case("sqrt.approx.f32", R, [R], &[([f(9.0)], f(3.0))]),
    Case("rsqrt.approx.f32", R, [R], &[([f(4.0)], f(0.5)), ([f(0.0)], f(f32::INFINITY))]),
    Case("ex2.approx.f32", R, [R], &[([f(3.0)], f(8.0)), ([f(-149.0)], 1)]),
    // the smallest subnormal is flushed to zero
    Case("ex2.approx.ftz.f32", R, [R], &[([f(3.0)], f(8.0)), ([f(-149.0)], 0)]),
    Case("lg2.approx.f32", R, [R], &[([f(8.0)], f(3.0)), ([f(0.0)], f(f32::NEG_INFINITY))]),
    Case("not.b32", R, [R], &[([0x0f0f_0f0f], 0xf0f0_f0f0)]),
    Case("not.b16", H, [H], &[([0x0f0f], 0xf0f0)]),
    Case("not.b64", D, [D], &[([0xff], 0xffff_ffff_ffff_ff00)]),
    Case("not.pred", P, [P], &[([0], 1), ([1], 0)]),
    Case("mov.pred", P, [P], &[([0], 0), ([1], 1)]),
    Case("mov.f32", R, [R], &[([f(1.5)], f(1.5))]),
    Case("mov.b64", D, [D], &[([1 << 40], 1 << 40)]),
];

const BINARY: &[Case<2>] = &[
    Case("add.s32", R, [R, R], &[([0x7fff_ffff, 1], 0x8000_0000), ([n32(-1), 1], 0)]),
    Case("add.u16", H, [H, H], &[([0xffff, 2], 1)]),
    Case("add.s64", D, [D, D], &[([0xffff_ffff, 1], 1 << 32), ([n64(-1), 1], 0)]),
    Case("sub.u32", R, [R, R], &[([0, 1], 0xffff_ffff)]),
    Case("sub.s16", H, [H, H], &[([0, 1], 0xffff)]),
    Case("sub.u64", D, [D, D], &[([0, 1], n64(-1))]),
    Case("mul.lo.s32", R, [R, R], &[([n32(-3), 7], n32(-21)), ([0x1_0001, 0x1_0000], 0x1_0000)]),
    Case("mul.lo.u16", H, [H, H], &[([0x100, 0x101], 0x100)]),
    Case("mul.lo.s64", D, [D, D], &[([n64(-3), 7], n64(-21))]),
    Case("mul.hi.u32", R, [R, R], &[([0xffff_ffff, 0xffff_ffff], 0xffff_fffe)]),
    Case("mul.hi.s32", R, [R, R], &[([n32(-1), n32(-1)], 0), ([n32(i32::MIN), 2], n32(-1))]),
    Case("mul.wide.u32", D, [R, R], &[([0xffff_ffff, 0xffff_ffff], 0xffff_fffe_0000_0001)]),
    Case("mul.wide.s32", D, [R, R], &[([n32(-1), 5], n64(-5))]),
    Case("div.u32", R, [R, R], &[([7, 2], 3), ([0xffff_ffff, 2], 0x7fff_ffff)]),
    Case("div.s32", R, [R, R], &[([n32(-7), 2], n32(-3)), ([7, n32(-2)], n32(-3))]),
    Case("rem.u32", R, [R, R], &[([7, 3], 1), ([0xffff_ffff, 10], 5)]),
    Case("rem.s32", R, [R, R], &[([n32(-7), 3], n32(-1)), ([7, n32(-3)], 1)]),
    Case("div.u64", D, [D, D], &[([1 << 40, 3], 366_503_875_925)]),
    Case("div.s64", D, [D, D], &[([n64(-7), 2], n64(-3))]),
    Case("rem.u64", D, [D, D], &[([1 << 40, 3], 1)]),
    Case("rem.s64", D, [D, D], &[([n64(-7), 3], n64(-1))]),
    Case("min.s32", R, [R, R], &[([n32(-1), 1], n32(-1))]),
    Case("min.u32", R, [R, R], &[([n32(-1), 1], 1)]),
    Case("min.s64", D, [D, D], &[([n64(-1), 1], n64(-1))]),
    Case("max.s32", R, [R, R], &[([n32(-1), 1], 1)]),
    Case("max.u32", R, [R, R], &[([n32(-1), 1], n32(-1))]),
    Case("max.s64", D, [D, D], &[([n64(-1), 1], 1)]),
    Case("add.f32", R, [R, R], &[([f(1.5), f(2.25)], f(3.75)), ([f(f32::INFINITY), f(1.0)], f(f32::INFINITY))]),
    // halfway between 1 and its successor: to even
    Case("add.rn.f32", R, [R, R], &[([f(1.0), f(5.960_464_5e-8)], f(1.0))]),
    Case("sub.f32", R, [R, R], &[([f(1.5), f(2.25)], f(-0.75))]),
    Case("mul.f32", R, [R, R], &[([f(1.5), f(-2.0)], f(-3.0)), ([f(1e30), f(1e30)], f(f32::INFINITY))]),
    Case("div.rn.f32", R, [R, R], &[([f(1.0), f(3.0)], 0x3eaa_aaab), ([f(1.0), f(0.0)], f(f32::INFINITY))]),
    Case("div.full.f32", R, [R, R], &[([f(3.0), f(2.0)], f(1.5))]),
    Case("min.f32", R, [R, R], &[([f(-1.0), f(2.0)], f(-1.0)), ([NAN, f(2.0)], f(2.0)), ([f(2.0), NAN], f(2.0))]),
    Case("max.f32", R, [R, R], &[([f(-1.0), f(2.0)], f(2.0)), ([NAN, f(-1.0)], f(-1.0))]),
    Case("and.b32", R, [R, R], &[([0b1100, 0b1010], 0b1000)]),
    Case("and.b64", D, [D, D], &[([3 << 40, 1 << 40], 1 << 40)]),
    Case("and.pred", P, [P, P], &[([0, 0], 0), ([0, 1], 0), ([1, 0], 0), ([1, 1], 1)]),
    Case("or.b16", H, [H, H], &[([0b1100, 0b1010], 0b1110)]),
    Case("or.b64", D, [D, D], &[([1 << 40, 1], (1 << 40) + 1)]),
    Case("or.pred", P, [P, P], &[([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([1, 1], 1)]),
    Case("xor.b32", R, [R, R], &[([0b1100, 0b1010], 0b0110)]),
    Case("xor.b64", D, [D, D], &[([3 << 40, 1 << 40], 2 << 40)]),
    Case("xor.pred", P, [P, P], &[([0, 0], 0), ([0, 1], 1), ([1, 0], 1), ([1, 1], 0)]),
    // shifts by more than the width are clamped
    Case("shl.b32", R, [R, R], &[([1, 31], 0x8000_0000), ([1, 32], 0), ([1, 300], 0)]),
    Case("shl.b16", H, [H, R], &[([0x8001, 1], 2)]),
    Case("shl.b64", D, [D, R], &[([1, 63], 1 << 63), ([1, 64], 0)]),
    Case("shr.u32", R, [R, R], &[([0x8000_0000, 31], 1), ([0x8000_0000, 32], 0)]),
    Case("shr.s32", R, [R, R], &[([n32(-8), 1], n32(-4)), ([n32(-8), 40], n32(-1))]),
    Case("shr.u64", D, [D, R], &[([1 << 63, 63], 1), ([1 << 63, 64], 0)]),
    Case("shr.s64", D, [D, R], &[([n64(-8), 1], n64(-4)), ([n64(-8), 70], n64(-1))]),
];

const TERNARY: &[Case<3>] = &[
    Case("mad.lo.s32", R, [R, R, R], &[([3, 4, 5], 17), ([n32(-1), 1, 1], 0)]),
    Case("mad.wide.u32", D, [R, R, D], &[([0xffff_ffff, 2, 1], 0x1_ffff_ffff)]),
    Case("mad.wide.s32", D, [R, R, D], &[([n32(-1), 2, 1], n64(-1))]),
    // 1 + 2⁻¹² squared, less 1 + 2⁻¹¹, is 2⁻²⁴ only without rounding in between
    Case("fma.rn.f32", R, [R, R, R], &[([f(1.000_244_1), f(1.000_244_1), f(-1.000_488_3)], f(5.960_464_5e-8))]),
    // the largest number that is not above 1 - 2⁻³⁰
    Case(
        "fma.rm.f32",
        R,
        [R, R, R],
        &[([f(1.0), f(1.0), f(-9.313_226e-10)], 0x3f7f_ffff), ([f(2.0), f(3.0), f(1.0)], f(7.0))],
    ),
    // The PTX manual's definition, bit by bit: bits from the start on, the last one's sign, and beyond bit 31 the sign of bit 31.
    Case(
        "bfe.s32",
        R,
        [R, R, R],
        &[
            ([0x0000_0100, 8, 1], 0xffff_ffff),
            ([0x0000_0200, 8, 1], 0),
            ([0x1234_5678, 4, 4], 7),
            ([0x1234_5678, 4, 3], 0xffff_ffff),
            ([0x8000_0000, 0, 32], 0x8000_0000),
            ([0x8000_0000, 24, 16], 0xffff_ff80),
            ([0x7000_0000, 24, 16], 0x70),
            ([0x8000_0000, 40, 4], 0xffff_ffff),
            ([0xffff_ffff, 3, 0], 0),
        ],
    ),
    Case("bfe.u32", R, [R, R, R], &[([0x1234_5678, 8, 8], 0x56), ([0x1234_5678, 0, 32], 0x1234_5678), ([7, 32, 8], 0)]),
    Case(
        "prmt.b32",
        R,
        [R, R, R],
        // bytes 1, 3, 5 and 7 of the pair; the sign of byte 4, three times byte 0
        &[([0x3322_1100, 0x7766_5544, 0x7531], 0x7755_3311), ([0x3322_1100, 0x7766_5584, 0x000c], 0x0000_00ff)],
    ),
];

#[test]
fn one_operand() {
    UNARY.iter().for_each(Case::check);
}

#[test]
fn two_operands() {
    BINARY.iter().for_each(Case::check);
}

#[test]
fn three_operands() {
    TERNARY.iter().for_each(Case::check);
}
