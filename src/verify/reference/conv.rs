//! Convolution (cross-correlation) by its definition: y\[n,k,p,q\] = b\[k\] + Σ w\[k,c,r,s\] · x\[n, c, p·stride + r·dilation − pad, q·stride + s·dilation − pad\].
//!
//! Loops run over planes and kernel positions, and for each over the parts of output rows whose input lies inside the image,
//! so that the innermost loop has no conditions and vectorises.

use super::sums::by_piece;
use std::ops::Range;

use multiversion::multiversion;

use super::real::Real;
use crate::model::kind::{Conv, Pair};
use crate::plan::Shape;

/// `weights` is \[K, C/groups, R, S\], `biases` \[K\] or empty.
pub fn forward<T: Real>(conv: &Conv, input: Shape, output: Shape, x: &[T], weights: &[T], biases: &[T]) -> Vec<T> {
    let sizes = Sizes::new(conv, input, output);
    by_piece(output.elements(), sizes.output_plane, &|index, y: &mut [T]| {
        let (n, k) = (index / output.c, index % output.c);
        y.fill(biases.get(k).copied().unwrap_or(T::zero()));
        for c in 0..sizes.group_channels {
            let x = sizes.input_plane(x, n, sizes.first_channel(k) + c);
            forward_plane(&sizes.positions, sizes.kernel(weights, k, c), x, y);
        }
    })
}

/// dx\[n,c,h,w\]: every output whose window covers the element, times the weight at which it does.
pub fn backward_data<T: Real>(conv: &Conv, input: Shape, output: Shape, weights: &[T], dy: &[T]) -> Vec<T> {
    let sizes = Sizes::new(conv, input, output);
    by_piece(input.elements(), sizes.input_plane, &|index, dx: &mut [T]| {
        let (n, c) = (index / input.c, index % input.c);
        let group = c / sizes.group_channels;
        for k in group * sizes.group_outputs..(group + 1) * sizes.group_outputs {
            let kernel = sizes.kernel(weights, k, c % sizes.group_channels);
            backward_data_plane(&sizes.positions, kernel, sizes.output_plane(dy, n, k), dx);
        }
    })
}

/// dw\[k,c,r,s\] = Σ over n, p, q of dy\[n,k,p,q\] times the input that the weight met there.
pub fn backward_weights<T: Real>(conv: &Conv, input: Shape, output: Shape, x: &[T], dy: &[T]) -> Vec<T> {
    let sizes = Sizes::new(conv, input, output);
    let weights = output.c * sizes.group_channels * sizes.positions.len();
    by_piece(weights, sizes.positions.len(), &|index, dw: &mut [T]| {
        let (k, c) = (index / sizes.group_channels, index % sizes.group_channels);
        for n in 0..input.n {
            let x = sizes.input_plane(x, n, sizes.first_channel(k) + c);
            backward_weights_plane(&sizes.positions, x, sizes.output_plane(dy, n, k), dw);
        }
    })
}

/// y += one kernel over one plane.
#[multiversion(targets("x86_64+avx2+fma", "x86_64+avx512f"))]
fn forward_plane<T: Real>(positions: &[Tap], kernel: &[T], x: &[T], y: &mut [T]) {
    for (position, &weight) in positions.iter().zip(kernel) {
        for (output, input) in position.rows() {
            let (y, x) = (&mut y[output], &x[input..]);
            match position.stride {
                1 => y.iter_mut().zip(x).for_each(|(y, &x)| *y += weight * x),
                stride => y.iter_mut().zip(x.iter().step_by(stride)).for_each(|(y, &x)| *y += weight * x),
            }
        }
    }
}

#[multiversion(targets("x86_64+avx2+fma", "x86_64+avx512f"))]
fn backward_data_plane<T: Real>(positions: &[Tap], kernel: &[T], dy: &[T], dx: &mut [T]) {
    for (position, &weight) in positions.iter().zip(kernel) {
        for (output, input) in position.rows() {
            let (dy, dx) = (&dy[output], &mut dx[input..]);
            match position.stride {
                1 => dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += weight * dy),
                stride => dx.iter_mut().step_by(stride).zip(dy).for_each(|(dx, &dy)| *dx += weight * dy),
            }
        }
    }
}

