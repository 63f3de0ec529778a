//! Allocation, copies and fills.

use super::ready;
use crate::export::{current, export, put};
use crate::settings::SETTINGS;
use crate::stream::{self, DEFAULT, Failure};
use crate::{memory, report};
use cudarc::driver::sys::{self, CUdeviceptr, CUresult, CUstream};
use std::ffi::{c_uint, c_void};

fn allocate(to: *mut CUdeviceptr, size: usize) -> Result<(), CUresult> {
    ready()?;
    if size == 0 {
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    let address = match memory::allocate(size, SETTINGS.memory) {
        Some(address) => address,
        None => {
            // frees may be queued
            stream::synchronize_all()?;
            memory::allocate(size, SETTINGS.memory).ok_or(CUresult::CUDA_ERROR_OUT_OF_MEMORY)?
        }
    };
    // SAFETY: the C caller's out-pointer.
    unsafe { put(to, address) }
}

/// Frees; after an error that sticks the memory goes all the same, but the call reports the error, as a GPU's does.
fn free(address: u64) -> Result<(), CUresult> {
    if address == 0 {
        return stream::check();
    }
    let freed = memory::free(address).map_err(|finding| {
        report::in_call(finding);
        CUresult::CUDA_ERROR_INVALID_VALUE
    });
    stream::check().and(freed)
}

/// A host address that device work may use at any later time.
fn is_pinned(host: u64, size: usize) -> bool {
    memory::find(host, size as u64).is_ok()
}

fn copy_to_device(to: u64, from: *const c_void, size: usize) -> Result<stream::Work, CUresult> {
    check_range(to, size)?;
    if is_pinned(from as u64, size) {
        return copy_on_device(to, from as u64, size);
    }
    // SAFETY: pageable memory is staged at once, while the caller vouches for it.
    let staged = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), size) }.to_vec();
    Ok(Box::new(move || {
        let to = memory::writable(to, size).map_err(Failure::address)?;
        // SAFETY: both are `size` bytes.
        unsafe { std::ptr::copy_nonoverlapping(staged.as_ptr(), to, size) };
        Ok(())
    }))
}

/// A copy between any two places that the device sees. What was not written before is not written after.
fn copy_on_device(to: u64, from: u64, size: usize) -> Result<stream::Work, CUresult> {
    check_range(to, size)?;
    check_range(from, size)?;
    Ok(Box::new(move || {
        let (target, source) = (
            memory::find(to, size as u64).map_err(Failure::address)?,
            memory::find(from, size as u64).map_err(Failure::address)?,
        );
        // SAFETY: both regions hold `size` bytes.
        unsafe { std::ptr::copy(source.host(from), target.host(to), size) };
        target.copy_written(to, source, from, size as u64);
        Ok(())
    }))
}

/// A copy that nobody may look at before it has run: pinned memory shows NaN until then.
fn copy_to_host(to: *mut c_void, from: u64, size: usize, on: CUstream) -> Result<(), CUresult> {
    check_range(from, size)?;
    let host = to as u64;
    let work: stream::Work = Box::new(move || {
        let from = memory::readable(from, size).map_err(Failure::address)?;
        // SAFETY: the caller vouches for the host buffer until the copy has run.
        unsafe { std::ptr::copy(from, host as *mut u8, size) };
        Ok(())
    });
    let pinned = is_pinned(host, size);
    if pinned {
        // SAFETY: as above.
        unsafe { std::ptr::write_bytes(to.cast::<u8>(), 0xff, size) };
    }
    stream::enqueue(on as u64, current(), work)?;
    // to pageable memory the driver returns only when the copy is complete
    if pinned { Ok(()) } else { stream::synchronize(on as u64) }
}

fn check_range(address: u64, size: usize) -> Result<(), CUresult> {
    match memory::find(address, size as u64) {
        _ if size == 0 => Ok(()),
        Ok(_) => Ok(()),
        Err(finding) => {
            report::in_call(finding);
            Err(CUresult::CUDA_ERROR_INVALID_VALUE)
        }
    }
}

fn fill(address: u64, size: usize, pattern: &[u8]) -> Result<stream::Work, CUresult> {
    check_range(address, size)?;
    let pattern = pattern.to_vec();
    Ok(Box::new(move || {
        let to = memory::writable(address, size).map_err(Failure::address)?;
        // SAFETY: `size` bytes of device memory.
        let bytes = unsafe { std::slice::from_raw_parts_mut(to, size) };
        bytes.chunks_mut(pattern.len()).for_each(|chunk| chunk.copy_from_slice(&pattern[..chunk.len()]));
        Ok(())
    }))
}

