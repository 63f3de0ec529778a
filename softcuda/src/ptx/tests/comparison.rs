//! `setp` with all its relations and types, `selp`.

use super::Width::{D, H, P, R};
use super::*;

/// A relation, and its answer for less, equal, greater and unordered.
const RELATIONS: [(&str, [u64; 4]); 14] = [
    ("eq", [0, 1, 0, 0]),
    ("ne", [1, 0, 1, 0]),
    ("lt", [1, 0, 0, 0]),
    ("le", [1, 1, 0, 0]),
    ("gt", [0, 0, 1, 0]),
    ("ge", [0, 1, 1, 0]),
    ("equ", [0, 1, 0, 1]),
    ("neu", [1, 0, 1, 1]),
    ("ltu", [1, 0, 0, 1]),
    ("leu", [1, 1, 0, 1]),
    ("gtu", [0, 0, 1, 1]),
    ("geu", [0, 1, 1, 1]),
    ("nan", [0, 0, 0, 1]),
    ("num", [1, 1, 1, 0]),
];

/// The unsigned relations' other names.
const UNSIGNED: [(&str, [u64; 4]); 4] =
    [("lo", [1, 0, 0, 0]), ("ls", [1, 1, 0, 0]), ("hi", [0, 0, 1, 0]), ("hs", [0, 1, 1, 0])];

#[track_caller]
fn check(relation: &str, answers: [u64; 4], ty: &str, width: Width, pairs: &[[u64; 2]]) {
    let instruction = format!("setp.{relation}.{ty}");
    let got = compute(&instruction, P, [width, width], pairs);
    assert_eq!(got, answers[..pairs.len()], "{instruction}");
}

#[test]
fn floats_compare_ordered_and_unordered() {
    let pairs = [[f(-1.0), f(2.0)], [f(0.0), f(-0.0)], [f(2.0), f(-1.0)], [NAN, f(1.0)]];
    for (relation, answers) in RELATIONS {
        check(relation, answers, "f32", R, &pairs);
    }
}

#[test]
fn integers_compare_signed_and_unsigned() {
    for (relation, answers) in &RELATIONS[..6] {
        let [small, large] = [1, n32(-1)];
        check(relation, *answers, "u32", R, &[[small, large], [large, large], [large, small]]);
        check(relation, *answers, "s32", R, &[[large, small], [large, large], [small, large]]);
        check(relation, *answers, "u16", H, &[[1, 0xffff], [0xffff, 0xffff], [0xffff, 1]]);
        let [small, large] = [1, n64(-1)];
        check(relation, *answers, "u64", D, &[[small, large], [large, large], [large, small]]);
        check(relation, *answers, "s64", D, &[[large, small], [large, large], [small, large]]);
    }
    for (relation, answers) in UNSIGNED {
        check(relation, answers, "u32", R, &[[1, n32(-1)], [1, 1], [n32(-1), 1]]);
        check(relation, answers, "u64", D, &[[1, n64(-1)], [1, 1], [n64(-1), 1]]);
    }
    for (relation, answers) in &RELATIONS[..2] {
        check(relation, *answers, "b32", R, &[[1, 2], [2, 2]]);
        check(relation, *answers, "b16", H, &[[1, 2], [2, 2]]);
        check(relation, *answers, "b64", D, &[[1, 2], [2, 2]]);
    }
}

/// The comparison 1 < 2, or 2 < 1, with a predicate.
#[test]
fn a_comparison_is_combined_with_a_predicate() {
    const ROWS: [[u64; 3]; 4] = [[1, 2, 0], [1, 2, 1], [2, 1, 0], [2, 1, 1]];
    for (with, answers) in [("and", [0, 1, 0, 0]), ("or", [1, 1, 0, 1]), ("xor", [1, 0, 0, 1])] {
        assert_eq!(compute(&format!("setp.lt.{with}.s32"), P, [R, R, P], &ROWS), answers, "{with}");
    }
    // with the predicate negated
    let out = Buffer::<u32>::uninitialised(1);
    let body = "setp.eq.u32 %p1, 1, 2;\nsetp.lt.and.s32 %p0, 1, 2, !%p1;\nselp.u32 %r0, 1, 0, %p0;\n\
                ld.param.u64 %d0, [p0];\nst.global.u32 [%d0], %r0;";
    run(body, [1, 1, 1], [1, 1, 1], &[out.address()]).unwrap();
    assert_eq!(out.read().unwrap(), [1]);
}

#[test]
fn selection_follows_its_predicate() {
    for (ty, width) in [("b16", H), ("u32", R), ("f32", R), ("b64", D), ("f64", D)] {
        let got = compute(&format!("selp.{ty}"), width, [width, width, P], &[[5, 9, 1], [5, 9, 0]]);
        assert_eq!(got, [5, 9], "{ty}");
    }
}