#[multiversion(targets("x86_64+avx2+fma", "x86_64+avx512f"))]
fn backward_weights_plane<T: Real>(positions: &[Tap], x: &[T], dy: &[T], dw: &mut [T]) {
    for (position, dw) in positions.iter().zip(dw) {
        for (output, input) in position.rows() {
            let (dy, x) = (&dy[output], &x[input..]);
            *dw += match position.stride {
                1 => super::sums::dot(dy, &x[..dy.len()]),
                stride => dy.iter().zip(x.iter().step_by(stride)).map(|(&dy, &x)| dy * x).sum(),
            }
        }
    }
}

struct Sizes {
    channels: usize,
    outputs: usize,
    group_channels: usize,
    group_outputs: usize,
    /// Elements in a plane.
    input_plane: usize,
    output_plane: usize,
    /// In the order of the weights, \[R, S\].
    positions: Vec<Tap>,
}

/// A place in the kernel, and what it meets.
struct Tap {
    /// Rows and columns of the output for which it meets the image rather than its padding.
    output_rows: Range<usize>,
    output_columns: Range<usize>,
    /// First meeting in the input plane, and the distance of the input parts of neighbouring rows.
    input_start: usize,
    input_step: usize,
    output_width: usize,
    /// Distance of neighbouring outputs' inputs within a row.
    stride: usize,
}

impl Sizes {
    fn new(conv: &Conv, input: Shape, output: Shape) -> Sizes {
        let Conv { kernel, stride, dilation, groups, .. } = *conv;
        let extent = Pair { h: (kernel.h - 1) * dilation.h + 1, w: (kernel.w - 1) * dilation.w + 1 };
        let [pad, _] = conv.pad.around([input.h, input.w], extent, stride);
        let position = |row: usize, column: usize| {
            let (row, column) = (row * dilation.h, column * dilation.w);
            let output_rows = reach(input.h, output.h, stride.h, pad.h, row);
            let output_columns = reach(input.w, output.w, stride.w, pad.w, column);
            // The start does not matter when nothing is reached.
            let first_row = (output_rows.start * stride.h + row).saturating_sub(pad.h);
            let first_column = (output_columns.start * stride.w + column).saturating_sub(pad.w);
            Tap {
                output_rows: if output_columns.is_empty() { 0..0 } else { output_rows },
                output_columns,
                input_start: first_row * input.w + first_column,
                input_step: stride.h * input.w,
                output_width: output.w,
                stride: stride.w,
            }
        };
        Sizes {
            channels: input.c,
            outputs: output.c,
            group_channels: input.c / groups,
            group_outputs: output.c / groups,
            input_plane: input.h * input.w,
            output_plane: output.h * output.w,
            positions: (0..kernel.h)
                .flat_map(|row| (0..kernel.w).map(move |column| (row, column)))
                .map(|(r, s)| position(r, s))
                .collect(),
        }
    }

    fn input_plane<'a, T>(&self, x: &'a [T], n: usize, c: usize) -> &'a [T] {
        &x[(n * self.channels + c) * self.input_plane..][..self.input_plane]
    }

    fn output_plane<'a, T>(&self, y: &'a [T], n: usize, k: usize) -> &'a [T] {
        &y[(n * self.outputs + k) * self.output_plane..][..self.output_plane]
    }

    /// The first input channel that output channel `k` sees.
    fn first_channel(&self, k: usize) -> usize {
        k / self.group_outputs * self.group_channels
    }

    /// The weights between output channel `k` and the `c`-th channel of its group.
    fn kernel<'a, T>(&self, weights: &'a [T], k: usize, c: usize) -> &'a [T] {
        &weights[(k * self.group_channels + c) * self.positions.len()..][..self.positions.len()]
    }
}

impl Tap {
    /// For each output row that is reached: the reached part of it, and the start of its input, as places in their planes.
    #[inline(always)]
    fn rows(&self) -> impl Iterator<Item = (Range<usize>, usize)> + '_ {
        self.output_rows.clone().enumerate().map(|(index, p)| {
            let row = p * self.output_width;
            (row + self.output_columns.start..row + self.output_columns.end, self.input_start + index * self.input_step)
        })
    }
}

/// Outputs along one axis whose input `output · stride + tap − pad` lies in 0..size.
fn reach(size: usize, outputs: usize, stride: usize, pad: usize, tap: usize) -> Range<usize> {
    let end = (size + pad).saturating_sub(tap).div_ceil(stride).min(outputs);
    let start = pad.saturating_sub(tap).div_ceil(stride).min(end);
    start..end
}
