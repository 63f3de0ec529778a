//! cuBLAS: matrix products, as fully connected layers need them.

use cudarc::cublas::sys::{cublasGemmAlgo_t, cublasHandle_t, cublasMath_t, cublasOperation_t};

use super::call::{CallError, call};
use super::element::{Element, blas_compute};
use super::stream::Stream;
use crate::plan::Precision;

/// A handle; its work goes to one stream.
pub struct Blas(cublasHandle_t);

// SAFETY: a handle may be used from any thread, one at a time; whoever owns it uses it alone.
unsafe impl Send for Blas {}

/// A matrix in device memory, column by column as cuBLAS has them.
#[derive(Clone, Copy, Debug)]
pub struct Matrix {
    /// Device address.
    pub address: u64,
    /// Elements from one column to the next.
    pub leading: usize,
    /// Taken as its transpose.
    pub transposed: bool,
}

/// c = a·b, or c += a·b.
#[derive(Clone, Copy, Debug)]
pub struct Gemm {
    /// Rows of c.
    pub m: usize,
    /// Columns of c.
    pub n: usize,
    /// Columns of a and rows of b.
    pub k: usize,
    /// m×k.
    pub a: Matrix,
    /// k×n.
    pub b: Matrix,
    /// m×n.
    pub c: Matrix,
    /// Add to what c holds.
    pub accumulate: bool,
}

impl Blas {
    /// A handle for a stream.
    pub fn new(stream: &Stream) -> Result<Blas, CallError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: an out-pointer to a local.
        unsafe { call!(cublas::cublasCreate_v2(&mut handle)) }?;
        let blas = Blas(handle);
        // Without this, partial sums of f16 and bf16 products may be kept in those formats.
        let f32_sums = cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
        // SAFETY: both are alive; the two libraries' stream types are one.
        unsafe {
            call!(cublas::cublasSetStream_v2(handle, stream.handle().cast()))?;
            call!(cublas::cublasSetMathMode(handle, f32_sums))?;
        }
        Ok(blas)
    }

    /// Enqueues a product in a precision; sums are f32.
    pub fn multiply(&self, stream: &Stream, precision: Precision, product: &Gemm) -> Result<(), CallError> {
        let Gemm { m, n, k, a, b, c, accumulate } = *product;
        let (one, beta) = (1f32, if accumulate { 1f32 } else { 0f32 });
        let kind = Element::of(precision).blas();
        stream.count(1);
        // SAFETY: the scalars are on the host, where cuBLAS reads them before it returns; the addresses are the device's.
        unsafe {
            call!(cublas::cublasGemmEx(
                self.0,
                operation(a),
                operation(b),
                m as i32,
                n as i32,
                k as i32,
                std::ptr::from_ref(&one).cast(),
                a.address as *const _,
                kind,
                a.leading as i32,
                b.address as *const _,
                kind,
                b.leading as i32,
                std::ptr::from_ref(&beta).cast(),
                c.address as *mut _,
                kind,
                c.leading as i32,
                blas_compute(precision),
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT
            ))
        }
    }
}

fn operation(matrix: Matrix) -> cublasOperation_t {
    if matrix.transposed { cublasOperation_t::CUBLAS_OP_T } else { cublasOperation_t::CUBLAS_OP_N }
}

impl Drop for Blas {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed nowhere else. Nothing can be done about a failure.
        let _ = unsafe { call!(cublas::cublasDestroy_v2(self.0)) };
    }
}
