//! Device memory, and the pinned word through which the host lets a stream go on.

use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

use super::call::{CallError, call};
use super::stream::Stream;

/// Device memory, freed when dropped. The context must be current wherever it is used.
pub struct Buffer {
    address: u64,
    bytes: usize,
}

impl Buffer {
    /// Undefined contents; no bytes take no memory.
    pub fn new(bytes: usize) -> Result<Buffer, CallError> {
        let mut address = 0;
        if bytes > 0 {
            // SAFETY: an out-pointer to a local.
            unsafe { call!(driver::cuMemAlloc_v2(&mut address, bytes)) }?;
        }
        Ok(Buffer { address, bytes })
    }

    /// Gives the memory back and takes as much that holds nothing.
    pub fn renew(&mut self) -> Result<(), CallError> {
        let bytes = self.bytes;
        *self = Buffer::new(0)?;
        *self = Buffer::new(bytes)?;
        Ok(())
    }

    /// Size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The device address of a byte.
    pub fn at(&self, byte: usize) -> u64 {
        debug_assert!(byte <= self.bytes);
        self.address + byte as u64
    }

    /// The device address of the first byte.
    pub fn address(&self) -> u64 {
        self.address
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.bytes > 0 {
            // SAFETY: allocated in `new`, and freed nowhere else. Nothing can be done about a failure.
            let _ = unsafe { call!(driver::cuMemFree_v2(self.address)) };
        }
    }
}

/// Writes bytes to device memory, in the stream's order; returns when they are there.
pub fn write(stream: &Stream, address: u64, bytes: &[u8]) -> Result<(), CallError> {
    if !bytes.is_empty() {
        // SAFETY: the host's slice is alive until the stream has been waited for.
        unsafe {
            call!(driver::cuMemcpyHtoDAsync_v2(address, bytes.as_ptr().cast(), bytes.len(), stream.handle()))?;
        }
    }
    stream.synchronize()
}

/// Reads device memory after all that the stream was given before.
pub fn read(stream: &Stream, address: u64, bytes: usize) -> Result<Vec<u8>, CallError> {
    let mut host = vec![0; bytes];
    if bytes > 0 {
        // SAFETY: the host's vector is alive, and not looked at, until the stream has been waited for.
        unsafe {
            call!(driver::cuMemcpyDtoHAsync_v2(host.as_mut_ptr().cast(), address, bytes, stream.handle()))?;
        }
    }
    stream.synchronize()?;
    Ok(host)
}

/// Zeroes device memory, in the stream's order.
pub fn zero(stream: &Stream, address: u64, bytes: usize) -> Result<(), CallError> {
    if bytes > 0 {
        // SAFETY: names memory of the device, none of the host's.
        unsafe { call!(driver::cuMemsetD8Async(address, 0, bytes, stream.handle())) }?;
    }
    Ok(())
}

/// Fills device memory with a pattern over and over; returns when it is there.
pub fn repeat(stream: &Stream, address: u64, bytes: usize, pattern: &[u8]) -> Result<(), CallError> {
    let mut filled = bytes.min(pattern.len());
    write(stream, address, &pattern[..filled])?;
    while filled < bytes {
        let more = filled.min(bytes - filled);
        copy(stream, address, address + filled as u64, more)?;
        filled += more;
    }
    stream.synchronize()
}

/// Enqueues a copy within device memory.
pub fn copy(stream: &Stream, from: u64, to: u64, bytes: usize) -> Result<(), CallError> {
    stream.count(1);
    // SAFETY: names memory of the device, none of the host's.
    unsafe { call!(driver::cuMemcpyDtoDAsync_v2(to, from, bytes, stream.handle())) }
}

/// One word of host memory that the device sees.
pub struct Flag {
    host: *mut u32,
    device: u64,
}

// SAFETY: the word is only touched as an atomic.
unsafe impl Send for Flag {}
// SAFETY: as above.
unsafe impl Sync for Flag {}

impl Flag {
    const DEVICEMAP: u32 = 2;

    /// A word that is one.
    pub fn new() -> Result<Flag, CallError> {
        let (mut host, mut device): (*mut c_void, u64) = (std::ptr::null_mut(), 0);
        // SAFETY: an out-pointer to a local.
        unsafe { call!(driver::cuMemHostAlloc(&mut host, size_of::<u32>(), Flag::DEVICEMAP)) }?;
        let mut flag = Flag { host: host.cast(), device: 0 };
        flag.set(1);
        // SAFETY: an out-pointer to a local, and the word just allocated.
        unsafe { call!(driver::cuMemHostGetDevicePointer_v2(&mut device, host, 0)) }?;
        flag.device = device;
        Ok(flag)
    }

    /// The word's address on the device.
    pub fn device_address(&self) -> u64 {
        self.device
    }

    /// Writes the word.
    pub fn set(&self, value: u32) {
        // SAFETY: four aligned bytes, alive until this is dropped, touched as an atomic alone.
        unsafe { AtomicU32::from_ptr(self.host) }.store(value, Ordering::Release);
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        // SAFETY: allocated in `new`, and freed nowhere else. Nothing can be done about a failure.
        let _ = unsafe { call!(driver::cuMemFreeHost(self.host.cast())) };
    }
}
