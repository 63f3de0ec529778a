//! Threads: where they are, where they go, what they share.

use super::*;

/// Every thread of a grid in three dimensions knows its place.
#[test]
fn threads_know_their_place() {
    let ([gx, gy, gz], [bx, by, bz]) = ([2u32, 3, 2], [5u32, 2, 4]);
    let threads = (bx * by * bz) as usize;
    let out = Buffer::<[u32; 4]>::uninitialised(threads * (gx * gy * gz) as usize);
    // block = ctaid.x + nctaid.x * (ctaid.y + nctaid.y * ctaid.z); thread likewise
    let body = "mov.u32 %r0, %ctaid.z; mov.u32 %r1, %nctaid.y; mov.u32 %r2, %ctaid.y; mad.lo.s32 %r0, %r0, %r1, %r2;\n\
                mov.u32 %r1, %nctaid.x; mov.u32 %r2, %ctaid.x; mad.lo.s32 %r0, %r0, %r1, %r2;\n\
                mov.u32 %r3, %tid.z; mov.u32 %r4, %ntid.y; mov.u32 %r5, %tid.y; mad.lo.s32 %r3, %r3, %r4, %r5;\n\
                mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x; mad.lo.s32 %r3, %r3, %r4, %r5;\n\
                mov.u32 %r4, %ntid.z; mul.lo.s32 %r4, %r4, %r4; mov.u32 %r6, %laneid; mov.u32 %r7, %nctaid.z;\n\
                mad.lo.s32 %r8, %r0, 40, %r3; ld.param.u64 %d0, [p0]; mad.wide.u32 %d0, %r8, 16, %d0;\n\
                st.global.v4.u32 [%d0], {%r0, %r3, %r6, %r7};";
    run(body, [gx, gy, gz], [bx, by, bz], &[out.address()]).unwrap();
    for (i, got) in out.read().unwrap().into_iter().enumerate() {
        let (block, thread) = ((i / threads) as u32, (i % threads) as u32);
        assert_eq!(got, [block, thread, thread % 32, gz]);
    }
}

/// Threads go round a loop as often as their number says, part ways, and meet again.
#[test]
fn threads_part_and_meet() {
    let out = Buffer::<u32>::uninitialised(40);
    let body = "mov.u32 %r0, %tid.x; mov.u32 %r1, 0; mov.u32 %r2, 0;\n\
                $loop:\nsetp.ge.u32 %p0, %r1, %r0;\n@%p0 bra $done;\n\
                and.b32 %r3, %r1, 1;\nsetp.eq.u32 %p1, %r3, 0;\n@!%p1 bra $odd;\n\
                add.s32 %r2, %r2, 1;\nbra.uni $next;\n\
                $odd:\nadd.s32 %r2, %r2, 100;\n\
                $next:\nadd.s32 %r1, %r1, 1;\nbra $loop;\n\
                $done:\nld.param.u64 %d0, [p0]; mad.wide.u32 %d0, %r0, 4, %d0;\n\
                @%p0 st.global.u32 [%d0], %r2;";
    run(body, [1, 1, 1], [40, 1, 1], &[out.address()]).unwrap();
    let expected: Vec<u32> = (0..40).map(|i: u32| i.div_ceil(2) + 100 * (i / 2)).collect();
    assert_eq!(out.read().unwrap(), expected);
}

#[test]
fn threads_may_end_early() {
    for end in ["ret", "ret.uni", "exit"] {
        let out = Buffer::of(&[7u32; 4]);
        let guard = if end == "ret.uni" { "" } else { "@%p0 " };
        let body = format!(
            "mov.u32 %r0, %tid.x; setp.gt.u32 %p0, %r0, 1;\n{guard}{end};\n\
             ld.param.u64 %d0, [p0]; mad.wide.u32 %d0, %r0, 4, %d0;\nst.global.u32 [%d0], %r0;"
        );
        run(&body, [1, 1, 1], [4, 1, 1], &[out.address()]).unwrap();
        assert_eq!(out.read().unwrap(), if end == "ret.uni" { [7, 7, 7, 7] } else { [0, 1, 7, 7] }, "{end}");
    }
}

