//! What only reads.

use super::state::{self, MEMORY_MAX, SM_BASE, SM_MAX, STEP};
use super::{Code, INSUFFICIENT_SIZE, INVALID_ARGUMENT, NOT_FOUND, nvml};
use crate::driver::{DEVICE_NAME, uuid};
use crate::export::{self, put_text};
use crate::memory;
use crate::settings::SETTINGS;
use nvml_wrapper_sys::bindings::*;
use std::ffi::{CStr, c_char, c_int, c_uint, c_ulonglong};

/// Device handles are numbers: 0x2000 + the index.
const FIRST: usize = 0x2000;

fn device(index: u32) -> Result<nvmlDevice_t, Code> {
    if index >= SETTINGS.devices {
        return Err(INVALID_ARGUMENT);
    }
    Ok((FIRST + index as usize) as nvmlDevice_t)
}

fn index_of(device: nvmlDevice_t) -> u32 {
    (device as usize - FIRST) as u32
}

/// NVML counts in the order of the bus, CUDA from the fastest on: here one is the other's reverse.
fn cuda_index(index: u32) -> u32 {
    SETTINGS.devices - 1 - index
}

/// # Safety
/// `to` is null or valid for a write.
unsafe fn put<T>(to: *mut T, value: T) -> Result<(), Code> {
    // SAFETY: the caller's promise.
    unsafe { export::put(to, value) }
}

