//! The host's clocks under a virtual device clock: where this library is preloaded, `clock_gettime` tells the device's
//! time, so that host times are as reproducible as device times. Without a virtual clock it only passes on.

use crate::clock;
use std::ffi::c_int;
use std::sync::LazyLock;

type ClockGettime = unsafe extern "C" fn(libc::clockid_t, *mut libc::timespec) -> c_int;

/// The next function of this name, the C library's own at last.
static NEXT: LazyLock<Option<ClockGettime>> = LazyLock::new(|| {
    // SAFETY: the name is a C string; a symbol of this name has this type.
    unsafe {
        let symbol = libc::dlsym(libc::RTLD_NEXT, c"clock_gettime".as_ptr());
        (!symbol.is_null()).then(|| std::mem::transmute::<*mut libc::c_void, ClockGettime>(symbol))
    }
});

/// 2026-01-01 00:00:00 UTC: where the virtual calendar begins.
const CALENDAR_NS: u64 = 1_767_225_600 * 1_000_000_000;
/// Where the virtual monotonic clock begins: at the machine's own, for the kernel compares timeouts with that.
static START_NS: LazyLock<u64> = LazyLock::new(clock::real_ns);

/// This is the copy of a test that links the crate. It comes before the preloaded library's, and must pass on to that.
static IN_THE_PROGRAM: LazyLock<bool> = LazyLock::new(|| {
    // a static, for the name of an exported function may mean another copy's
    let own: *const LazyLock<u64> = &raw const START_NS;
    // SAFETY: both calls only read; a Dl_info of zeros is valid.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        // the kernel tells where the program's own headers are: on the first page of its file
        let program = libc::getauxval(libc::AT_PHDR) as usize & !0xfff;
        libc::dladdr(own.cast(), &mut info) != 0 && info.dli_fbase as usize == program
    }
});

/// The C library's function, but that it tells the device's time where that is virtual.
///
/// # Safety
/// `to` is valid for a write, as for the C library's function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(which: libc::clockid_t, to: *mut libc::timespec) -> c_int {
    let start = match which {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Some(CALENDAR_NS),
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_RAW | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => {
            Some(*START_NS)
        }
        _ => None,
    };
    match start {
        Some(start) if clock::is_virtual() && !*IN_THE_PROGRAM => {
            let ns = start + clock::now_ns();
            let time = libc::timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 };
            // SAFETY: the caller's promise.
            unsafe { to.write(time) };
            0
        }
        // SAFETY: the caller's arguments, passed on.
        _ => NEXT.map_or(-1, |next| unsafe { next(which, to) }),
    }
}
