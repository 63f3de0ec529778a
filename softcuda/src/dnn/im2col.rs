//! Convolution as matrix products, image by image and group by group, on f32 in N,C,H,W order.

use crate::math::{Matrix, gemm};
use rayon::prelude::*;

/// x [n, c, h, w], filters [k, c / groups, r, s], y [n, k, oh, ow].
#[derive(Clone, Debug)]
pub struct Geometry {
    pub n: usize,
    pub c: usize,
    pub input: [usize; 2],
    pub k: usize,
    pub kernel: [usize; 2],
    pub output: [usize; 2],
    pub pad: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub groups: usize,
    /// False: the filter is turned by 180 degrees, as mathematicians convolve.
    pub cross_correlation: bool,
}

impl Geometry {
    fn channels(&self) -> usize {
        self.c / self.groups
    }
    /// Rows of the column matrix: the weights that one output sees.
    pub fn taps(&self) -> usize {
        self.channels() * self.kernel[0] * self.kernel[1]
    }
    pub fn pixels(&self) -> usize {
        self.output[0] * self.output[1]
    }
    pub fn multiplications(&self) -> usize {
        self.n * self.k * self.pixels() * self.taps()
    }

    /// Calls `f(row of the column matrix, column, offset in the group's input)` for every tap inside the input.
    fn taps_inside(&self, mut f: impl FnMut(usize, usize, usize)) {
        let ([h, w], [r, s]) = (self.input, self.kernel);
        let place = |axis: usize, out: usize, tap: usize| {
            (out * self.stride[axis] + tap * self.dilation[axis])
                .checked_sub(self.pad[axis])
                .filter(|&i| i < [h, w][axis])
        };
        for row in 0..self.taps() {
            let (channel, mut p, mut q) = (row / (r * s), row / s % r, row % s);
            if !self.cross_correlation {
                (p, q) = (r - 1 - p, s - 1 - q);
            }
            for oh in 0..self.output[0] {
                let Some(ih) = place(0, oh, p) else { continue };
                for ow in 0..self.output[1] {
                    if let Some(iw) = place(1, ow, q) {
                        f(row, oh * self.output[1] + ow, (channel * h + ih) * w + iw);
                    }
                }
            }
        }
    }

    fn columns(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; self.taps() * self.pixels()];
        self.taps_inside(|row, column, at| out[row * self.pixels() + column] = x[at]);
        out
    }

    /// Elements of one group of an image: of x, of y, and of its filters.
    fn group_sizes(&self) -> (usize, usize, usize) {
        let k = self.k / self.groups;
        (self.channels() * self.input[0] * self.input[1], k * self.pixels(), k * self.taps())
    }
}

fn rows(values: &[f32], columns: usize) -> Matrix {
    Matrix { start: values.as_ptr(), row: columns as isize, column: 1 }
}
fn transposed(values: &[f32], columns: usize) -> Matrix {
    Matrix { start: values.as_ptr(), row: 1, column: columns as isize }
}
fn rows_mut(values: &mut [f32], columns: usize) -> Matrix {
    Matrix { start: values.as_mut_ptr(), row: columns as isize, column: 1 }
}

/// y = x convolved with the filters.
pub fn forward(g: &Geometry, x: &[f32], filters: &[f32]) -> Vec<f32> {
    let ((nx, ny, nw), k) = (g.group_sizes(), g.k / g.groups);
    let mut y = vec![0.0; g.n * g.groups * ny];
    // images in parallel; a single one in its matrix product
    y.par_chunks_mut(ny).zip(x.par_chunks(nx)).enumerate().for_each(|(i, (y, x))| {
        let (group, columns) = (i % g.groups, g.columns(x));
        let w = &filters[group * nw..(group + 1) * nw];
        let shape = [k, g.pixels(), g.taps()];
        // SAFETY: w is [k, taps], columns [taps, pixels], y [k, pixels].
        unsafe {
            gemm(shape, 1.0, rows(w, g.taps()), rows(&columns, g.pixels()), 0.0, rows_mut(y, g.pixels()), g.n == 1)
        };
    });
    y
}

/// dx from dy: the columns' gradients, added up where they came from.
pub fn backward_data(g: &Geometry, filters: &[f32], dy: &[f32]) -> Vec<f32> {
    let ((nx, ny, nw), k) = (g.group_sizes(), g.k / g.groups);
    let mut dx = vec![0.0; g.n * g.groups * nx];
    dx.par_chunks_mut(nx).zip(dy.par_chunks(ny)).enumerate().for_each(|(i, (dx, dy))| {
        let (group, pixels) = (i % g.groups, g.pixels());
        let w = &filters[group * nw..(group + 1) * nw];
        let mut columns = vec![0.0; g.taps() * pixels];
        let shape = [g.taps(), pixels, k];
        // SAFETY: w transposed is [taps, k], dy [k, pixels], columns [taps, pixels].
        unsafe {
            gemm(shape, 1.0, transposed(w, g.taps()), rows(dy, pixels), 0.0, rows_mut(&mut columns, pixels), g.n == 1)
        };
        g.taps_inside(|row, column, at| dx[at] += columns[row * pixels + column]);
    });
    dx
}

/// dw: dy times the columns, summed over the images.
pub fn backward_filter(g: &Geometry, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let ((nx, ny, nw), k) = (g.group_sizes(), g.k / g.groups);
    let mut dw = vec![0.0; g.groups * nw];
    for (i, (x, dy)) in x.chunks(nx).zip(dy.chunks(ny)).enumerate() {
        let (group, pixels, columns) = (i % g.groups, g.pixels(), g.columns(x));
        let out = rows_mut(&mut dw[group * nw..(group + 1) * nw], g.taps());
        let shape = [k, g.taps(), pixels];
        // SAFETY: dy is [k, pixels], columns transposed [pixels, taps], dw [k, taps].
        unsafe { gemm(shape, 1.0, rows(dy, pixels), transposed(&columns, pixels), 1.0, out, true) };
    }
    dw
}
