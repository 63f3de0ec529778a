//! Moves, loads, stores, atomics.

use super::super::isa::AtomOp;
use super::{Form, Shape::*};

/// A pattern that ends with every type that memory may hold.
macro_rules! of_any_type {
    ($start:literal) => {
        concat!($start, ".b8|u8|s8|b16|u16|s16|b32|u32|s32|f32|b64|u64|s64|f64")
    };
}

pub const FORMS: &[Form] = &[
    ("mov.b16|u16|s16|b32|u32|s32|f32", Move32),
    ("mov.b64|u64|s64|f64", Move64),
    ("mov.pred", Predicate(|a, _| a)),
    ("cvta.to?.global.u64", ToGlobal),
    (of_any_type!("ld.param"), Parameter),
    (of_any_type!("ld.global.nc?.v2|v4?"), Load),
    (of_any_type!("ld.shared.v2|v4?"), Load),
    (of_any_type!("ld.volatile.global|shared.v2|v4?"), Load),
    (of_any_type!("ldu.global.v2|v4?"), Load),
    (of_any_type!("st.volatile?.global|shared.v2|v4?"), Store),
    ("atom.relaxed?.cta|gpu|sys?.global.add.s32|u32", Atomic(AtomOp::Add)),
    ("atom.relaxed?.cta|gpu|sys?.global.add.f32", Atomic(AtomOp::AddF32)),
    ("atom.relaxed?.cta|gpu|sys?.global.or.b32", Atomic(AtomOp::Or)),
    ("atom.relaxed?.cta|gpu|sys?.global.max.s32", Atomic(AtomOp::MaxS32)),
    ("atom.relaxed?.cta|gpu|sys?.global.max.u32", Atomic(AtomOp::MaxU32)),
    ("atom.relaxed?.cta|gpu|sys?.global.min.s32", Atomic(AtomOp::MinS32)),
    ("atom.relaxed?.cta|gpu|sys?.global.min.u32", Atomic(AtomOp::MinU32)),
    ("atom.relaxed?.cta|gpu|sys?.global.exch.b32", Atomic(AtomOp::Exchange)),
    ("red.relaxed?.cta|gpu|sys?.global.add.s32|u32", Reduce(AtomOp::Add)),
    ("red.relaxed?.cta|gpu|sys?.global.add.f32", Reduce(AtomOp::AddF32)),
    ("red.relaxed?.cta|gpu|sys?.global.or.b32", Reduce(AtomOp::Or)),
    ("red.relaxed?.cta|gpu|sys?.global.max.s32", Reduce(AtomOp::MaxS32)),
    ("red.relaxed?.cta|gpu|sys?.global.max.u32", Reduce(AtomOp::MaxU32)),
    ("red.relaxed?.cta|gpu|sys?.global.min.s32", Reduce(AtomOp::MinS32)),
    ("red.relaxed?.cta|gpu|sys?.global.min.u32", Reduce(AtomOp::MinU32)),
];