/// `GPU-` and the driver's UUID in groups.
fn uuid_text(index: u32) -> String {
    let hex: String = uuid(cuda_index(index)).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("GPU-{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn bus_id(index: u32) -> String {
    format!("00000000:{:02X}:00.0", 0x5c + cuda_index(index))
}

/// # Safety
/// `to` is valid for `size` bytes.
unsafe fn text(to: *mut c_char, size: c_uint, value: &str) -> Result<(), Code> {
    if value.len() >= size as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: the caller's promise.
    unsafe { put_text(to, size as usize, value) };
    Ok(())
}

/// A list into the caller's array, or its length where the array is too small.
///
/// # Safety
/// `count` is valid, and `to` holds `*count` items or is null.
unsafe fn list<T: Copy>(count: *mut c_uint, to: *mut T, items: &[T]) -> Result<(), Code> {
    // SAFETY: the caller's promise.
    unsafe {
        let room = *count as usize;
        *count = items.len() as c_uint;
        if room < items.len() || (to.is_null() && !items.is_empty()) {
            return Err(INSUFFICIENT_SIZE);
        }
        if !items.is_empty() {
            std::ptr::copy_nonoverlapping(items.as_ptr(), to, items.len());
        }
    }
    Ok(())
}

fn find(text: *const c_char, name: impl Fn(u32) -> String) -> Result<nvmlDevice_t, Code> {
    // SAFETY: the C caller's string.
    let wanted = unsafe { CStr::from_ptr(text) }.to_string_lossy().to_lowercase();
    let found = (0..SETTINGS.devices).find(|&i| name(i).to_lowercase().ends_with(&wanted));
    found.map_or(Err(NOT_FOUND), device)
}

fn is_memory(clock: nvmlClockType_t) -> bool {
    clock == nvmlClockType_enum_NVML_CLOCK_MEM
}

/// This process, and as many others as asked for.
fn processes() -> Vec<nvmlProcessInfo_t> {
    let own = (std::process::id(), memory::used());
    let others = (0..SETTINGS.others).map(|i| (900_001 + i, 1 << 30));
    let info = |(pid, bytes)| nvmlProcessInfo_t {
        pid,
        usedGpuMemory: bytes,
        gpuInstanceId: u32::MAX,
        computeInstanceId: u32::MAX,
    };
    std::iter::once(own).chain(others).map(info).collect()
}

nvml! { CALLS;
fn nvmlSystemGetDriverVersion(to: *mut c_char, size: c_uint) {
    text(to, size, "580.00.softcuda")
}
fn nvmlSystemGetNVMLVersion(to: *mut c_char, size: c_uint) {
    text(to, size, "13.580.00.softcuda")
}
fn nvmlSystemGetCudaDriverVersion_v2(to: *mut c_int) {
    put(to, SETTINGS.driver.0 * 1000 + SETTINGS.driver.1 * 10)
}
fn nvmlSystemGetProcessName(pid: c_uint, to: *mut c_char, size: c_uint) {
    text(to, size, if pid == std::process::id() { "this process" } else { "somebody-else" })
}
fn nvmlDeviceGetCount_v2(to: *mut c_uint) {
    put(to, SETTINGS.devices)
}
fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, to: *mut nvmlDevice_t) {
    put(to, device(index)?)
}
fn nvmlDeviceGetHandleByUUID(uuid: *const c_char, to: *mut nvmlDevice_t) {
    put(to, find(uuid, uuid_text)?)
}
fn nvmlDeviceGetHandleByPciBusId_v2(id: *const c_char, to: *mut nvmlDevice_t) {
    put(to, find(id, bus_id)?)
}
fn nvmlDeviceGetIndex(device: nvmlDevice_t, to: *mut c_uint) {
    put(to, index_of(device))
}
fn nvmlDeviceGetName(_device: nvmlDevice_t, to: *mut c_char, size: c_uint) {
    text(to, size, DEVICE_NAME)
}
fn nvmlDeviceGetUUID(device: nvmlDevice_t, to: *mut c_char, size: c_uint) {
    text(to, size, &uuid_text(index_of(device)))
}
fn nvmlDeviceGetCudaComputeCapability(_device: nvmlDevice_t, major: *mut c_int, minor: *mut c_int) {
    put(major, SETTINGS.capability.0)?;
    put(minor, SETTINGS.capability.1)
}
fn nvmlDeviceGetPciInfo_v3(device: nvmlDevice_t, to: *mut nvmlPciInfo_t) {
    let mut info: nvmlPciInfo_t = std::mem::zeroed();
    info.bus = 0x5c + cuda_index(index_of(device));
    put_text(info.busId.as_mut_ptr(), info.busId.len(), &bus_id(index_of(device)));
    put(to, info)
}
fn nvmlDeviceGetClockInfo(_device: nvmlDevice_t, clock: nvmlClockType_t, to: *mut c_uint) {
    put(to, if is_memory(clock) { state::memory_mhz() } else { state::sm_mhz() })
}
fn nvmlDeviceGetMaxClockInfo(_device: nvmlDevice_t, clock: nvmlClockType_t, to: *mut c_uint) {
    put(to, if is_memory(clock) { MEMORY_MAX } else { SM_MAX })
}
fn nvmlDeviceGetClock(_device: nvmlDevice_t, clock: nvmlClockType_t, id: nvmlClockId_t, to: *mut c_uint) {
    let now = id == nvmlClockId_enum_NVML_CLOCK_ID_CURRENT;
    put(to, match (is_memory(clock), now) {
        (true, true) => state::memory_mhz(),
        (true, false) => MEMORY_MAX,
        (false, true) => state::sm_mhz(),
        (false, false) => SM_BASE,
    })
}
fn nvmlDeviceGetApplicationsClock(_device: nvmlDevice_t, clock: nvmlClockType_t, to: *mut c_uint) {
    put(to, if is_memory(clock) { MEMORY_MAX } else { SM_BASE })
}
fn nvmlDeviceGetDefaultApplicationsClock(_device: nvmlDevice_t, clock: nvmlClockType_t, to: *mut c_uint) {
    put(to, if is_memory(clock) { MEMORY_MAX } else { SM_BASE })
}
fn nvmlDeviceGetSupportedMemoryClocks(_device: nvmlDevice_t, count: *mut c_uint, to: *mut c_uint) {
    list(count, to, &[MEMORY_MAX])
}
fn nvmlDeviceGetSupportedGraphicsClocks(_device: nvmlDevice_t, memory: c_uint, count: *mut c_uint, to: *mut c_uint) {
    if memory != MEMORY_MAX {
        return Err(NOT_FOUND);
    }
    list(count, to, &(210 / STEP..=SM_MAX / STEP).rev().map(|i| i * STEP).collect::<Vec<c_uint>>())
}
fn nvmlDeviceGetCurrentClocksThrottleReasons(_device: nvmlDevice_t, to: *mut c_ulonglong) {
    put(to, state::event_reasons())
}
fn nvmlDeviceGetCurrentClocksEventReasons(_device: nvmlDevice_t, to: *mut c_ulonglong) {
    put(to, state::event_reasons())
}
fn nvmlDeviceGetSupportedClocksThrottleReasons(_device: nvmlDevice_t, to: *mut c_ulonglong) {
    put(to, 0x1ff)
}
fn nvmlDeviceGetTemperature(_device: nvmlDevice_t, _sensor: nvmlTemperatureSensors_t, to: *mut c_uint) {
    put(to, 41)
}
fn nvmlDeviceGetTemperatureThreshold(_device: nvmlDevice_t, _which: nvmlTemperatureThresholds_t, to: *mut c_uint) {
    put(to, 92)
}
fn nvmlDeviceGetPowerUsage(_device: nvmlDevice_t, to: *mut c_uint) {
    put(to, 52_000)
}
fn nvmlDeviceGetEnforcedPowerLimit(_device: nvmlDevice_t, to: *mut c_uint) {
    put(to, state::power_limit())
}
fn nvmlDeviceGetPowerManagementLimit(_device: nvmlDevice_t, to: *mut c_uint) {
    put(to, 400_000)
}
fn nvmlDeviceGetPowerManagementDefaultLimit(_device: nvmlDevice_t, to: *mut c_uint) {
    put(to, 400_000)
}
fn nvmlDeviceGetPowerManagementLimitConstraints(_device: nvmlDevice_t, low: *mut c_uint, high: *mut c_uint) {
    put(low, 100_000)?;
    put(high, 400_000)
}
fn nvmlDeviceGetTotalEnergyConsumption(_device: nvmlDevice_t, to: *mut c_ulonglong) {
    put(to, crate::clock::now_ns() / 1_000_000 * 52)
}
fn nvmlDeviceGetPersistenceMode(_device: nvmlDevice_t, to: *mut nvmlEnableState_t) {
    put(to, 1)
}
fn nvmlDeviceGetEccMode(_device: nvmlDevice_t, current: *mut nvmlEnableState_t, pending: *mut nvmlEnableState_t) {
    put(current, 1)?;
    put(pending, 1)
}
fn nvmlDeviceGetMigMode(_device: nvmlDevice_t, current: *mut c_uint, pending: *mut c_uint) {
    put(current, 0)?;
    put(pending, 0)
}
fn nvmlDeviceGetComputeMode(_device: nvmlDevice_t, to: *mut nvmlComputeMode_t) {
    put(to, nvmlComputeMode_enum_NVML_COMPUTEMODE_DEFAULT)
}
fn nvmlDeviceGetPerformanceState(_device: nvmlDevice_t, to: *mut nvmlPstates_t) {
    put(to, nvmlPStates_enum_NVML_PSTATE_0)
}
fn nvmlDeviceGetAutoBoostedClocksEnabled(_device: nvmlDevice_t, now: *mut nvmlEnableState_t, default: *mut nvmlEnableState_t) {
    put(now, 0)?;
    put(default, 0)?;
    Err(nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED)
}
fn nvmlDeviceGetMemoryInfo(_device: nvmlDevice_t, to: *mut nvmlMemory_t) {
    let used = memory::used();
    put(to, nvmlMemory_t { total: SETTINGS.memory, free: SETTINGS.memory - used, used })
}
fn nvmlDeviceGetUtilizationRates(_device: nvmlDevice_t, to: *mut nvmlUtilization_t) {
    put(to, nvmlUtilization_t { gpu: 0, memory: 0 })
}
fn nvmlDeviceGetComputeRunningProcesses_v3(_device: nvmlDevice_t, count: *mut c_uint, to: *mut nvmlProcessInfo_t) {
    list(count, to, &processes())
}
fn nvmlDeviceGetGraphicsRunningProcesses_v3(_device: nvmlDevice_t, count: *mut c_uint, to: *mut nvmlProcessInfo_t) {
    list(count, to, &[])
}
}
