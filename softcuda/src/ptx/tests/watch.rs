//! The interpreter sees what it is there to see.

use super::*;
use crate::finding::FindingKind::{self, *};

/// Loads a word from `p0` (line 13 of the module) and stores it to `p1` (line 14), at the thread's place in the grid.
const COPY: &str = "mov.u32 %r0, %ctaid.x; mov.u32 %r1, %ntid.x; mov.u32 %r2, %tid.x; mad.lo.s32 %r0, %r0, %r1, %r2;\n\
    ld.param.u64 %d0, [p0]; mad.wide.u32 %d0, %r0, 4, %d0;\nld.param.u64 %d1, [p1]; mad.wide.u32 %d1, %r0, 4, %d1;\n\
    ld.global.u32 %r3, [%d0];\nst.global.u32 [%d1], %r3;";

#[track_caller]
fn error(body: &str, blocks: u32, threads: u32, arguments: &[u64]) -> KernelError {
    run(body, [blocks, 1, 1], [threads, 1, 1], arguments).expect_err("a mistake")
}

#[track_caller]
fn kind(body: &str, threads: u32) -> FindingKind {
    error(body, 1, threads, &[0]).kind
}

#[test]
fn one_element_too_many_is_out_of_bounds() {
    let (x, y) = (Buffer::of(&[1u32; 512]), Buffer::<u32>::uninitialised(300));
    let error = error(COPY, 2, 256, &[x.address(), y.address()]);
    assert_eq!((error.kind, error.block, error.thread), (OutOfBounds, [1, 0, 0], Some(44)), "{error}");
    assert_eq!(error.to_string().split(": ").nth(1).unwrap(), "PTX line 14, block (1,0,0), thread 44");
}

#[test]
fn an_uninitialised_read_names_line_and_thread() {
    let (x, y) = (Buffer::<u32>::uninitialised(32), Buffer::<u32>::uninitialised(32));
    let error = error(COPY, 1, 32, &[x.address(), y.address()]);
    assert_eq!((error.kind, error.line, error.thread), (UninitialisedRead, 13, Some(0)), "{error}");
    assert_eq!(error.finding().kind, UninitialisedRead);
}

#[test]
fn swapped_arguments_read_what_was_never_written() {
    let (x, y) = (Buffer::of(&[1u32; 32]), Buffer::<u32>::uninitialised(32));
    run(COPY, [1; 3], [32, 1, 1], &[x.address(), y.address()]).unwrap();
    let fresh = Buffer::<u32>::uninitialised(32);
    assert_eq!(error(COPY, 1, 32, &[fresh.address(), x.address()]).kind, UninitialisedRead);
}

#[test]
fn addresses_that_are_none_are_told_apart() {
    let y = Buffer::<u32>::uninitialised(32);
    let freed = Buffer::of(&[1u32; 32]).address();
    assert_eq!(error(COPY, 1, 32, &[freed, y.address()]).kind, UseAfterFree);
    assert!(error(COPY, 1, 32, &[0, y.address()]).what.contains("null pointer"));
    let host = [1u32; 32];
    assert_eq!(error(COPY, 1, 32, &[host.as_ptr() as u64, y.address()]).kind, InvalidAddress);
}

#[test]
fn a_misaligned_access_is_refused() {
    let (x, y) = (Buffer::of(&[1u32; 33]), Buffer::<u32>::uninitialised(32));
    assert_eq!(error(COPY, 1, 32, &[x.address() + 2, y.address()]).kind, Misaligned);
    // a vector wants its own size
    let body = "ld.param.u64 %d0, [p0];\nld.global.v2.u32 {%r0, %r1}, [%d0+4];";
    assert_eq!(error(body, 1, 1, &[x.address()]).kind, Misaligned);
}

#[test]
fn atomics_are_checked_too() {
    let body = "ld.param.u64 %d0, [p0];\natom.global.add.u32 %r1, [%d0], 1;";
    let freed = Buffer::of(&[1u32]).address();
    assert_eq!(error(body, 1, 1, &[freed]).kind, UseAfterFree);
    let fresh = Buffer::<u32>::uninitialised(1);
    assert_eq!(error(body, 1, 1, &[fresh.address()]).kind, UninitialisedRead);
    assert_eq!(error(body, 1, 1, &[fresh.address() + 2]).kind, Misaligned);
}

