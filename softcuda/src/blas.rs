//! libcublas: handles and matrix products. Matrices are column-major, as cuBLAS has them.

use crate::element::{Element, tf32};
use crate::export::{Export, Status, export, export_plain, put};
use crate::finding::{Finding, FindingKind};
use crate::handle::Handles;
use crate::math::{Matrix, gemm};
use crate::settings::SETTINGS;
use crate::stream::{self, Failure};
use crate::{memory, report};
use cublasStatus_t::*;
use cudarc::cublas::sys::{
    self, cublasComputeType_t, cublasGemmAlgo_t, cublasHandle_t, cublasMath_t, cublasOperation_t, cublasPointerMode_t,
    cublasStatus_t, cudaDataType, cudaStream_t, libraryPropertyType,
};
use std::ffi::{c_char, c_int, c_void};

/// What the library exports.
pub const EXPORTS: [&[Export]; 2] = [CALLS, PLAIN_CALLS];

fn version() -> [c_int; 3] {
    let (major, minor) = SETTINGS.cublas_version();
    [major, minor, 0]
}

impl Status for cublasStatus_t {
    const SUCCESS: Self = CUBLAS_STATUS_SUCCESS;
    const LOST: Self = CUBLAS_STATUS_EXECUTION_FAILED;
    const NULL: Self = CUBLAS_STATUS_INVALID_VALUE;
    const KNOWN: &[Self] = &[
        CUBLAS_STATUS_SUCCESS,
        CUBLAS_STATUS_NOT_INITIALIZED,
        CUBLAS_STATUS_ALLOC_FAILED,
        CUBLAS_STATUS_INVALID_VALUE,
        CUBLAS_STATUS_ARCH_MISMATCH,
        CUBLAS_STATUS_MAPPING_ERROR,
        CUBLAS_STATUS_EXECUTION_FAILED,
        CUBLAS_STATUS_INTERNAL_ERROR,
        CUBLAS_STATUS_NOT_SUPPORTED,
        CUBLAS_STATUS_LICENSE_ERROR,
    ];
    fn number(self) -> i64 {
        self as i64
    }
}

#[derive(Clone)]
struct Handle {
    stream: u64,
    math: cublasMath_t,
}

static HANDLES: Handles<Handle> = Handles::new("cuBLAS handles");

fn change(handle: cublasHandle_t, f: impl FnOnce(&mut Handle)) -> Result<(), cublasStatus_t> {
    if HANDLES.change(handle, f) { Ok(()) } else { Err(CUBLAS_STATUS_NOT_INITIALIZED) }
}

/// One operand: where it is, of what type, how far apart its columns are, whether it is transposed.
#[derive(Clone, Copy)]
struct Operand {
    address: u64,
    element: Element,
    leading: usize,
    transposed: bool,
}

impl Operand {
    /// (rows, columns) as stored, for an operand that is [rows, columns] in the product.
    fn stored(&self, rows: usize, columns: usize) -> (usize, usize) {
        if self.transposed { (columns, rows) } else { (rows, columns) }
    }
    fn span(&self, rows: usize, columns: usize) -> usize {
        let (rows, columns) = self.stored(rows, columns);
        if rows * columns == 0 { 0 } else { self.leading * (columns - 1) + rows }
    }
    /// The operand as f32, columns packed together, rounded to TF32 where asked.
    fn read(&self, rows: usize, columns: usize, round: bool) -> Result<Vec<f32>, Failure> {
        let (rows, columns) = self.stored(rows, columns);
        let mut out = Vec::with_capacity(rows * columns);
        for column in 0..columns {
            let start = self.address + (column * self.leading * self.element.size()) as u64;
            out.extend(self.element.read(start, rows).map_err(Failure::address)?);
        }
        if round {
            out.iter_mut().for_each(|v| *v = tf32(*v));
        }
        Ok(out)
    }
    /// The product's view of `read`'s result.
    fn view(&self, packed: &[f32], rows: usize, columns: usize) -> Matrix {
        let (stored_rows, _) = self.stored(rows, columns);
        let (row, column) = if self.transposed { (stored_rows as isize, 1) } else { (1, stored_rows as isize) };
        Matrix { start: packed.as_ptr(), row, column }
    }
}

