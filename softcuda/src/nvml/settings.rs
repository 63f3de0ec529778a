//! Start, stop, and what changes settings.

use super::{NAMES, nvml, state};
use crate::export::{export_plain_unchecked, export_unchecked};
use crate::report;
use crate::settings::SETTINGS;
use nvml_wrapper_sys::bindings::*;
use std::ffi::{c_char, c_uint};

fn start() -> Result<(), nvmlReturn_t> {
    if SETTINGS.no_device {
        return Err(nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED);
    }
    report::at_exit(state::left_locked);
    Ok(())
}

nvml! { CALLS;
fn nvmlInit_v2() {
    start()
}
fn nvmlShutdown() {
    Ok(())
}
fn nvmlDeviceSetGpuLockedClocks(_device: nvmlDevice_t, low: c_uint, high: c_uint) {
    state::lock_sm(low, high)
}
fn nvmlDeviceResetGpuLockedClocks(_device: nvmlDevice_t) {
    state::unlock_sm()
}
fn nvmlDeviceSetMemoryLockedClocks(_device: nvmlDevice_t, low: c_uint, high: c_uint) {
    state::lock_memory(low, high)
}
fn nvmlDeviceResetMemoryLockedClocks(_device: nvmlDevice_t) {
    state::unlock_memory()
}
fn nvmlDeviceSetPersistenceMode(_device: nvmlDevice_t, _mode: nvmlEnableState_t) {
    state::permitted()
}
}

export_unchecked! { MORE_CALLS: "nvml", nvmlReturn_t;
fn nvmlInitWithFlags(_flags: c_uint) {
    start()
}
}

export_plain_unchecked! { PLAIN_CALLS: "nvml";
fn nvmlErrorString(code: nvmlReturn_t) -> *const c_char {
    let text = NAMES.iter().find(|(known, ..)| *known == code).map_or("Unknown Error", |(_, _, text)| text);
    crate::driver::forever(text.to_string())
}
}
