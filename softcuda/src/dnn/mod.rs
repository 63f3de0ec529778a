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

use crate::export::{Export, Status, current};
use crate::finding::Finding;
use crate::finding::FindingKind::{InvalidArgument, InvalidHandle, NotModelled};
use crate::stream::{self, Failure, Work};
use crate::{memory, report};
use cudarc::cudnn::sys::cudnnStatus_t::{self, *};
use std::ffi::c_void;

/// What the library exports.
pub const EXPORTS: [&[Export]; 19] = [
    handle::CALLS,
    handle::PLAIN_CALLS,
    tensor::DESCRIPTOR_CALLS,
    tensor::CALLS,
    filter::DESCRIPTOR_CALLS,
    filter::CALLS,
    convolution::DESCRIPTOR_CALLS,
    convolution::CALLS,
    algorithm::CALLS,
    pooling::DESCRIPTOR_CALLS,
    pooling::CALLS,
    activation::DESCRIPTOR_CALLS,
    activation::CALLS,
    lrn::DESCRIPTOR_CALLS,
    lrn::CALLS,
    batchnorm::CALLS,
    ops::DESCRIPTOR_CALLS,
    ops::CALLS,
    backend::CALLS,
];

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

/// Refuses what the real library refuses too, or what is not modelled, with a finding that says why.
fn refuse<T>(status: cudnnStatus_t, why: impl Into<String>) -> Result<T> {
    let kind = if status == CUDNN_STATUS_NOT_SUPPORTED { NotModelled } else { InvalidArgument };
    report::in_call(Finding::new(kind, why));
    Err(status)
}

/// Refuses a descriptor that does not exist, or was never set.
fn refuse_descriptor<T>(why: &str) -> Result<T> {
    report::in_call(Finding::new(InvalidHandle, why));
    Err(CUDNN_STATUS_BAD_PARAM)
}

/// Buffers that an operation needs, checked before it is queued: address and bytes.
fn check_buffers(buffers: &[(u64, usize)]) -> Result<()> {
    for &(address, bytes) in buffers {
        memory::find(address, bytes as u64).map_err(|finding| {
            report::in_call(finding);
            CUDNN_STATUS_BAD_PARAM
        })?;
    }
    Ok(())
}

/// Queues an operation under the name of the call.
fn enqueue(stream: u64, work: impl FnOnce() -> std::result::Result<(), Finding> + Send + 'static) -> Result<()> {
    let work: Work = Box::new(move || work().map_err(Failure::address));
    stream::enqueue(stream, current(), work).map_err(|_| CUDNN_STATUS_EXECUTION_FAILED)
}