struct Product {
    name: &'static str,
    shape: [usize; 3],
    alpha: f32,
    a: Operand,
    b: Operand,
    beta: f32,
    c: Operand,
    tf32: bool,
}

impl Product {
    fn run(&self) -> Result<(), Failure> {
        let [m, n, k] = self.shape;
        let (a, b) = (self.a.read(m, k, self.tf32)?, self.b.read(k, n, self.tf32)?);
        let c = &self.c;
        if self.beta != 0.0 {
            for column in 0..n {
                let start = c.address + (column * c.leading * c.element.size()) as u64;
                memory::readable(start, m * c.element.size()).map_err(Failure::address)?;
            }
        }
        let mut product = vec![0.0; m * n];
        let out = Matrix { start: product.as_mut_ptr(), row: 1, column: m as isize };
        // SAFETY: the three packed matrices have the shapes that the views name.
        unsafe { gemm([m, n, k], self.alpha, self.a.view(&a, m, k), self.b.view(&b, k, n), 0.0, out, true) };
        for (column, values) in product.chunks(m.max(1)).enumerate() {
            let start = c.address + (column * c.leading * c.element.size()) as u64;
            let to = memory::writable(start, m * c.element.size()).map_err(Failure::address)?;
            for (i, &v) in values.iter().enumerate() {
                // SAFETY: `m` elements are writable from `to`; with beta they were written before.
                unsafe {
                    let old = if self.beta == 0.0 { 0.0 } else { self.beta * c.element.load(to, i) };
                    c.element.store(to, i, v + old);
                }
            }
        }
        Ok(())
    }

    /// cuBLAS's own argument checks, then the queue.
    fn enqueue(self, stream: u64) -> Result<(), cublasStatus_t> {
        let [m, n, k] = self.shape;
        for (operand, rows, columns) in [(&self.a, m, k), (&self.b, k, n), (&self.c, m, n)] {
            if operand.leading < operand.stored(rows, columns).0.max(1) {
                let text = format!("leading dimension {} of {rows} x {columns}", operand.leading);
                report::in_call(Finding::new(FindingKind::InvalidArgument, text));
                return Err(CUBLAS_STATUS_INVALID_VALUE);
            }
            let bytes = operand.span(rows, columns) * operand.element.size();
            if bytes > 0
                && let Err(finding) = memory::find(operand.address, bytes as u64)
            {
                report::in_call(finding.of(format_args!("a {rows} x {columns} matrix")));
                return Err(CUBLAS_STATUS_EXECUTION_FAILED);
            }
        }
        stream::enqueue(stream, self.name, Box::new(move || self.run())).map_err(|_| CUBLAS_STATUS_EXECUTION_FAILED)
    }
}

fn sizes(m: c_int, n: c_int, k: c_int) -> Result<[usize; 3], cublasStatus_t> {
    match [m, n, k] {
        all if all.iter().all(|&v| v >= 0) => Ok(all.map(|v| v as usize)),
        _ => Err(CUBLAS_STATUS_INVALID_VALUE),
    }
}

fn operand(address: u64, element: Element, leading: c_int, op: cublasOperation_t) -> Operand {
    let transposed = op != cublasOperation_t::CUBLAS_OP_N;
    Operand { address, element, leading: leading.max(0) as usize, transposed }
}

fn element(ty: cudaDataType) -> Result<Element, cublasStatus_t> {
    match ty {
        sys::cudaDataType_t::CUDA_R_32F => Ok(Element::F32),
        sys::cudaDataType_t::CUDA_R_16F => Ok(Element::F16),
        sys::cudaDataType_t::CUDA_R_16BF if SETTINGS.capability.0 >= 8 => Ok(Element::BF16),
        sys::cudaDataType_t::CUDA_R_16BF => Err(CUBLAS_STATUS_ARCH_MISMATCH),
        _ => Err(CUBLAS_STATUS_NOT_SUPPORTED),
    }
}

/// TF32 is used where the handle's math mode or the compute type allows it, on a device that has it.
fn uses_tf32(handle: &Handle, compute: cublasComputeType_t, input: Element) -> Result<bool, cublasStatus_t> {
    let asked = match compute {
        cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32 => true,
        cublasComputeType_t::CUBLAS_COMPUTE_32F => handle.math == cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH,
        cublasComputeType_t::CUBLAS_COMPUTE_32F_PEDANTIC => false,
        _ => return Err(CUBLAS_STATUS_NOT_SUPPORTED),
    };
    Ok(asked && input == Element::F32 && SETTINGS.capability.0 >= 8)
}

