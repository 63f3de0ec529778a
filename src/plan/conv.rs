//! Convolution's shape arithmetic.

use super::Shape;
use crate::model::kind::Conv;

/// A two-dimensional convolution over a batch. Pairs are `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Images in the batch.
    pub n: usize,
    /// Input channels, over all groups.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Output channels, over all groups.
    pub k: usize,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Zeros before the first and after the last row (column).
    pub pad: [usize; 2],
    /// Input and output channels fall into this many groups that do not mix.
    pub groups: usize,
}

impl ConvGeometry {
    /// `Err` says what does not fit.
    pub fn new(conv: &Conv, input: Shape) -> Result<ConvGeometry, String> {
        let Conv { channels: k, kernel, stride, pad, groups, bias: _ } = *conv;
        let Shape { n, c, h, w } = input;
        if c % groups != 0 {
            return Err(format!("{c} input channels do not divide into {groups} groups"));
        }
        if h + 2 * pad.h < kernel.h || w + 2 * pad.w < kernel.w {
            return Err(super::layer::window_too_large(kernel, input, pad));
        }
        let [kernel, stride, pad] = [kernel, stride, pad].map(|pair| [pair.h, pair.w]);
        Ok(ConvGeometry { n, c, h, w, k, kernel, stride, pad, groups })
    }

    /// ⌊(h + 2·pad − kernel) / stride⌋ + 1, and likewise the width.
    pub fn out_h(&self) -> usize {
        (self.h + 2 * self.pad[0] - self.kernel[0]) / self.stride[0] + 1
    }

    pub fn out_w(&self) -> usize {
        (self.w + 2 * self.pad[1] - self.kernel[1]) / self.stride[1] + 1
    }

    pub fn output(&self) -> Shape {
        Shape { n: self.n, c: self.k, h: self.out_h(), w: self.out_w() }
    }

    /// Input channels of one group: what one output channel sees.
    pub fn group_c(&self) -> usize {
        self.c / self.groups
    }

    /// Output channels of one group.
    pub fn group_k(&self) -> usize {
        self.k / self.groups
    }

    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    pub fn output_len(&self) -> usize {
        self.output().elements()
    }

    /// K · C/groups · R · S.
    pub fn weight_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.group_c() * self.k
    }

    /// Multiply-adds of one phase, counted directly (padding included).
    pub fn macs(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.weight_len()
    }
}
