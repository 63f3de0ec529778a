//! Loads, stores, vectors, parameters, atomics.

use super::*;

/// Copies with each type from one buffer to another: narrow values are extended as their type says.
#[test]
fn loads_extend_and_stores_cut() {
    let from = Buffer::of(&[0x8182_8384_8586_8788u64]);
    for (load, store, expected) in [
        ("ld.global.u8 %r0", "st.global.u32 [%d1], %r0", 0x88),
        ("ld.global.s8 %r0", "st.global.u32 [%d1], %r0", 0xffff_ff88),
        ("ld.global.b16 %r0", "st.global.u32 [%d1], %r0", 0x8788),
        ("ld.global.s16 %r0", "st.global.u32 [%d1], %r0", 0xffff_8788),
        ("ld.global.f32 %r0", "st.global.f32 [%d1], %r0", 0x8586_8788),
        ("ld.global.nc.u64 %d2", "st.global.b64 [%d1], %d2", 0x8182_8384_8586_8788),
        ("ldu.global.u32 %r0", "st.volatile.global.u16 [%d1], %r0", 0x8788),
        ("ld.volatile.global.u32 %r0", "st.global.u8 [%d1], %r0", 0x88),
    ] {
        let to = Buffer::of(&[0u64]);
        let body = format!("ld.param.u64 %d0, [p0]; ld.param.u64 %d1, [p1];\n{load}, [%d0];\n{store};");
        run(&body, [1, 1, 1], [1, 1, 1], &[from.address(), to.address()]).unwrap();
        assert_eq!(to.read().unwrap(), [expected], "{load}");
    }
}

#[test]
fn vectors_are_consecutive_values() {
    let (from, to) = (Buffer::of(&[1u32, 2, 3, 4]), Buffer::<u32>::uninitialised(8));
    let body = "ld.param.u64 %d0, [p0]; ld.param.u64 %d1, [p1]; cvta.to.global.u64 %d0, %d0;\n\
                ld.global.nc.v4.u32 {%r0, %r1, %r2, %r3}, [%d0];\nst.global.v4.u32 [%d1], {%r3, %r2, %r1, %r0};\n\
                ld.global.v2.b32 {%r0, %r1}, [%d0+8];\nst.global.v2.b32 [%d1+16], {%r0, %r1};\n\
                st.global.v2.b32 [%d1+24], {7, 8};";
    run(body, [1, 1, 1], [1, 1, 1], &[from.address(), to.address()]).unwrap();
    assert_eq!(to.read().unwrap(), [4, 3, 2, 1, 3, 4, 7, 8]);
}

/// A whole warp in a row takes another way than scattered threads.
#[test]
fn rows_and_scattered_places_agree() {
    let from = Buffer::of(&(0..64u32).collect::<Vec<_>>());
    for (index, expected) in [
        ("mov.u32 %r1, %r0;", (0..32).collect::<Vec<u32>>()),
        ("shl.b32 %r1, %r0, 1;", (0..32).map(|i| 2 * i).collect()),
        ("sub.s32 %r1, 31, %r0;", (0..32).rev().collect()),
    ] {
        let to = Buffer::<u32>::uninitialised(32);
        let body = format!(
            "ld.param.u64 %d0, [p0]; ld.param.u64 %d1, [p1]; mov.u32 %r0, %tid.x;\n{index}\n\
             mad.wide.u32 %d2, %r1, 4, %d0;\nld.global.u32 %r2, [%d2];\n\
             mad.wide.u32 %d3, %r0, 4, %d1;\nst.global.u32 [%d3], %r2;"
        );
        run(&body, [1, 1, 1], [32, 1, 1], &[from.address(), to.address()]).unwrap();
        assert_eq!(to.read().unwrap(), expected, "{index}");
    }
}

#[test]
fn a_predicate_is_set_to_a_literal() {
    let buffer = Buffer::<u32>::uninitialised(2);
    let body = "ld.param.u64 %d0, [p0];\nmov.pred %p0, -1; mov.pred %p1, 0;\nselp.u32 %r0, 7, 8, %p0;\n\
                selp.u32 %r1, 7, 8, %p1;\nst.global.v2.u32 [%d0], {%r0, %r1};";
    run(body, [1, 1, 1], [1, 1, 1], &[buffer.address()]).unwrap();
    assert_eq!(buffer.read().unwrap(), [7, 8]);
}

