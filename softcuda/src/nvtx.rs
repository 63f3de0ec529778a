//! NVTX: ranges that a program names for a profiler. They are only written to the trace.

use crate::export::{Export, export_plain_unchecked};
use crate::trace;
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};

/// The exported functions.
pub const EXPORTS: [&[Export]; 1] = [CALLS];

/// The answer of a pop where no range is open.
const NO_PUSH_POP_TRACKING: c_int = -2;

thread_local! {
    static DEPTH: Cell<c_int> = const { Cell::new(0) };
}

// As declared in NVTX's own header, nvToolsExt.h: the bindings that declare it would link it.
export_plain_unchecked! { CALLS: "nvtx";
    fn nvtxRangePushA(message: *const c_char) -> c_int {
        if !message.is_null() {
            // SAFETY: the caller gives a C string.
            trace::line(format_args!("# range {}", unsafe { CStr::from_ptr(message) }.to_string_lossy()));
        }
        DEPTH.set(DEPTH.get() + 1);
        DEPTH.get() - 1
    }
    fn nvtxRangePop() -> c_int {
        match DEPTH.get() {
            0 => NO_PUSH_POP_TRACKING,
            depth => {
                DEPTH.set(depth - 1);
                depth - 1
            }
        }
    }
}
