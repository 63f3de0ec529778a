//! Calls into NVIDIA's libraries, and what they say when they fail.

use cudarc::cublas::sys::cublasStatus_t;
use cudarc::cudnn::sys::cudnnStatus_t;
use cudarc::driver::sys::CUresult;

/// A call that failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{call} failed: {status}")]
pub struct CallError {
    /// The function's name.
    pub call: &'static str,
    /// The status by its name in NVIDIA's headers.
    pub status: String,
    /// The kind of failure, as far as callers tell them apart.
    pub cause: Cause,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The GPU's memory is full.
    OutOfMemory,
    /// The library has no form of this.
    NotSupported,
    /// The driver does not take the kernels' PTX.
    RefusedPtx,
    /// The driver has no compiler of PTX.
    NoPtxCompiler,
    /// Anything else.
    Other,
}

/// A library's status codes.
pub trait StatusCode: Copy + std::fmt::Debug {
    /// The call did what it was asked to.
    fn succeeded(self) -> bool;
    /// The kind of failure that a status names.
    fn cause(self) -> Cause;

    /// Tells if the library may say this of a lack of memory too: it loads kernels when it first uses them.
    fn may_be_memory(self) -> bool {
        false
    }
}

impl StatusCode for CUresult {
    fn succeeded(self) -> bool {
        self == CUresult::CUDA_SUCCESS
    }

    fn cause(self) -> Cause {
        match self {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Cause::OutOfMemory,
            CUresult::CUDA_ERROR_NOT_SUPPORTED => Cause::NotSupported,
            CUresult::CUDA_ERROR_INVALID_PTX | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION => Cause::RefusedPtx,
            CUresult::CUDA_ERROR_JIT_COMPILER_NOT_FOUND | CUresult::CUDA_ERROR_JIT_COMPILATION_DISABLED => {
                Cause::NoPtxCompiler
            }
            _ => Cause::Other,
        }
    }
}

impl StatusCode for cublasStatus_t {
    fn succeeded(self) -> bool {
        self == cublasStatus_t::CUBLAS_STATUS_SUCCESS
    }

    fn cause(self) -> Cause {
        match self {
            cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED => Cause::OutOfMemory,
            cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED => Cause::NotSupported,
            _ => Cause::Other,
        }
    }

    fn may_be_memory(self) -> bool {
        use cublasStatus_t::*;
        matches!(self, CUBLAS_STATUS_NOT_INITIALIZED | CUBLAS_STATUS_EXECUTION_FAILED | CUBLAS_STATUS_INTERNAL_ERROR)
    }
}

impl StatusCode for cudnnStatus_t {
    fn succeeded(self) -> bool {
        self == cudnnStatus_t::CUDNN_STATUS_SUCCESS
    }

    fn cause(self) -> Cause {
        // NOT_SUPPORTED is 3000, and the numbers above it say what it is that is not.
        match self {
            cudnnStatus_t::CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED => Cause::OutOfMemory,
            status if (3000..4000).contains(&(status as u32)) => Cause::NotSupported,
            _ => Cause::Other,
        }
    }

    fn may_be_memory(self) -> bool {
        // INTERNAL_ERROR is 4000 and EXECUTION_FAILED 5000, and the numbers above them say more.
        self == cudnnStatus_t::CUDNN_STATUS_NOT_INITIALIZED || (4000..6000).contains(&(self as u32))
    }
}

/// `Err` unless the status is success.
pub fn check(call: &'static str, status: impl StatusCode) -> Result<(), CallError> {
    if status.succeeded() {
        return Ok(());
    }
    let short = status.may_be_memory() && memory_is_short();
    let cause = if short { Cause::OutOfMemory } else { status.cause() };
    Err(CallError { call, status: format!("{status:?}"), cause })
}

/// Tells if next to nothing of the GPU's memory is free.
fn memory_is_short() -> bool {
    const LITTLE: usize = 256 << 20;
    let (mut free, mut total) = (0, 0);
    // SAFETY: out-pointers to locals.
    let told = unsafe { call!(driver::cuMemGetInfo_v2(&mut free, &mut total)) };
    told.is_ok() && free < LITTLE.max(total / 50)
}

/// The error of a function that its library does not have.
pub fn absent(call: &'static str) -> CallError {
    CallError { call, status: "the library has no such function".into(), cause: Cause::Other }
}

/// `call!(driver::cuMemFree_v2(address))`: calls a function of an open library and checks its status. Must stand in an unsafe block.
macro_rules! call {
    ($library:ident :: $name:ident ( $($argument:expr),* $(,)? )) => {{
        use $crate::device::cuda::driver::{call, libraries};
        match libraries::open::function!($library::$name($($argument),*)) {
            Some(function) => call::check(stringify!($name), function($($argument),*)),
            None => Err(call::absent(stringify!($name))),
        }
    }};
}
pub(super) use call;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes() {
        use cudnnStatus_t::*;
        assert_eq!(CUDNN_STATUS_NOT_SUPPORTED.cause(), Cause::NotSupported);
        assert_eq!(CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH.cause(), Cause::NotSupported);
        assert_eq!(CUDNN_STATUS_BAD_PARAM.cause(), Cause::Other);
        assert!(CUDNN_STATUS_EXECUTION_FAILED.may_be_memory() && CUDNN_STATUS_INTERNAL_ERROR.may_be_memory());
        assert!(!CUDNN_STATUS_BAD_PARAM.may_be_memory() && !CUDNN_STATUS_NOT_SUPPORTED.may_be_memory());
        assert_eq!(CUresult::CUDA_ERROR_OUT_OF_MEMORY.cause(), Cause::OutOfMemory);
    }
}
