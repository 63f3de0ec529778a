//! Every form of every instruction is read, and every form is computed by some test.

use super::super::forms::{SECTIONS, Shape, expand};
use super::*;
use std::collections::HashSet;

/// Operands that an instruction of this shape takes.
fn operands(shape: Shape, mnemonic: &str) -> String {
    let wide = ["b64", "u64", "s64", "f64"].iter().any(|ty| mnemonic.ends_with(ty));
    let value = if wide { "%d1" } else { "%r1" };
    let values = match (mnemonic.contains(".v2"), mnemonic.contains(".v4")) {
        (true, _) => format!("{{{value}, {value}}}"),
        (_, true) => format!("{{{value}, {value}, {value}, {value}}}"),
        (false, false) => value.to_string(),
    };
    let place = if mnemonic.contains("shared") { "[%r5+8]" } else { "[%d5+8]" };
    let combined = if [".and.", ".or.", ".xor."].iter().any(|with| mnemonic.contains(with)) { ", !%p3" } else { "" };
    match shape {
        Shape::Unary32(_) | Shape::Move32 => "%r1, %r2".into(),
        Shape::Binary32(_) | Shape::Divide32(_) => "%r1, %r2, 3".into(),
        Shape::Ternary32(_) => "%r1, %r2, %r3, %r4".into(),
        Shape::Unary64(_) | Shape::Move64 | Shape::ToGlobal => "%d1, %d2".into(),
        Shape::Binary64(_) | Shape::Divide64(_) => "%d1, %d2, 3".into(),
        Shape::Shift64(_) => "%d1, %d2, %r3".into(),
        Shape::Widen(_) => "%d1, %r2".into(),
        Shape::Narrow(_) => "%r1, %d2".into(),
        Shape::MultiplyWide(_) => "%d1, %r2, %r3".into(),
        Shape::MultiplyAddWide(_) => "%d1, %r2, %r3, %d4".into(),
        Shape::Compare32(_) => format!("%p1, %r2, %r3{combined}"),
        Shape::Compare64(_) => format!("%p1, %d2, %d3{combined}"),
        Shape::Predicate(_) => "%p1, %p2".into(),
        Shape::Predicates(_) => "%p1, %p2, %p3".into(),
        Shape::Select32 => "%r1, %r2, %r3, %p4".into(),
        Shape::Select64 => "%d1, %d2, %d3, %p4".into(),
        Shape::Parameter => format!("{value}, [p0]"),
        Shape::Load => format!("{values}, {place}"),
        Shape::Store => format!("{place}, {values}"),
        Shape::Atomic(_) => format!("%r1, {place}, %r2"),
        Shape::Reduce(_) => format!("{place}, %r2"),
        Shape::Shuffle(_) => "%r1|%p1, %r2, 1, 31, -1".into(),
        Shape::Branch => "$end".into(),
        Shape::Barrier => "0".into(),
        Shape::Return => String::new(),
    }
}

#[test]
fn every_form_is_read() {
    for &(pattern, shape) in SECTIONS.iter().flat_map(|(_, forms)| *forms) {
        for mnemonic in expand(pattern) {
            let body = format!("{mnemonic} {};\n$end:", operands(shape, &mnemonic));
            parse(&module(1, &body)).unwrap_or_else(|error| panic!("{error}: {body}"));
        }
    }
}

/// The mnemonics in the source of the other tests, as cases or in kernels. Some tests put mnemonics together from parts.
#[test]
fn every_form_is_computed() {
    let sources = [
        include_str!("arithmetic.rs"),
        include_str!("conversion.rs"),
        include_str!("memory.rs"),
        include_str!("threads.rs"),
        include_str!("mod.rs"),
    ];
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let text = sources.concat().replace("\\n", " ");
    let words: HashSet<&str> = text.split(|c| !is_part(c)).collect();
    for &(pattern, _) in SECTIONS.iter().flat_map(|(_, forms)| *forms) {
        let by_loop = ["setp.", "selp.", "atom.", "red.", "shfl."].iter().any(|base| pattern.starts_with(base));
        assert!(by_loop || expand(pattern).iter().any(|m| words.contains(m.as_str())), "no test computes {pattern}");
    }
}

#[test]
fn an_unknown_instruction_is_refused_with_its_line() {
    let error = |body: &str| parse(&module(1, body)).unwrap_err().text;
    assert_eq!(error("brev.b32 %r1, %r1;"), "PTX line 10: instruction `brev.b32` is not supported");
    // known instructions in forms that are not: rounding and saturation would be lost
    for other in ["add.rz.f32 %r1, %r2, %r3", "add.sat.s32 %r1, %r2, %r3", "cvt.rz.f32.s32 %r1, %r2", "bar.arrive 0"] {
        assert!(error(&format!("{other};")).contains("is not supported"), "{other}");
    }
    assert!(error("add.s32 %d1, %r2, %r3;").contains("is not a 32-bit register"));
    assert!(error("bra $nowhere;").contains("no label $nowhere"));
    assert!(error("mov.u32 %r1, %bogus;").contains("unknown operand `%bogus`"));
}
