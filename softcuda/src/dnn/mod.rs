//! libcudnn: descriptors, convolution, pooling, activation, softmax, LRN, batch normalisation and tensor sums.
//!
//! Every operation reads its tensors into f32 in N,C,H,W order, computes, and writes `alpha * result + beta * old` in the
//! descriptor's own layout and type. Descriptor checks answer as the real library's do (`tests/descriptors.rs`).

mod activation;
mod algorithm;
mod backend;
mod batchnorm;
mod convolution;
mod descriptor;
mod filter;
mod handle;
mod im2col;
mod lrn;
mod ops;
mod pooling;
mod tensor;
#[cfg(test)]
mod tests;

use crate::export::{Status, current};
use crate::stream::{self, Failure, Work};
use crate::{memory, report};
use cudarc::cudnn::sys::cudnnStatus_t::{self, *};
use std::ffi::c_void;

type Result<T> = std::result::Result<T, cudnnStatus_t>;

impl Status for cudnnStatus_t {
    const SUCCESS: Self = CUDNN_STATUS_SUCCESS;
    const LOST: Self = CUDNN_STATUS_EXECUTION_FAILED_CUDART;
    const NULL: Self = CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    const KNOWN: &[Self] = &[
        CUDNN_STATUS_SUCCESS,
        CUDNN_STATUS_NOT_INITIALIZED,
        CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH,
        CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED,
        CUDNN_STATUS_BAD_PARAM,
        CUDNN_STATUS_BAD_PARAM_NULL_POINTER,
        CUDNN_STATUS_NOT_SUPPORTED,
        CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH,
        CUDNN_STATUS_INTERNAL_ERROR,
        CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED,
        CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED,
        CUDNN_STATUS_EXECUTION_FAILED,
        CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER,
        CUDNN_STATUS_EXECUTION_FAILED_CUBLAS,
        CUDNN_STATUS_EXECUTION_FAILED_CUDART,
    ];
    fn number(self) -> i64 {
        self as i64
    }
}

/// alpha and beta of an operation: result = alpha * computed + beta * old.
#[derive(Clone, Copy)]
struct Blend {
    alpha: f32,
    beta: f32,
}

impl Blend {
    /// # Safety
    /// Both are null or point to an f32 on the host.
    unsafe fn new(alpha: *const c_void, beta: *const c_void) -> Result<Self> {
        if alpha.is_null() || beta.is_null() {
            return Err(CUDNN_STATUS_BAD_PARAM);
        }
        // SAFETY: not null, hence valid.
        unsafe { Ok(Blend { alpha: alpha.cast::<f32>().read(), beta: beta.cast::<f32>().read() }) }
    }
    const PLAIN: Blend = Blend { alpha: 1.0, beta: 0.0 };
}

/// Refuses with a finding that says why.
fn refuse<T>(status: cudnnStatus_t, why: impl std::fmt::Display) -> Result<T> {
    report::finding(&format!("{}: {why}", current()));
    Err(status)
}

/// Buffers that an operation needs, checked before it is queued: address and bytes.
fn check_buffers(buffers: &[(u64, usize)]) -> Result<()> {
    for &(address, bytes) in buffers {
        if let Err(what) = memory::find(address, bytes as u64) {
            return refuse(CUDNN_STATUS_BAD_PARAM, what);
        }
    }
    Ok(())
}

/// Queues an operation under the name of the call.
fn enqueue(stream: u64, work: impl FnOnce() -> std::result::Result<(), String> + Send + 'static) -> Result<()> {
    let work: Work = Box::new(move || work().map_err(Failure::address));
    stream::enqueue(stream, current(), work).map_err(|_| CUDNN_STATUS_EXECUTION_FAILED)
}
