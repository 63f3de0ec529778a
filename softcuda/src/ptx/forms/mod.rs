//! The instructions that the interpreter knows: a table of the forms of each, with the function that computes it for all
//! lanes. COVERAGE.md prints the table; what is not in it is refused when a module is loaded.

mod compare;
mod control;
mod convert;
mod float;
mod integer;
mod lanes;
mod logic;
mod memory;

use super::isa::{AtomOp, L32, L64, ShuffleMode};

pub use compare::combination;

/// The operands of an instruction, and its function.
#[derive(Clone, Copy)]
pub enum Shape {
    Unary32(fn(&L32) -> L32),
    Binary32(fn(&L32, &L32) -> L32),
    /// As Binary32, but a zero in the second operand is an error.
    Divide32(fn(&L32, &L32) -> L32),
    Ternary32(fn(&L32, &L32, &L32) -> L32),
    Unary64(fn(&L64) -> L64),
    Binary64(fn(&L64, &L64) -> L64),
    Divide64(fn(&L64, &L64) -> L64),
    Shift64(fn(&L64, &L32) -> L64),
    /// 32 bits to 64.
    Widen(fn(&L32) -> L64),
    /// 64 bits to 32.
    Narrow(fn(&L64) -> L32),
    MultiplyWide(fn(&L32, &L32) -> L64),
    MultiplyAddWide(fn(&L32, &L32) -> L64),
    Compare32(fn(&L32, &L32) -> u32),
    Compare64(fn(&L64, &L64) -> u32),
    /// Of one predicate.
    Predicate(fn(u32, u32) -> u32),
    /// Of two predicates.
    Predicates(fn(u32, u32) -> u32),
    Select32,
    Select64,
    /// From a register, a literal, a special register or a pair of 16-bit registers.
    Move32,
    /// From the like, of 32 bits each, or to a pair of registers.
    Move64,
    Parameter,
    Load,
    Store,
    Atomic(AtomOp),
    /// An atomic whose old value nobody wants.
    Reduce(AtomOp),
    ToGlobal,
    Shuffle(ShuffleMode),
    Branch,
    Barrier,
    Return,
}

/// Forms of an instruction: a pattern that names them, and their shape. In a pattern `a|b` is one of several parts of the
/// mnemonic, and `?` makes a part optional: `add.rn?.f32` is `add.f32` and `add.rn.f32`.
pub type Form = (&'static str, Shape);

/// All forms, by section.
pub const SECTIONS: [(&str, &[Form]); 7] = [
    ("Integer arithmetic", integer::FORMS),
    ("Floating point", float::FORMS),
    ("Logic and shifts", logic::FORMS),
    ("Comparison and selection", compare::FORMS),
    ("Conversion", convert::FORMS),
    ("Data movement", memory::FORMS),
    ("Control and threads", control::FORMS),
];

/// The shape of the instruction with this mnemonic.
pub fn find(mnemonic: &str) -> Option<Shape> {
    let base = mnemonic.split('.').next().unwrap_or_default();
    let mut forms = SECTIONS.iter().flat_map(|(_, forms)| *forms).filter(|(pattern, _)| pattern.starts_with(base));
    forms.find(|(pattern, _)| matches(pattern, mnemonic)).map(|&(_, shape)| shape)
}

fn matches(pattern: &str, mnemonic: &str) -> bool {
    let mut parts = mnemonic.split('.').peekable();
    for wanted in pattern.split('.') {
        let (choices, optional) = wanted.strip_suffix('?').map_or((wanted, false), |choices| (choices, true));
        if parts.peek().is_some_and(|part| choices.split('|').any(|choice| choice == *part)) {
            parts.next();
        } else if !optional {
            return false;
        }
    }
    parts.next().is_none()
}

/// Every mnemonic that a pattern stands for.
#[cfg(test)]
pub fn expand(pattern: &str) -> Vec<String> {
    pattern.split('.').fold(vec![String::new()], |starts, wanted| {
        let (choices, optional) = wanted.strip_suffix('?').map_or((wanted, false), |choices| (choices, true));
        let mut out = if optional { starts.clone() } else { Vec::new() };
        for start in &starts {
            let dot = if start.is_empty() { "" } else { "." };
            out.extend(choices.split('|').map(|choice| format!("{start}{dot}{choice}")));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn patterns_name_their_mnemonics() {
        assert_eq!(expand("add.rn?.f32"), ["add.f32", "add.rn.f32"]);
        assert_eq!(expand("min.s32|u32"), ["min.s32", "min.u32"]);
        assert!(matches("ld.global.nc?.v2|v4?.f32", "ld.global.v4.f32"));
        for other in ["ld.global", "ld.global.f32.nc", "ld.global.nc.v3.f32", "ld.global.f32.x"] {
            assert!(!matches("ld.global.nc?.v2|v4?.f32", other), "{other}");
        }
    }

    /// No form hides behind another.
    #[test]
    fn every_mnemonic_stands_for_one_form() {
        let mut seen = HashSet::new();
        for (pattern, _) in SECTIONS.iter().flat_map(|(_, forms)| *forms) {
            for mnemonic in expand(pattern) {
                assert!(matches(pattern, &mnemonic), "{pattern} {mnemonic}");
                assert!(seen.insert(mnemonic.clone()), "{mnemonic} twice");
            }
        }
        assert!(seen.len() > 300, "{}", seen.len());
    }
}
