//! The stream and its events.

use std::cell::Cell;
use std::sync::OnceLock;

use cudarc::driver::sys::{self, CUevent, CUstream};

use super::call::{CallError, absent, call, check};
use super::libraries::open::{self, Address, Which};

/// The one stream that a session's work goes through, in order.
pub struct Stream {
    handle: CUstream,
    enqueued: Cell<usize>,
}

// SAFETY: a stream is a name for something of the driver's, which may be used from any thread.
unsafe impl Send for Stream {}

impl Stream {
    /// A stream that does not wait for the default stream.
    pub fn new() -> Result<Stream, CallError> {
        const NON_BLOCKING: u32 = 1;
        let mut handle = std::ptr::null_mut();
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuStreamCreate(&mut handle, NON_BLOCKING)) }?;
        Ok(Stream { handle, enqueued: Cell::new(0) })
    }

    /// The driver's handle.
    pub(super) fn handle(&self) -> CUstream {
        self.handle
    }

    /// Waits for everything so far.
    pub fn synchronize(&self) -> Result<(), CallError> {
        // SAFETY: the stream is alive.
        unsafe { call!(driver::cuStreamSynchronize(self.handle)) }
    }

    /// Lets all later work wait until the word at a device address is at least one. See [`super::Context::waits_for_words`].
    pub fn wait_for_word(&self, address: u64) -> Result<(), CallError> {
        const GREATER_OR_EQUAL: u32 = 0;
        self.count(1);
        // SAFETY: the stream is alive; the caller keeps the word for as long as work waits for it, else the GPU faults.
        unsafe { call!(driver::cuStreamWaitValue32_v2(self.handle, address, 1, GREATER_OR_EQUAL)) }
    }

    /// Operations since the count was last reset: a driver takes about a thousand before it makes the host wait.
    pub fn enqueued(&self) -> usize {
        self.enqueued.get()
    }

    /// Counts operations that were just enqueued.
    pub fn count(&self, operations: usize) {
        self.enqueued.set(self.enqueued.get() + operations);
    }

    /// Counts from zero again.
    pub fn reset_count(&self) {
        self.enqueued.set(0);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed nowhere else. Nothing can be done about a failure.
        let _ = unsafe { call!(driver::cuStreamDestroy_v2(self.handle)) };
    }
}

/// A point in the stream's time.
pub struct Event(CUevent);

// SAFETY: an event is a name for something of the driver's, which may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    /// With timing: that is what the flag's absence says.
    pub fn new() -> Result<Event, CallError> {
        let mut handle = std::ptr::null_mut();
        let flags = sys::CUevent_flags::CU_EVENT_DEFAULT as u32;
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuEventCreate(&mut handle, flags)) }?;
        Ok(Event(handle))
    }

    /// Enqueues the taking of the time.
    pub fn record(&self, stream: &Stream) -> Result<(), CallError> {
        stream.count(1);
        // SAFETY: both are alive.
        unsafe { call!(driver::cuEventRecord(self.0, stream.handle())) }
    }

    /// Microseconds from this to a later event; both have been waited for. To the nanosecond: what the driver gives as an f32 of
    /// milliseconds says no more.
    pub fn us_until(&self, later: &Event) -> Result<f64, CallError> {
        let mut ms = 0f32;
        elapsed(&mut ms, self.0, later.0)?;
        Ok((f64::from(ms) * 1e6).round() / 1e3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed nowhere else. Nothing can be done about a failure.
        let _ = unsafe { call!(driver::cuEventDestroy_v2(self.0)) };
    }
}

/// `cuEventElapsedTime_v2` came with CUDA 12.8; drivers before have the unversioned function, of the same type.
fn elapsed(ms: &mut f32, start: CUevent, end: CUevent) -> Result<(), CallError> {
    static FUNCTION: OnceLock<Option<(&str, Address)>> = OnceLock::new();
    let names = [("cuEventElapsedTime_v2", "cuEventElapsedTime_v2\0"), ("cuEventElapsedTime", "cuEventElapsedTime\0")];
    let find = || names.iter().find_map(|&(name, c_name)| Some((name, open::address(Which::Driver, c_name)?)));
    let &Some((name, address)) = FUNCTION.get_or_init(find) else { return Err(absent(names[0].0)) };
    let declared: unsafe fn(_, _, _) -> _ = sys::cuEventElapsedTime_v2;
    let function = open::as_declared(declared, address);
    // SAFETY: both names have this type since they exist; an out-pointer to a local of the caller's, and two live events.
    check(name, unsafe { function(ms, start, end) })
}
