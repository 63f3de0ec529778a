//! Device, context and errors.

use super::status::{forever, words};
use super::{CURRENT, current_context, ready};
use crate::export::{export, export_unchecked, put, put_text};
use crate::settings::SETTINGS;
use crate::{memory, report, stream};
use cudarc::driver::sys::{self, CUcontext, CUdevice, CUdevice_attribute, CUresult, CUuuid};
use std::ffi::{c_char, c_int, c_uint};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

pub const NAME: &str = "softcuda (software CUDA device)";

static INITIALIZED: AtomicBool = AtomicBool::new(false);
static RETAINED: Mutex<Vec<CUdevice>> = Mutex::new(Vec::new());

/// Contexts are numbers: 0x1000 + the device.
fn context_of(device: CUdevice) -> CUcontext {
    (0x1000 + device as usize) as CUcontext
}

fn device(device: CUdevice) -> Result<(), CUresult> {
    if !INITIALIZED.load(Ordering::Relaxed) {
        return Err(CUresult::CUDA_ERROR_NOT_INITIALIZED);
    }
    if (0..SETTINGS.devices as i32).contains(&device) { Ok(()) } else { Err(CUresult::CUDA_ERROR_INVALID_DEVICE) }
}

/// The 16 bytes of a device's UUID; NVML says the same in text.
pub fn uuid(device: u32) -> [u8; 16] {
    let mut bytes = *b"softcuda-device\0";
    bytes[15] = device as u8;
    bytes
}

/// Modelled on an A100, but small.
fn attribute(which: CUdevice_attribute) -> c_int {
    use sys::CUdevice_attribute_enum::*;
    match which {
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR => SETTINGS.capability.0,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR => SETTINGS.capability.1,
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT => 1,
        CU_DEVICE_ATTRIBUTE_WARP_SIZE => 32,
        CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK
        | CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X
        | CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y => 1024,
        CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z => 64,
        CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X => i32::MAX,
        CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y | CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z => 65535,
        CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK => 49152,
        CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR => 2048,
        CU_DEVICE_ATTRIBUTE_CLOCK_RATE => 1_410_000,
        CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE => 1_215_000,
        CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH => 5120,
        CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE => 8 << 20,
        CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED => SETTINGS.memory_pools.into(),
        CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1 | CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS => {
            SETTINGS.stream_memory_ops.into()
        }
        CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING
        | CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY
        | CU_DEVICE_ATTRIBUTE_ECC_ENABLED
        | CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS => 1,
        CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT => 2,
        CU_DEVICE_ATTRIBUTE_PCI_BUS_ID => 0x5c,
        _ => 0,
    }
}

pub fn version() -> c_int {
    SETTINGS.driver.0 * 1000 + SETTINGS.driver.1 * 10
}

fn contexts_left() -> Vec<String> {
    let retained = RETAINED.lock().unwrap_or_else(|e| e.into_inner());
    retained.iter().map(|device| format!("the primary context of device {device}")).collect()
}

export! { CALLS: "cuda", sys, CUresult;
fn cuInit(_flags: c_uint) {
    if SETTINGS.no_device {
        return Err(CUresult::CUDA_ERROR_NO_DEVICE);
    }
    INITIALIZED.store(true, Ordering::Relaxed);
    report::at_exit(memory::leaks);
    report::at_exit(stream::leaks);
    report::at_exit(contexts_left);
    Ok(())
}
fn cuDriverGetVersion(version: *mut c_int) {
    put(version, self::version())
}
fn cuDeviceGetCount(count: *mut c_int) {
    put(count, SETTINGS.devices as c_int)
}
fn cuDeviceGet(to: *mut CUdevice, ordinal: c_int) {
    device(ordinal)?;
    put(to, ordinal)
}
fn cuDeviceGetName(name: *mut c_char, size: c_int, of: CUdevice) {
    device(of)?;
    put_text(name, size as usize, NAME);
    Ok(())
}
fn cuDeviceGetUuid_v2(to: *mut CUuuid, of: CUdevice) {
    device(of)?;
    put(to, CUuuid { bytes: uuid(of as u32).map(|b| b as c_char) })
}
fn cuDeviceGetPCIBusId(to: *mut c_char, size: c_int, of: CUdevice) {
    device(of)?;
    put_text(to, size as usize, &format!("0000:{:02X}:00.0", 0x5c + of));
    Ok(())
}
fn cuDeviceTotalMem_v2(bytes: *mut usize, of: CUdevice) {
    device(of)?;
    put(bytes, SETTINGS.memory as usize)
}
fn cuDeviceGetAttribute(to: *mut c_int, which: CUdevice_attribute, of: CUdevice) {
    device(of)?;
    put(to, attribute(which))
}
fn cuDevicePrimaryCtxRetain(to: *mut CUcontext, of: CUdevice) {
    device(of)?;
    RETAINED.lock().unwrap_or_else(|e| e.into_inner()).push(of);
    put(to, context_of(of))
}
fn cuDevicePrimaryCtxRelease_v2(of: CUdevice) {
    device(of)?;
    let mut retained = RETAINED.lock().unwrap_or_else(|e| e.into_inner());
    match retained.iter().position(|&d| d == of) {
        Some(i) => { retained.swap_remove(i); Ok(()) }
        None => Err(CUresult::CUDA_ERROR_INVALID_CONTEXT),
    }
}
fn cuCtxGetCurrent(to: *mut CUcontext) {
    put(to, current_context())
}
fn cuCtxSetCurrent(context: CUcontext) {
    CURRENT.set(context as usize);
    Ok(())
}
fn cuCtxGetDevice(to: *mut CUdevice) {
    ready()?;
    put(to, (current_context() as usize - 0x1000) as CUdevice)
}
fn cuCtxSetFlags(_flags: c_uint) {
    ready()
}
fn cuCtxSynchronize() {
    ready()?;
    stream::synchronize_all()
}
fn cuCtxGetStreamPriorityRange(least: *mut c_int, greatest: *mut c_int) {
    ready()?;
    put(least, 0)?;
    put(greatest, -1)
}
fn cuGetErrorName(error: CUresult, to: *mut *const c_char) {
    put(to, forever(format!("{error:?}")))
}
fn cuGetErrorString(error: CUresult, to: *mut *const c_char) {
    put(to, forever(words(error)))
}
}

export_unchecked! { OLD_CALLS: "cuda", CUresult;
/// These two are for programs built for older CUDA versions.
fn cuDeviceGetUuid(to: *mut CUuuid, of: CUdevice) {
    device(of)?;
    put(to, CUuuid { bytes: uuid(of as u32).map(|b| b as c_char) })
}
fn cuDevicePrimaryCtxRelease(of: CUdevice) {
    cuDevicePrimaryCtxRelease_v2(of);
    Ok(())
}
}
