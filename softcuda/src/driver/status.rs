//! CUresult: names, texts, and which ones faults may ask for.

use crate::export::Status;
use cudarc::driver::sys::CUresult::{self, *};
use std::collections::HashMap;
use std::ffi::{CString, c_char};
use std::sync::{LazyLock, Mutex};

impl Status for CUresult {
    const SUCCESS: Self = CUDA_SUCCESS;
    const LOST: Self = CUDA_ERROR_DEVICE_UNAVAILABLE;
    const NULL: Self = CUDA_ERROR_INVALID_VALUE;
    const KNOWN: &[Self] = &[
        CUDA_SUCCESS,
        CUDA_ERROR_INVALID_VALUE,
        CUDA_ERROR_OUT_OF_MEMORY,
        CUDA_ERROR_NOT_INITIALIZED,
        CUDA_ERROR_DEVICE_UNAVAILABLE,
        CUDA_ERROR_NO_DEVICE,
        CUDA_ERROR_INVALID_DEVICE,
        CUDA_ERROR_INVALID_IMAGE,
        CUDA_ERROR_INVALID_CONTEXT,
        CUDA_ERROR_NO_BINARY_FOR_GPU,
        CUDA_ERROR_ECC_UNCORRECTABLE,
        CUDA_ERROR_INVALID_PTX,
        CUDA_ERROR_JIT_COMPILER_NOT_FOUND,
        CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
        CUDA_ERROR_INVALID_HANDLE,
        CUDA_ERROR_NOT_FOUND,
        CUDA_ERROR_NOT_READY,
        CUDA_ERROR_ILLEGAL_ADDRESS,
        CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
        CUDA_ERROR_LAUNCH_TIMEOUT,
        CUDA_ERROR_MISALIGNED_ADDRESS,
        CUDA_ERROR_LAUNCH_FAILED,
        CUDA_ERROR_NOT_PERMITTED,
        CUDA_ERROR_NOT_SUPPORTED,
        CUDA_ERROR_UNKNOWN,
    ];
    fn number(self) -> i64 {
        self as i64
    }
}

/// A C string that lives forever, one per text.
pub fn forever(text: String) -> *const c_char {
    static TEXTS: LazyLock<Mutex<HashMap<String, CString>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(|e| e.into_inner());
    let entry = texts.entry(text.clone()).or_insert_with(|| CString::new(text).unwrap_or_default());
    entry.as_ptr()
}

/// `CUDA_ERROR_OUT_OF_MEMORY` in words: "out of memory".
pub fn words(status: CUresult) -> String {
    let name = format!("{status:?}");
    name.trim_start_matches("CUDA_ERROR_").trim_start_matches("CUDA_").to_lowercase().replace('_', " ")
}