/// Each thread touches its own word of shared memory, then its neighbour's, without a barrier.
#[test]
fn shared_memory_without_a_barrier_races() {
    const START: &str = ".shared .b32 line[65]; mov.u32 %r0, %tid.x; mov.u32 %r1, line; mad.lo.s32 %r2, %r0, 4, %r1;\n";
    let both = |first: &str, second: &str| kind(&format!("{START}{first}\n{second}"), 64);
    let (store, load) = ("st.shared.u32 [%r2], 1;", "ld.shared.u32 %r3, [%r2+4];");
    let neighbours = "st.shared.u32 [%r2+4], 1;";
    assert_eq!(both(store, load), SharedMemoryRace, "written, then read");
    assert_eq!(both(store, neighbours), SharedMemoryRace, "written twice");
    let prepared = format!("{store}\nsetp.eq.u32 %p0, %r0, 63;\n@%p0 st.shared.u32 [%r2+4], 1;\nbar.sync 0;");
    assert_eq!(both(&prepared, &format!("{load}\n{store}")), SharedMemoryRace, "read, then written");
    let right = format!("{START}{prepared}\n{load}\nbar.sync 0;\n{store}");
    run(&right, [1; 3], [64, 1, 1], &[0]).unwrap();
}

#[test]
fn shared_memory_has_bounds_and_begins_unwritten() {
    assert_eq!(kind("mov.u32 %r0, 0;\nld.shared.u32 %r1, [%r0];", 1), UninitialisedRead);
    // 1 KiB of dynamic shared memory
    assert_eq!(kind("mov.u32 %r0, 1024;\nst.shared.u32 [%r0], 1;", 1), OutOfBounds);
    run("mov.u32 %r0, 1020;\nst.shared.u32 [%r0], 1;", [1; 3], [1; 3], &[0]).unwrap();
}

/// What one block writes to shared memory is not there for the next.
#[test]
fn blocks_do_not_share_shared_memory() {
    let body = "mov.u32 %r0, 0; mov.u32 %r1, %ctaid.x; setp.eq.u32 %p0, %r1, 0;\n\
                @%p0 st.shared.u32 [%r0], 1;\n@!%p0 ld.shared.u32 %r2, [%r0];";
    assert_eq!(error(body, 2, 1, &[0]).kind, UninitialisedRead);
}

/// Only half of the threads reach each barrier.
#[test]
fn a_divergent_barrier_is_reported() {
    let body = "mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 16;\n@%p1 bra $low;\n\
                bar.sync 0;\nbra.uni $end;\n$low:\nbar.sync 0;\n$end:";
    assert_eq!(kind(body, 32), DivergentThreads);
    // threads that have ended do not count
    run("mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 16;\n@%p1 ret;\nbar.sync 0;", [1; 3], [32, 1, 1], &[0]).unwrap();
}

#[test]
fn a_shuffle_needs_its_source() {
    let body = "mov.u32 %r1, %tid.x; setp.lt.u32 %p1, %r1, 16;\n@!%p1 bra $end;\n\
                shfl.sync.idx.b32 %r2, %r1, 20, 31, 65535;\n$end:";
    let error = error(body, 1, 32, &[0]);
    assert_eq!(error.kind, DivergentThreads, "{error}");
    assert!(error.what.contains("lane 0 shuffles with lane 20"), "{error}");
}

#[test]
fn an_integer_division_by_zero_is_reported() {
    for body in ["mov.u32 %r0, 0;\ndiv.s32 %r1, 7, %r0;", "mov.u64 %d0, 0;\nrem.u64 %d1, 7, %d0;"] {
        assert_eq!(kind(body, 1), DivisionByZero, "{body}");
    }
}

#[test]
fn a_launch_must_fit_its_kernel() {
    let kernels = parse(&module(1, "").replace(")\n{", ")\n.maxntid 64, 1, 1\n{")).unwrap();
    let launched = |block, parameters: &[u8]| {
        launch(&kernels["k"], &Launch { grid: [1; 3], block, dynamic_shared: 0, parameters })
            .map_err(|error| error.what)
    };
    assert_eq!(launched([8, 8, 1], &[0; 8]), Ok(()));
    assert_eq!(launched([8, 9, 1], &[0; 8]).unwrap_err(), "a block of 72 threads, above 64");
    assert_eq!(launched([8, 0, 1], &[0; 8]).unwrap_err(), "a block without threads");
    assert_eq!(launched([1, 1, 1], &[0; 4]).unwrap_err(), "4 bytes of parameters in place of 8");
}

#[test]
fn what_is_not_modelled_is_said() {
    assert!(parse(&module(1, "atom.shared.add.u32 %r1, [%r0], 1;")).unwrap_err().text.contains("atom.shared.add.u32"));
}
