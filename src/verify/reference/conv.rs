//! Convolution (cross-correlation) by its definition: y\[n,k,p,q\] = b\[k\] + Σ w\[k,c,r,s\] · x\[n, c, p·stride + r − pad, q·stride + s − pad\].
//!
//! Loops run over kernel positions, and for each over the part of an output row whose input lies inside the image, so that
//! the innermost loop has no conditions and vectorises.

use std::ops::Range;

use rayon::prelude::*;

use crate::model::kind::Conv;
use crate::plan::Shape;

/// `weights` is \[K, C/groups, R, S\], `biases` \[K\] or empty.
pub fn forward(conv: &Conv, input: Shape, output: Shape, x: &[f64], weights: &[f64], biases: &[f64]) -> Vec<f64> {
    let taps = Taps::new(conv, input, output);
    let mut y = vec![0.0; output.elements()];
    y.par_chunks_mut(taps.output_plane).enumerate().for_each(|(index, plane)| {
        let (n, k) = (index / conv.channels, index % conv.channels);
        plane.fill(biases.get(k).copied().unwrap_or(0.0));
        for (p, row) in plane.chunks_mut(taps.output_width).enumerate() {
            for tap in taps.of(k).filter(|tap| tap.rows.contains(&p)) {
                let input = &x[taps.input_at(n, &tap, p)..];
                add_scaled(&mut row[tap.columns.clone()], weights[tap.weight], input, conv.stride.w);
            }
        }
    });
    y
}

/// dx\[n,c,h,w\]: every output whose window covers the element, times the weight at which it does.
pub fn backward_data(conv: &Conv, input: Shape, output: Shape, weights: &[f64], dy: &[f64]) -> Vec<f64> {
    let taps = Taps::new(conv, input, output);
    let mut dx = vec![0.0; input.elements()];
    let group_planes = input.c / conv.groups * input.h * input.w;
    dx.par_chunks_mut(group_planes).enumerate().for_each(|(index, planes)| {
        let (n, group) = (index / conv.groups, index % conv.groups);
        let first = index * group_planes;
        let per_group = conv.channels / conv.groups;
        for k in group * per_group..(group + 1) * per_group {
            let dy = &dy[(n * conv.channels + k) * taps.output_plane..][..taps.output_plane];
            for tap in taps.of(k) {
                for p in tap.rows.clone() {
                    let row = &dy[p * taps.output_width..][tap.columns.clone()];
                    let dx = &mut planes[taps.input_at(n, &tap, p) - first..];
                    spread_scaled(dx, weights[tap.weight], row, conv.stride.w);
                }
            }
        }
    });
    dx
}

/// dw\[k,c,r,s\] = Σ over n, p, q of dy\[n,k,p,q\] times the input that the weight met there.
pub fn backward_weights(conv: &Conv, input: Shape, output: Shape, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let taps = Taps::new(conv, input, output);
    let mut dw = vec![0.0; output.c * taps.weights_per_output];
    dw.par_chunks_mut(taps.weights_per_output).enumerate().for_each(|(k, dw)| {
        for n in 0..input.n {
            let dy = &dy[(n * conv.channels + k) * taps.output_plane..][..taps.output_plane];
            for (dw, tap) in dw.iter_mut().zip(taps.of(k)) {
                for p in tap.rows.clone() {
                    let row = &dy[p * taps.output_width..][tap.columns.clone()];
                    *dw += dot(row, &x[taps.input_at(n, &tap, p)..], conv.stride.w);
                }
            }
        }
    });
    dw
}

/// The weights of one output channel and the outputs for which each meets the image rather than its padding.
struct Taps<'a> {
    conv: &'a Conv,
    input: Shape,
    output_width: usize,
    output_plane: usize,
    weights_per_output: usize,
    /// Per kernel row, the output rows; per kernel column, the output columns.
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
}

/// One weight of one output channel.
struct Tap {
    /// Input channel, over all groups.
    channel: usize,
    kernel_row: usize,
    kernel_column: usize,
    /// Index into the weights.
    weight: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

impl Taps<'_> {
    fn new(conv: &Conv, input: Shape, output: Shape) -> Taps<'_> {
        let Conv { kernel, stride, pad, .. } = *conv;
        Taps {
            conv,
            input,
            output_width: output.w,
            output_plane: output.h * output.w,
            weights_per_output: input.c / conv.groups * kernel.h * kernel.w,
            rows: (0..kernel.h).map(|tap| reach(input.h, output.h, stride.h, pad.h, tap)).collect(),
            columns: (0..kernel.w).map(|tap| reach(input.w, output.w, stride.w, pad.w, tap)).collect(),
        }
    }

    /// The taps of output channel `k` in the order of its weights, \[C/groups, R, S\].
    fn of(&self, k: usize) -> impl Iterator<Item = Tap> + '_ {
        let Conv { kernel, groups, channels, .. } = *self.conv;
        let first_channel = k / (channels / groups) * (self.input.c / groups);
        (0..self.weights_per_output).map(move |index| {
            let (kernel_row, kernel_column) = (index / kernel.w % kernel.h, index % kernel.w);
            Tap {
                channel: first_channel + index / (kernel.h * kernel.w),
                kernel_row,
                kernel_column,
                weight: k * self.weights_per_output + index,
                rows: self.rows[kernel_row].clone(),
                columns: self.columns[kernel_column].clone(),
            }
        })
    }

    /// Index of the input element that the first of the tap's columns meets in output row `p`, one of the tap's rows.
    fn input_at(&self, n: usize, tap: &Tap, p: usize) -> usize {
        let (Conv { stride, pad, .. }, input) = (self.conv, self.input);
        let row = p * stride.h + tap.kernel_row - pad.h;
        // Where no column is reached the place does not matter, but must exist.
        let column = (tap.columns.start * stride.w + tap.kernel_column).saturating_sub(pad.w).min(input.w);
        ((n * input.c + tap.channel) * input.h + row) * input.w + column
    }
}

/// Outputs along one axis whose input `output · stride + tap − pad` lies in 0..size.
fn reach(size: usize, outputs: usize, stride: usize, pad: usize, tap: usize) -> Range<usize> {
    let end = (size + pad).saturating_sub(tap).div_ceil(stride).min(outputs);
    let start = pad.saturating_sub(tap).div_ceil(stride).min(end);
    start..end
}

/// y\[q\] += a · x\[q·stride\]
fn add_scaled(y: &mut [f64], a: f64, x: &[f64], stride: usize) {
    if stride == 1 {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
    } else {
        y.iter_mut().zip(x.iter().step_by(stride)).for_each(|(y, x)| *y += a * x);
    }
}

/// x\[q·stride\] += a · y\[q\]
fn spread_scaled(x: &mut [f64], a: f64, y: &[f64], stride: usize) {
    if stride == 1 {
        x.iter_mut().zip(y).for_each(|(x, y)| *x += a * y);
    } else {
        x.iter_mut().step_by(stride).zip(y).for_each(|(x, y)| *x += a * y);
    }
}

/// Σ y\[q\] · x\[q·stride\], in as many partial sums as vectors hold.
fn dot(y: &[f64], x: &[f64], stride: usize) -> f64 {
    if stride == 1 {
        super::sums::dot(y, &x[..y.len()])
    } else {
        y.iter().zip(x.iter().step_by(stride)).map(|(y, x)| y * x).sum()
    }
}