/// 100 threads turn their values round by way of shared memory, as one array or another.
#[test]
fn shared_memory_is_exchanged_at_a_barrier() {
    for (barrier, memory) in
        [("bar.sync", ".shared .align 4 .b8 line[400];"), ("barrier.sync", ".shared .b32 line[100];")]
    {
        let out = Buffer::<u32>::uninitialised(100);
        let body = format!(
            "{memory}\nmov.u32 %r0, %tid.x; mov.u32 %r1, line; mad.lo.s32 %r2, %r0, 4, %r1;\nst.shared.u32 [%r2], %r0;\n\
             {barrier} 0;\nsub.s32 %r3, 99, %r0; mad.lo.s32 %r3, %r3, 4, %r1;\nld.shared.u32 %r4, [%r3];\n\
             ld.volatile.shared.s16 %r5, [%r3]; add.s32 %r4, %r4, %r5;\n\
             ld.param.u64 %d0, [p0]; mad.wide.u32 %d0, %r0, 4, %d0;\nst.global.u32 [%d0], %r4;"
        );
        run(&body, [3, 1, 1], [100, 1, 1], &[out.address()]).unwrap();
        assert_eq!(out.read().unwrap(), (0..100).map(|i| 2 * (99 - i)).collect::<Vec<u32>>(), "{barrier}");
    }
}

/// The manual's examples: a clamp of 31 takes the whole warp, 0 for `up`; 0x1800 in `c` makes segments of 8.
#[test]
fn shuffles_take_from_their_lane() {
    let shuffled = |mode: &str, distance: u32, c: u32| {
        let (out, valid) = (Buffer::<u32>::uninitialised(32), Buffer::<u32>::uninitialised(32));
        let body = format!(
            "mov.u32 %r0, %tid.x; add.s32 %r1, %r0, 100;\nshfl.sync.{mode}.b32 %r2|%p0, %r1, {distance}, {c}, -1;\n\
             selp.u32 %r3, 1, 0, %p0;\nld.param.u64 %d0, [p0]; ld.param.u64 %d1, [p1];\n\
             mad.wide.u32 %d0, %r0, 4, %d0; mad.wide.u32 %d1, %r0, 4, %d1;\n\
             st.global.u32 [%d0], %r2; st.global.u32 [%d1], %r3;"
        );
        run(&body, [1, 1, 1], [32, 1, 1], &[out.address(), valid.address()]).unwrap();
        (out.read().unwrap(), valid.read().unwrap())
    };
    let lanes = |source: fn(u32) -> Option<u32>| {
        (0..32).map(|lane| (100 + source(lane).unwrap_or(lane), u32::from(source(lane).is_some()))).unzip()
    };
    assert_eq!(shuffled("up", 2, 0), lanes(|lane| lane.checked_sub(2)));
    assert_eq!(shuffled("down", 2, 31), lanes(|lane| (lane + 2 < 32).then_some(lane + 2)));
    assert_eq!(shuffled("bfly", 5, 31), lanes(|lane| Some(lane ^ 5)));
    assert_eq!(shuffled("idx", 3, 31), lanes(|_| Some(3)));
    // segments of 8 lanes
    assert_eq!(shuffled("down", 3, 0x181f), lanes(|lane| (lane % 8 + 3 < 8).then_some(lane + 3)));
    assert_eq!(shuffled("up", 3, 0x1800), lanes(|lane| (lane % 8 >= 3).then(|| lane - 3)));
    assert_eq!(shuffled("idx", 1, 0x181f), lanes(|lane| Some(lane / 8 * 8 + 1)));
}

/// The clock counts at the SM's frequency, 1410 MHz, by the timer of nanoseconds.
#[test]
fn clocks_go_on() {
    let out = Buffer::<u64>::uninitialised(4);
    let body = "ld.param.u64 %d0, [p0];\nmov.u64 %d1, %clock64; mov.u64 %d2, %globaltimer;\n\
                $wait:\nmov.u64 %d3, %globaltimer; sub.s64 %d4, %d3, %d2;\nsetp.lt.u64 %p0, %d4, 2000000;\n@%p0 bra $wait;\n\
                mov.u64 %d5, %clock64; sub.s64 %d5, %d5, %d1;\nst.global.v2.u64 [%d0], {%d4, %d5};\n\
                st.global.v2.u64 [%d0+16], {%d1, %d2};";
    run(body, [1, 1, 1], [1, 1, 1], &[out.address()]).unwrap();
    let [nanoseconds, cycles, ..] = out.read().unwrap()[..] else { panic!("four values") };
    assert!(nanoseconds >= 2_000_000 && cycles * 1000 >= nanoseconds * 1410, "{cycles} cycles in {nanoseconds} ns");
}