#[test]
fn two_16_bit_registers_make_one_of_32() {
    let buffer = Buffer::<u32>::uninitialised(1);
    let body = "ld.param.u64 %d0, [p0];\nmov.u16 %r0, 0x1234; mov.u16 %r1, 0x8765;\nmov.b32 %r2, {%r0, %r1};\n\
                st.global.u32 [%d0], %r2;";
    run(body, [1, 1, 1], [1, 1, 1], &[buffer.address()]).unwrap();
    assert_eq!(buffer.read().unwrap(), [0x8765_1234]);
}
#[test]
fn pairs_are_packed_and_taken_apart() {
    let to = Buffer::<u32>::uninitialised(4);
    let body = "ld.param.u64 %d0, [p0];\nmov.u32 %r0, 5; mov.u32 %r1, 6;\nmov.b64 %d1, {%r0, %r1};\n\
                st.global.u64 [%d0], %d1;\nmov.b64 {%r3, %r2}, %d1;\nst.global.v2.u32 [%d0+8], {%r2, %r3};";
    run(body, [1, 1, 1], [1, 1, 1], &[to.address()]).unwrap();
    assert_eq!(to.read().unwrap(), [5, 6, 6, 5]);
}

/// Parameters lie at their own alignment; those used as addresses are known as pointers.
#[test]
fn parameters_have_their_places() {
    let source = ".version 6.0\n.target sm_60\n.address_size 64\n.visible .entry k(.param .u8 small, .param .u64 out, \
                  .param .f32 scale, .param .align 4 .b8 shape[12])\n{\n.reg .b32 %r<8>;\n.reg .b64 %d<4>;\n\
                  ld.param.u8 %r0, [small];\nld.param.u64 %d0, [out];\nld.param.f32 %r1, [scale];\n\
                  ld.param.u32 %r2, [shape+8];\ncvta.to.global.u64 %d1, %d0;\n\
                  st.global.v4.u32 [%d1], {%r0, %r1, %r2, %r2};\nret;\n}\n";
    let kernel = &parse(source).unwrap()["k"];
    let places: Vec<(usize, usize, bool)> =
        kernel.parameters.iter().map(|p| (p.offset, p.size, p.is_pointer)).collect();
    assert_eq!(places, [(0, 1, false), (8, 8, true), (16, 4, false), (20, 12, false)]);
    let out = Buffer::<u32>::uninitialised(4);
    let mut block = vec![0u8; 32];
    block[0] = 200;
    block[8..16].copy_from_slice(&out.address().to_le_bytes());
    block[16..20].copy_from_slice(&2.5f32.to_le_bytes());
    block[28..32].copy_from_slice(&9u32.to_le_bytes());
    launch(kernel, &Launch { grid: [1; 3], block: [1; 3], dynamic_shared: 0, parameters: &block }).unwrap();
    assert_eq!(out.read().unwrap(), [200, 2.5f32.to_bits(), 9, 9]);
}

/// All 32 threads on one word; `red` does the same without the old value.
#[test]
fn atomics_combine_what_all_threads_bring() {
    let minus = |value: i32| value as u32;
    for (operation, start, operand, expected) in [
        ("add.u32", 100, "%r0", 100 + 31 * 16),
        ("add.f32", 1f32.to_bits(), "0f3F000000", 17f32.to_bits()),
        ("or.b32", 1, "%r0", 31),
        ("max.s32", minus(-5), "%r0", 31),
        ("max.u32", 7, "%r0", 31),
        ("min.s32", minus(-5), "%r0", minus(-5)),
        ("min.u32", 7, "%r0", 0),
    ] {
        for (instruction, destination) in
            [("atom.global", "%r1, "), ("red.global", ""), ("atom.relaxed.gpu.global", "%r1, ")]
        {
            let word = Buffer::of(&[start]);
            let body = format!(
                "ld.param.u64 %d0, [p0]; mov.u32 %r0, %tid.x;\n{instruction}.{operation} {destination}[%d0], {operand};"
            );
            run(&body, [1, 1, 1], [32, 1, 1], &[word.address()]).unwrap();
            assert_eq!(word.read().unwrap(), [expected], "{instruction}.{operation}");
        }
    }
}

/// Every thread gets what another left; what is left at the end is the last one's.
#[test]
fn exchanged_values_are_handed_on() {
    let (word, old) = (Buffer::of(&[99u32]), Buffer::<u32>::uninitialised(32));
    let body = "ld.param.u64 %d0, [p0]; ld.param.u64 %d1, [p1]; mov.u32 %r0, %tid.x;\n\
                atom.global.exch.b32 %r1, [%d0], %r0;\nmad.wide.u32 %d2, %r0, 4, %d1;\nst.global.u32 [%d2], %r1;";
    run(body, [1, 1, 1], [32, 1, 1], &[word.address(), old.address()]).unwrap();
    let mut all = old.read().unwrap();
    all.extend(word.read().unwrap());
    all.sort();
    assert_eq!(all, (0..32).chain([99]).collect::<Vec<u32>>());
}