/// A scalar at a host pointer; device pointer mode is not modelled.
///
/// # Safety
/// `p` is null or points to an f32.
unsafe fn scalar(p: *const c_void) -> Result<f32, cublasStatus_t> {
    // SAFETY: the caller's promise.
    if p.is_null() { Err(CUBLAS_STATUS_INVALID_VALUE) } else { Ok(unsafe { p.cast::<f32>().read() }) }
}

fn words(status: cublasStatus_t) -> String {
    format!("{status:?}")
}

export! { CALLS: "cublas", sys, cublasStatus_t;
fn cublasCreate_v2(to: *mut cublasHandle_t) {
    report::at_exit(|| HANDLES.leaks());
    stream::check().map_err(|_| CUBLAS_STATUS_NOT_INITIALIZED)?;
    put(to, HANDLES.add(Handle { stream: 0, math: cublasMath_t::CUBLAS_DEFAULT_MATH }))
}
fn cublasDestroy_v2(handle: cublasHandle_t) {
    if HANDLES.remove(handle) { Ok(()) } else { Err(CUBLAS_STATUS_NOT_INITIALIZED) }
}
fn cublasSetStream_v2(handle: cublasHandle_t, on: cudaStream_t) {
    change(handle, |h| h.stream = on as u64)
}
fn cublasGetStream_v2(handle: cublasHandle_t, to: *mut cudaStream_t) {
    let handle = HANDLES.copy(handle).ok_or(CUBLAS_STATUS_NOT_INITIALIZED)?;
    put(to, handle.stream as cudaStream_t)
}
fn cublasSetMathMode(handle: cublasHandle_t, mode: cublasMath_t) {
    change(handle, |h| h.math = mode)
}
fn cublasGetMathMode(handle: cublasHandle_t, to: *mut cublasMath_t) {
    let handle = HANDLES.copy(handle).ok_or(CUBLAS_STATUS_NOT_INITIALIZED)?;
    put(to, handle.math)
}
fn cublasSetPointerMode_v2(handle: cublasHandle_t, mode: cublasPointerMode_t) {
    change(handle, |_| {})?;
    let host = mode == cublasPointerMode_t::CUBLAS_POINTER_MODE_HOST;
    if host { Ok(()) } else { Err(CUBLAS_STATUS_NOT_SUPPORTED) }
}
fn cublasSetWorkspace_v2(handle: cublasHandle_t, workspace: *mut c_void, size: usize) {
    change(handle, |_| {})?;
    if size > 0 && let Err(finding) = memory::find(workspace as u64, size as u64) {
        report::in_call(finding);
        return Err(CUBLAS_STATUS_INVALID_VALUE);
    }
    Ok(())
}
fn cublasGetVersion_v2(handle: cublasHandle_t, to: *mut c_int) {
    change(handle, |_| {})?;
    let [major, minor, patch] = version();
    put(to, major * 10000 + minor * 100 + patch)
}
fn cublasGetProperty(which: libraryPropertyType, to: *mut c_int) {
    put(to, version()[which as usize])
}
fn cublasSgemm_v2(
    handle: cublasHandle_t, ta: cublasOperation_t, tb: cublasOperation_t, m: c_int, n: c_int, k: c_int,
    alpha: *const f32, a: *const f32, lda: c_int, b: *const f32, ldb: c_int, beta: *const f32, c: *mut f32, ldc: c_int,
) {
    let handle = HANDLES.copy(handle).ok_or(CUBLAS_STATUS_NOT_INITIALIZED)?;
    let product = Product {
        name: "cublasSgemm_v2",
        shape: sizes(m, n, k)?,
        alpha: scalar(alpha.cast())?,
        a: operand(a as u64, Element::F32, lda, ta),
        b: operand(b as u64, Element::F32, ldb, tb),
        beta: scalar(beta.cast())?,
        c: operand(c as u64, Element::F32, ldc, cublasOperation_t::CUBLAS_OP_N),
        tf32: uses_tf32(&handle, cublasComputeType_t::CUBLAS_COMPUTE_32F, Element::F32)?,
    };
    product.enqueue(handle.stream)
}
fn cublasGemmEx(
    handle: cublasHandle_t, ta: cublasOperation_t, tb: cublasOperation_t, m: c_int, n: c_int, k: c_int,
    alpha: *const c_void, a: *const c_void, at: cudaDataType, lda: c_int, b: *const c_void, bt: cudaDataType, ldb: c_int,
    beta: *const c_void, c: *mut c_void, ct: cudaDataType, ldc: c_int, compute: cublasComputeType_t,
    _algorithm: cublasGemmAlgo_t,
) {
    let handle = HANDLES.copy(handle).ok_or(CUBLAS_STATUS_NOT_INITIALIZED)?;
    let (ea, eb, ec) = (element(at)?, element(bt)?, element(ct)?);
    if ea != eb || (ec != ea && ec != Element::F32) {
        return Err(CUBLAS_STATUS_NOT_SUPPORTED);
    }
    let product = Product {
        name: "cublasGemmEx",
        shape: sizes(m, n, k)?,
        alpha: scalar(alpha)?,
        a: operand(a as u64, ea, lda, ta),
        b: operand(b as u64, eb, ldb, tb),
        beta: scalar(beta)?,
        c: operand(c as u64, ec, ldc, cublasOperation_t::CUBLAS_OP_N),
        tf32: uses_tf32(&handle, compute, ea)?,
    };
    product.enqueue(handle.stream)
}
}

