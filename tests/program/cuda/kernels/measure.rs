//! The hold and clock kernels.

use super::harness::*;
use std::sync::atomic::{AtomicU32, Ordering};

#[test]
fn hold_ends_when_the_host_says_so() {
    let memory = softcuda::Buffer::pinned(&[0u32]);
    let flag = memory.address();
    // SAFETY: four aligned bytes of the host's that live until the end of the test.
    let cell = unsafe { AtomicU32::from_ptr(flag as *mut u32) };
    let ended = AtomicU32::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            launch("hold", [1, 1, 1], [1, 1, 1], &[&flag]);
            ended.store(1, Ordering::Release);
        });
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(ended.load(Ordering::Acquire), 0, "the kernel did not wait");
        cell.store(1, Ordering::Release);
    });
    assert_eq!(ended.load(Ordering::Acquire), 1);
}

/// The simulated SMs run at 1410 MHz; a multiprocessor beyond the count leaves no stamp.
#[test]
fn clock_stamps_tell_the_sm_clock() {
    let [start, end] = [(); 2].map(|()| Buffer::<u64>::fresh(2 * 4));
    launch("clock_stamp", [5, 1, 1], [1, 1, 1], &[&start, &4u32]);
    std::thread::sleep(std::time::Duration::from_millis(2));
    launch("clock_stamp", [5, 1, 1], [1, 1, 1], &[&end, &4u32]);
    for (from, to) in start.read().chunks(2).zip(end.read().chunks(2)) {
        let [cycles, nanoseconds] = [to[0] - from[0], to[1] - from[1]];
        assert!(nanoseconds >= 2_000_000);
        let mhz = cycles as f64 * 1000.0 / nanoseconds as f64;
        assert!((mhz - 1410.0).abs() < 14.1, "{mhz} MHz");
    }
}