/// On the default stream, and waited for.
fn blocking(work: stream::Work) -> Result<(), CUresult> {
    stream::synchronize_default()?;
    stream::enqueue(DEFAULT, current(), work)?;
    stream::synchronize(DEFAULT)
}

fn queued(on: CUstream, work: stream::Work) -> Result<(), CUresult> {
    stream::enqueue(on as u64, current(), work)
}

export! { CALLS: "cuda", sys, CUresult;
fn cuMemGetInfo_v2(free: *mut usize, total: *mut usize) {
    ready()?;
    put(free, (SETTINGS.memory - memory::used()) as usize)?;
    put(total, SETTINGS.memory as usize)
}
fn cuMemAlloc_v2(to: *mut CUdeviceptr, size: usize) {
    allocate(to, size)
}
fn cuMemFree_v2(address: CUdeviceptr) {
    // a free waits for the device; the error of what ran meanwhile is the free's
    let _ = stream::synchronize_all();
    free(address)
}
fn cuMemAllocAsync(to: *mut CUdeviceptr, size: usize, _on: CUstream) {
    allocate(to, size)
}
fn cuMemFreeAsync(address: CUdeviceptr, on: CUstream) {
    if stream::check().is_err() {
        return free(address);
    }
    check_range(address, 1)?;
    stream::enqueue(on as u64, current(), Box::new(move || {
        memory::free(address).map_err(|finding| Failure { status: CUresult::CUDA_ERROR_INVALID_VALUE, finding })
    }))
}
fn cuMemHostAlloc(to: *mut *mut c_void, size: usize, _flags: c_uint) {
    ready()?;
    put(to, memory::allocate_pinned(size).ok_or(CUresult::CUDA_ERROR_OUT_OF_MEMORY)?.cast())
}
fn cuMemAllocHost_v2(to: *mut *mut c_void, size: usize) {
    ready()?;
    put(to, memory::allocate_pinned(size).ok_or(CUresult::CUDA_ERROR_OUT_OF_MEMORY)?.cast())
}
fn cuMemFreeHost(p: *mut c_void) {
    let _ = stream::synchronize_all();
    free(p as u64)
}
fn cuMemHostGetDevicePointer_v2(to: *mut CUdeviceptr, p: *mut c_void, _flags: c_uint) {
    ready()?;
    check_range(p as u64, 1)?;
    put(to, p as u64)
}
fn cuMemcpyHtoD_v2(to: CUdeviceptr, from: *const c_void, size: usize) {
    ready()?;
    blocking(copy_to_device(to, from, size)?)
}
fn cuMemcpyHtoDAsync_v2(to: CUdeviceptr, from: *const c_void, size: usize, on: CUstream) {
    ready()?;
    queued(on, copy_to_device(to, from, size)?)
}
fn cuMemcpyDtoH_v2(to: *mut c_void, from: CUdeviceptr, size: usize) {
    ready()?;
    stream::synchronize_default()?;
    copy_to_host(to, from, size, DEFAULT as CUstream)?;
    stream::synchronize(DEFAULT)
}
fn cuMemcpyDtoHAsync_v2(to: *mut c_void, from: CUdeviceptr, size: usize, on: CUstream) {
    ready()?;
    copy_to_host(to, from, size, on)
}
fn cuMemcpyDtoD_v2(to: CUdeviceptr, from: CUdeviceptr, size: usize) {
    ready()?;
    blocking(copy_on_device(to, from, size)?)
}
fn cuMemcpyDtoDAsync_v2(to: CUdeviceptr, from: CUdeviceptr, size: usize, on: CUstream) {
    ready()?;
    queued(on, copy_on_device(to, from, size)?)
}
fn cuMemcpyAsync(to: CUdeviceptr, from: CUdeviceptr, size: usize, on: CUstream) {
    ready()?;
    queued(on, copy_on_device(to, from, size)?)
}
fn cuMemsetD8_v2(to: CUdeviceptr, value: u8, count: usize) {
    ready()?;
    blocking(fill(to, count, &[value])?)
}
fn cuMemsetD8Async(to: CUdeviceptr, value: u8, count: usize, on: CUstream) {
    ready()?;
    queued(on, fill(to, count, &[value])?)
}
fn cuMemsetD16Async(to: CUdeviceptr, value: u16, count: usize, on: CUstream) {
    ready()?;
    queued(on, fill(to, 2 * count, &value.to_le_bytes())?)
}
fn cuMemsetD32_v2(to: CUdeviceptr, value: c_uint, count: usize) {
    ready()?;
    blocking(fill(to, 4 * count, &value.to_le_bytes())?)
}
fn cuMemsetD32Async(to: CUdeviceptr, value: c_uint, count: usize, on: CUstream) {
    ready()?;
    queued(on, fill(to, 4 * count, &value.to_le_bytes())?)
}
}
