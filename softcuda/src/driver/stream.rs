//! Streams, events, stream memory operations.

use super::ready;
use crate::export::{export, export_unchecked, put};
use crate::memory;
use crate::settings::SETTINGS;
use crate::stream::{self, Failure};
use cudarc::driver::sys::{self, CUdeviceptr, CUevent, CUhostFn, CUresult, CUstream, cuuint32_t};
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::{AtomicU32, Ordering};

const NON_BLOCKING: c_uint = 1;
const DISABLE_TIMING: c_uint = 2;

fn create(to: *mut CUstream, flags: c_uint) -> Result<(), CUresult> {
    ready()?;
    // SAFETY: the C caller's out-pointer.
    unsafe { put(to, stream::create(flags & NON_BLOCKING == 0) as CUstream) }
}

fn done(ready: bool) -> Result<(), CUresult> {
    if ready { Ok(()) } else { Err(CUresult::CUDA_ERROR_NOT_READY) }
}

/// The word at a device or pinned address.
fn word(address: u64) -> Result<&'static AtomicU32, Failure> {
    let region = memory::find(address, 4).map_err(Failure::address)?;
    // SAFETY: four bytes of a live allocation; the caller keeps it alive while the stream uses it.
    Ok(unsafe { AtomicU32::from_ptr(region.host(address).cast()) })
}

/// Waits until the word is ≥, =, & or nor the value, as `flags` says.
fn wait_value(on: CUstream, address: u64, value: u32, flags: c_uint) -> Result<(), CUresult> {
    ready()?;
    supported()?;
    let holds = move |now: u32| match flags & 3 {
        0 => now.wrapping_sub(value) as i32 >= 0,
        1 => now == value,
        2 => now & value != 0,
        _ => !(now | value) != 0,
    };
    stream::hold(on as u64, Box::new(move || Ok(holds(word(address)?.load(Ordering::Acquire)))))
}

fn write_value(on: CUstream, address: u64, value: u32) -> Result<(), CUresult> {
    ready()?;
    supported()?;
    stream::enqueue(
        on as u64,
        "cuStreamWriteValue32",
        Box::new(move || {
            word(address)?.store(value, Ordering::Release);
            memory::writable(address, 4).map_err(Failure::address)?;
            Ok(())
        }),
    )
}

fn supported() -> Result<(), CUresult> {
    if SETTINGS.stream_memory_ops { Ok(()) } else { Err(CUresult::CUDA_ERROR_NOT_SUPPORTED) }
}

/// A host function and its argument, on their way to the thread that runs the stream.
struct HostCall(CUhostFn, *mut c_void);
// SAFETY: the C caller allows the driver to call it from any thread.
unsafe impl Send for HostCall {}
impl HostCall {
    fn run(self) {
        if let Some(f) = self.0 {
            // SAFETY: the C caller vouches for the function and its argument.
            unsafe { f(self.1) }
        }
    }
}

export! { CALLS: "cuda", sys, CUresult;
fn cuStreamCreate(to: *mut CUstream, flags: c_uint) {
    create(to, flags)
}
fn cuStreamCreateWithPriority(to: *mut CUstream, flags: c_uint, _priority: c_int) {
    create(to, flags)
}
fn cuStreamDestroy_v2(which: CUstream) {
    stream::destroy(which as u64)
}
fn cuStreamGetFlags(which: CUstream, flags: *mut c_uint) {
    ready()?;
    put(flags, c_uint::from(!stream::is_blocking(which as u64)?))
}
fn cuStreamSynchronize(which: CUstream) {
    ready()?;
    stream::synchronize(which as u64)
}
fn cuStreamQuery(which: CUstream) {
    ready()?;
    done(stream::query(which as u64)?)
}
fn cuStreamWaitEvent(which: CUstream, event: CUevent, _flags: c_uint) {
    ready()?;
    stream::wait_event(which as u64, event as u64)
}
fn cuStreamWaitValue32_v2(on: CUstream, address: CUdeviceptr, value: cuuint32_t, flags: c_uint) {
    wait_value(on, address, value, flags)
}
fn cuStreamWriteValue32_v2(on: CUstream, address: CUdeviceptr, value: cuuint32_t, _flags: c_uint) {
    write_value(on, address, value)
}
fn cuLaunchHostFunc(on: CUstream, f: CUhostFn, argument: *mut c_void) {
    ready()?;
    let call = HostCall(f, argument);
    stream::enqueue(on as u64, "cuLaunchHostFunc", Box::new(move || { call.run(); Ok(()) }))
}
fn cuEventCreate(to: *mut CUevent, flags: c_uint) {
    ready()?;
    put(to, stream::create_event(flags & DISABLE_TIMING == 0) as CUevent)
}
fn cuEventDestroy_v2(event: CUevent) {
    stream::destroy_event(event as u64)
}
fn cuEventRecord(event: CUevent, on: CUstream) {
    ready()?;
    stream::record(event as u64, on as u64)
}
fn cuEventRecordWithFlags(event: CUevent, on: CUstream, _flags: c_uint) {
    ready()?;
    stream::record(event as u64, on as u64)
}
fn cuEventSynchronize(event: CUevent) {
    ready()?;
    stream::synchronize_event(event as u64)
}
fn cuEventQuery(event: CUevent) {
    ready()?;
    done(stream::query_event(event as u64)?)
}
fn cuEventElapsedTime_v2(ms: *mut f32, start: CUevent, end: CUevent) {
    ready()?;
    put(ms, stream::elapsed_ms(start as u64, end as u64)?)
}
}

export_unchecked! { OLD_CALLS: "cuda", CUresult;
/// The names that drivers before CUDA 12 and 12.8 have.
fn cuStreamWaitValue32(on: CUstream, address: CUdeviceptr, value: cuuint32_t, flags: c_uint) {
    wait_value(on, address, value, flags)
}
fn cuStreamWriteValue32(on: CUstream, address: CUdeviceptr, value: cuuint32_t, _flags: c_uint) {
    write_value(on, address, value)
}
fn cuEventElapsedTime(ms: *mut f32, start: CUevent, end: CUevent) {
    ready()?;
    put(ms, stream::elapsed_ms(start as u64, end as u64)?)
}
}