export_plain! { PLAIN_CALLS: "cublas", sys;
fn cublasGetStatusName(status: cublasStatus_t) -> *const c_char {
    crate::driver::forever(words(status))
}
fn cublasGetStatusString(status: cublasStatus_t) -> *const c_char {
    crate::driver::forever(words(status))
}
fn cublasGetCudartVersion() -> usize {
    crate::driver::version() as usize
}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// c = alpha * op(a) * op(b) + beta * c in every combination of transposition, with padded columns.
    #[test]
    fn products_by_definition() {
        crate::driver::make_current();
        let ([m, n, k], lead) = ([3usize, 4, 5], 7usize);
        let fill = |seed: usize| (0..7 * 7).map(|i| ((i * 37 + seed * 11) % 19) as f32 - 9.0).collect::<Vec<f32>>();
        let upload = |values: &[f32]| {
            let address = memory::allocate(4 * values.len(), u64::MAX).expect("memory");
            let to = memory::writable(address, 4 * values.len()).expect("live");
            // SAFETY: as many bytes on both sides.
            unsafe { std::ptr::copy_nonoverlapping(values.as_ptr().cast(), to, 4 * values.len()) };
            address
        };
        let (a, b, c) = (fill(1), fill(2), fill(3));
        let (alpha, beta) = (2f32, -1f32);
        let mut handle = std::ptr::null_mut();
        // SAFETY: an out-pointer to a local.
        assert_eq!(unsafe { cublasCreate_v2(&mut handle) }, CUBLAS_STATUS_SUCCESS);
        for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
            let (pa, pb, pc) = (upload(&a), upload(&b), upload(&c));
            let op = |t| if t { cublasOperation_t::CUBLAS_OP_T } else { cublasOperation_t::CUBLAS_OP_N };
            let [mi, ni, ki, li] = [m, n, k, lead].map(|v| v as c_int);
            // SAFETY: device addresses of matrices with `lead` rows in memory.
            let status = unsafe {
                cublasSgemm_v2(handle, op(ta), op(tb), mi, ni, ki, &alpha, pa as _, li, pb as _, li, &beta, pc as _, li)
            };
            assert_eq!(status, CUBLAS_STATUS_SUCCESS);
            stream::synchronize_all().expect("no failure");
            let got = Element::F32.read(pc, 7 * 7).expect("written");
            for (column, row) in (0..7).flat_map(|column| (0..7).map(move |row| (column, row))) {
                let old = c[column * lead + row];
                let at = |v: &[f32], t: bool, r: usize, q: usize| if t { v[r * lead + q] } else { v[q * lead + r] };
                let product: f32 = (0..k).map(|i| at(&a, ta, row, i) * at(&b, tb, i, column)).sum();
                let expected = if row < m && column < n { alpha * product + beta * old } else { old };
                assert_eq!(got[column * lead + row], expected, "{ta} {tb} row {row} column {column}");
            }
        }
    }
}
