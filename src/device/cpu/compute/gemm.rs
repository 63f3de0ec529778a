//! Matrix products by the crate `gemm`, behind checked views: the portable path of conv and fc.

use gemm::Parallelism;

/// A matrix that lies in `data` from its first number, with the distances between rows and between columns.
#[derive(Clone, Copy)]
pub struct MatrixView<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    strides: [usize; 2],
}

impl<'a> MatrixView<'a> {
    /// Rows of `cols` contiguous numbers, `pitch` apart.
    pub fn rows(data: &'a [f32], rows: usize, cols: usize, pitch: usize) -> Self {
        assert!(last_index(rows, cols, pitch) <= data.len());
        Self { data, rows, cols, strides: [pitch, 1] }
    }

    pub fn transposed(self) -> Self {
        let Self { data, rows, cols, strides: [row, col] } = self;
        Self { data, rows: cols, cols: rows, strides: [col, row] }
    }
}

/// One past the last number of a matrix by rows.
fn last_index(rows: usize, cols: usize, pitch: usize) -> usize {
    if rows * cols == 0 { 0 } else { (rows - 1) * pitch + cols }
}

/// `to = a · b`, or `to += a · b`, where `to` has rows of contiguous numbers, `pitch` apart.
pub fn multiply(a: MatrixView, b: MatrixView, to: &mut [f32], pitch: usize, accumulate: bool, threads: usize) {
    assert_eq!(a.cols, b.rows);
    assert!(last_index(a.rows, b.cols, pitch) <= to.len());
    let [a_rows, a_cols] = a.strides.map(|stride| stride as isize);
    let [b_rows, b_cols] = b.strides.map(|stride| stride as isize);
    let parallelism = if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None };
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let (a, b) = (a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: the views and the assertion above keep every number inside its slice; `to` is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to.as_mut_ptr(),
            1,
            pitch as isize,
            accumulate,
            a,
            a_cols,
            a_rows,
            b,
            b_cols,
            b_rows,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}
