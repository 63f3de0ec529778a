//! libcuda: device and context, memory, streams and events, modules and launches.

mod context;
mod memory;
mod module;
mod status;
pub use context::{NAME as DEVICE_NAME, uuid, version};
pub use status::forever;
mod stream;

use crate::export::Export;
use crate::stream as queue;
use cudarc::driver::sys::{CUcontext, CUresult};
use std::cell::Cell;

/// What the library exports.
pub const EXPORTS: [&[Export]; 6] =
    [context::CALLS, context::OLD_CALLS, memory::CALLS, module::CALLS, stream::CALLS, stream::OLD_CALLS];

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// A current context, and no error that sticks.
fn ready() -> Result<(), CUresult> {
    if CURRENT.get() == 0 {
        return Err(CUresult::CUDA_ERROR_INVALID_CONTEXT);
    }
    queue::check()
}

fn current_context() -> CUcontext {
    CURRENT.get() as CUcontext
}

/// Makes the first device's context current on this thread, for tests within the crate.
#[cfg(test)]
pub fn make_current() {
    CURRENT.set(0x1000);
}
