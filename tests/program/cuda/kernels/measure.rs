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

/// The simulated SM runs at 1410 MHz.
#[test]
fn clock_rate_reads_the_sm_clock() {
    let result = Buffer::<u64>::fresh(2);
    launch("clock_rate", [1, 1, 1], [1, 1, 1], &[&result, &2_000_000u64]);
    let [cycles, nanoseconds] = result.read()[..] else { panic!("two values") };
    assert!(nanoseconds >= 2_000_000);
    let mhz = cycles as f64 * 1000.0 / nanoseconds as f64;
    assert!((mhz - 1410.0).abs() < 14.1, "{mhz} MHz");
}
