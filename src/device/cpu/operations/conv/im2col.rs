//! The portable convolution: the windows of one image as a matrix (im2col), times the weights.

use crate::device::cpu::compute::gemm::{MatrixView, multiply};
use crate::device::cpu::compute::tasks::{Shared, share};
use crate::device::cpu::operations::{BackwardData, BackwardWeights, Forward};
use crate::plan::ConvGeometry;

pub(super) struct Im2col {
    geometry: ConvGeometry,
    threads: usize,
}

impl Im2col {
    pub fn new(geometry: ConvGeometry, threads: usize) -> Self {
        Self { geometry, threads }
    }

    /// One image's windows of one group: `[pixel][r][s][c]`.
    pub fn workspace_floats(&self) -> usize {
        self.pixels() * self.steps()
    }

    fn pixels(&self) -> usize {
        self.geometry.out_h() * self.geometry.out_w()
    }

    fn steps(&self) -> usize {
        self.geometry.kernel[0] * self.geometry.kernel[1] * self.geometry.group_c()
    }

    pub fn forward(&self, operands: Forward) {
        let (g, x) = (&self.geometry, operands.input());
        let Forward { weights: w, biases, output: y, workspace, .. } = operands;
        let (pixels, steps, group_k) = (self.pixels(), self.steps(), g.group_k());
        for (x, y) in x.chunks_exact(g.h * g.w * g.c).zip(y.chunks_exact_mut(pixels * g.k)) {
            if !biases.is_empty() {
                y.chunks_exact_mut(g.k).for_each(|y| y.copy_from_slice(biases));
            }
            for group in 0..g.groups {
                let windows = self.windows(x, group, workspace);
                let first = group * group_k;
                let weights = MatrixView::rows(&w[first..], steps, group_k, g.k);
                let windows = MatrixView::rows(windows, pixels, steps, steps);
                multiply(windows, weights, &mut y[first..], g.k, !biases.is_empty(), self.threads);
            }
        }
    }

    pub fn backward_data(&self, operands: BackwardData) {
        let BackwardData { output_gradient: dy, weights: w, input_gradient: dx, accumulate, workspace, .. } = operands;
        let g = &self.geometry;
        let (pixels, steps, group_k) = (self.pixels(), self.steps(), g.group_k());
        if !accumulate {
            dx.fill(0.0);
        }
        let windows = &mut workspace[..self.workspace_floats()];
        for (dx, dy) in dx.chunks_exact_mut(g.h * g.w * g.c).zip(dy.chunks_exact(pixels * g.k)) {
            for group in 0..g.groups {
                let first = group * group_k;
                let weights = MatrixView::rows(&w[first..], steps, group_k, g.k).transposed();
                let dy = MatrixView::rows(&dy[first..], pixels, group_k, g.k);
                multiply(dy, weights, windows, steps, false, self.threads);
                self.add_windows(windows, group, dx);
            }
        }
    }

    pub fn backward_weights(&self, operands: BackwardWeights) {
        let BackwardWeights { input: x, output_gradient: dy, weight_gradient: dw, bias_gradient: db, workspace } =
            operands;
        let g = &self.geometry;
        let (pixels, steps, group_k) = (self.pixels(), self.steps(), g.group_k());
        let images = x.chunks_exact(g.h * g.w * g.c).zip(dy.chunks_exact(pixels * g.k));
        for (image, (x, dy)) in images.enumerate() {
            for group in 0..g.groups {
                let first = group * group_k;
                let windows = MatrixView::rows(self.windows(x, group, workspace), pixels, steps, steps).transposed();
                let dy = MatrixView::rows(&dy[first..], pixels, group_k, g.k);
                multiply(windows, dy, &mut dw[first..], g.k, image > 0, self.threads);
            }
        }
        if !db.is_empty() {
            for (channel, db) in db.iter_mut().enumerate() {
                *db = dy[channel..].iter().step_by(g.k).copied().map(f64::from).sum::<f64>() as f32;
            }
        }
    }

    /// Lays out the windows of an image: `[pixel][r][s][c]`.
    fn windows<'a>(&self, x: &[f32], group: usize, windows: &'a mut [f32]) -> &'a [f32] {
        let (pixels, steps, group_c) = (self.pixels(), self.steps(), self.geometry.group_c());
        let windows = &mut windows[..pixels * steps];
        let shared = Shared::new(windows);
        share(
            self.threads,
            pixels,
            |_| (),
            |(), pixel| {
                // SAFETY: each pixel's window is written by one task.
                let window = unsafe { shared.part(pixel, steps) };
                for (tap, to) in window.chunks_exact_mut(group_c).enumerate() {
                    match self.source(pixel, tap, group) {
                        Some(from) => to.copy_from_slice(&x[from..from + group_c]),
                        None => to.fill(0.0),
                    }
                }
            },
        );
        windows
    }

    /// Adds windows back to where they came from in an image.
    fn add_windows(&self, windows: &[f32], group: usize, dx: &mut [f32]) {
        let group_c = self.geometry.group_c();
        for (pixel, window) in windows.chunks_exact(self.steps()).enumerate() {
            for (tap, from) in window.chunks_exact(group_c).enumerate() {
                if let Some(to) = self.source(pixel, tap, group) {
                    dx[to..to + group_c].iter_mut().zip(from).for_each(|(dx, from)| *dx += from);
                }
            }
        }
    }

    /// Offset of a window's tap in an image; none in the padding.
    fn source(&self, pixel: usize, tap: usize, group: usize) -> Option<usize> {
        let g = &self.geometry;
        let [p, q] = [pixel / g.out_w(), pixel % g.out_w()];
        let [r, s] = [tap / g.kernel[1], tap % g.kernel[1]];
        let h = (p * g.stride[0] + r * g.dilation[0]).checked_sub(g.pad[0]).filter(|&h| h < g.h)?;
        let w = (q * g.stride[1] + s * g.dilation[1]).checked_sub(g.pad[1]).filter(|&w| w < g.w)?;
        Some((h * g.w + w) * g.c + group * g.group_c())
    }
}
