//! The matrix product that cuBLAS and the convolutions share.

/// A matrix of f32 in memory: its first element and the distances between rows and between columns.
#[derive(Clone, Copy)]
pub struct Matrix {
    pub start: *const f32,
    pub row: isize,
    pub column: isize,
}

/// c [m, n] = alpha * a [m, k] * b [k, n] + beta * c. With beta = 0, c is not read.
///
/// # Safety
/// Every element that the shapes name is valid, and `c` overlaps neither `a` nor `b`.
pub unsafe fn gemm([m, n, k]: [usize; 3], alpha: f32, a: Matrix, b: Matrix, beta: f32, c: Matrix, parallel: bool) {
    let threads = if parallel { gemm::Parallelism::Rayon(0) } else { gemm::Parallelism::None };
    // SAFETY: the caller's promise.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.start.cast_mut(),
            c.column,
            c.row,
            beta != 0.0,
            a.start,
            a.column,
            a.row,
            b.start,
            b.column,
            b.row,
            beta,
            alpha,
            false,
            false,
            false,
            threads,
        );
    }
}
