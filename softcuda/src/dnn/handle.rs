//! Library handle, versions, error texts.

use super::Result;
use crate::driver::forever;
use crate::export::{export, export_plain, put, put_text};
use crate::handle::Handles;
use crate::settings::SETTINGS;
use crate::{report, stream};
use cudarc::cudnn::sys::{self, cudaStream_t, cudnnHandle_t, cudnnStatus_t, libraryPropertyType};
use cudnnStatus_t::*;
use std::ffi::{c_char, c_int};

fn own_version() -> [c_int; 3] {
    [SETTINGS.cudnn.0, SETTINGS.cudnn.1, 1]
}

static HANDLES: Handles<u64> = Handles::new("cuDNN handles");

/// The stream of a handle.
pub fn stream_of(handle: cudnnHandle_t) -> Result<u64> {
    HANDLES.copy(handle).ok_or(CUDNN_STATUS_NOT_INITIALIZED)
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnCreate(to: *mut cudnnHandle_t) {
    report::at_exit(|| HANDLES.leaks());
    stream::check().map_err(|_| CUDNN_STATUS_NOT_INITIALIZED)?;
    put(to, HANDLES.add(stream::DEFAULT))
}
fn cudnnDestroy(handle: cudnnHandle_t) {
    if HANDLES.remove(handle) { Ok(()) } else { Err(CUDNN_STATUS_NOT_INITIALIZED) }
}
fn cudnnSetStream(handle: cudnnHandle_t, on: cudaStream_t) {
    if HANDLES.change(handle, |stream| *stream = on as u64) { Ok(()) } else { Err(CUDNN_STATUS_NOT_INITIALIZED) }
}
fn cudnnGetStream(handle: cudnnHandle_t, to: *mut cudaStream_t) {
    put(to, stream_of(handle)? as cudaStream_t)
}
fn cudnnGetProperty(which: libraryPropertyType, to: *mut c_int) {
    put(to, own_version()[which as usize])
}
fn cudnnGraphVersionCheck() {
    Ok(())
}
fn cudnnOpsVersionCheck() {
    Ok(())
}
fn cudnnCnnVersionCheck() {
    Ok(())
}
fn cudnnAdvVersionCheck() {
    Ok(())
}
}

export_plain! { PLAIN_CALLS: "cudnn", sys;
fn cudnnGetVersion() -> usize {
    let [major, minor, patch] = own_version();
    (major * 10000 + minor * 100 + patch) as usize
}
fn cudnnGetCudartVersion() -> usize {
    crate::driver::version() as usize
}
fn cudnnGetErrorString(status: cudnnStatus_t) -> *const c_char {
    forever(format!("{status:?}"))
}
fn cudnnGetLastErrorString(to: *mut c_char, size: usize) -> () {
    // SAFETY: the caller's buffer of `size` bytes.
    unsafe { put_text(to, size, "see softcuda's findings on stderr") }
}
}
