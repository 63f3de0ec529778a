//! libnvidia-ml: settings and health of the device. Clock locks are remembered; one left set at exit is reported.

mod query;
mod settings;
mod state;

use crate::export::{Export, Status};
use nvml_wrapper_sys::bindings::*;

/// What the library exports.
pub const EXPORTS: [&[Export]; 4] = [query::CALLS, settings::CALLS, settings::MORE_CALLS, settings::PLAIN_CALLS];

type Code = nvmlReturn_t;

const OK: Code = nvmlReturn_enum_NVML_SUCCESS;
const INVALID_ARGUMENT: Code = nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
const NOT_FOUND: Code = nvmlReturn_enum_NVML_ERROR_NOT_FOUND;
const INSUFFICIENT_SIZE: Code = nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;

/// Names for the codes, which the bindings declare as plain numbers.
const NAMES: [(Code, &str, &str); 12] = [
    (OK, "NVML_SUCCESS", "Success"),
    (nvmlReturn_enum_NVML_ERROR_UNINITIALIZED, "NVML_ERROR_UNINITIALIZED", "Uninitialized"),
    (INVALID_ARGUMENT, "NVML_ERROR_INVALID_ARGUMENT", "Invalid Argument"),
    (nvmlReturn_enum_NVML_ERROR_NOT_SUPPORTED, "NVML_ERROR_NOT_SUPPORTED", "Not Supported"),
    (nvmlReturn_enum_NVML_ERROR_NO_PERMISSION, "NVML_ERROR_NO_PERMISSION", "Insufficient Permissions"),
    (NOT_FOUND, "NVML_ERROR_NOT_FOUND", "Not Found"),
    (INSUFFICIENT_SIZE, "NVML_ERROR_INSUFFICIENT_SIZE", "Insufficient Size"),
    (nvmlReturn_enum_NVML_ERROR_DRIVER_NOT_LOADED, "NVML_ERROR_DRIVER_NOT_LOADED", "Driver Not Loaded"),
    (nvmlReturn_enum_NVML_ERROR_TIMEOUT, "NVML_ERROR_TIMEOUT", "Timeout"),
    (nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST, "NVML_ERROR_GPU_IS_LOST", "GPU is lost"),
    (
        nvmlReturn_enum_NVML_ERROR_LIB_RM_VERSION_MISMATCH,
        "NVML_ERROR_LIB_RM_VERSION_MISMATCH",
        "Driver/library version mismatch",
    ),
    (nvmlReturn_enum_NVML_ERROR_UNKNOWN, "NVML_ERROR_UNKNOWN", "Unknown Error"),
];

impl Status for Code {
    const SUCCESS: Self = OK;
    const LOST: Self = nvmlReturn_enum_NVML_ERROR_GPU_IS_LOST;
    const NULL: Self = INVALID_ARGUMENT;
    const KNOWN: &[Self] = &[];
    fn number(self) -> i64 {
        self.into()
    }
    fn parse(text: &str) -> Result<Self, String> {
        let named = NAMES.iter().find(|(code, name, _)| *name == text || code.to_string() == text);
        let known = || NAMES.map(|(_, name, _)| name).join(", ");
        named.map(|entry| entry.0).ok_or_else(|| format!("`{text}` is none of {}", known()))
    }
}

/// As `export!`: the bindings declare a function as a field of `NvmlLib`.
macro_rules! nvml {
    ($list:ident; $(fn $name:ident($($a:ident: $t:ty),* $(,)?) $body:block)*) => {
        $crate::export::export_unchecked! { $list: "nvml", nvml_wrapper_sys::bindings::nvmlReturn_t; $(fn $name($($a: $t),*) $body)* }
        $(const _: fn(&nvml_wrapper_sys::bindings::NvmlLib) -> Option<unsafe extern "C" fn($($t),*) -> nvml_wrapper_sys::bindings::nvmlReturn_t> =
            |library| library.$name.as_ref().ok().copied();)*
    };
}
use nvml;
