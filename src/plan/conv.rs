//! Convolution's shape arithmetic.

use super::Shape;
use crate::model::kind::{Conv, Pair};

/// A convolution with all its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    pub input: Shape,
    /// Output channels, over all groups.
    pub k: usize,
    pub kernel: Pair,
    pub stride: Pair,
    pub pad: Pair,
    pub groups: usize,
}

impl ConvGeometry {
    /// `Err` says what does not fit.
    pub fn new(conv: &Conv, input: Shape) -> Result<ConvGeometry, String> {
        let Conv { channels, kernel, stride, pad, groups, bias: _ } = *conv;
        if input.c % groups != 0 {
            return Err(format!("{} input channels do not divide into {groups} groups", input.c));
        }
        let geometry = ConvGeometry { input, k: channels, kernel, stride, pad, groups };
        if input.h + 2 * pad.h < kernel.h || input.w + 2 * pad.w < kernel.w {
            return Err(super::layer::window_too_large(kernel, input, pad));
        }
        Ok(geometry)
    }

    /// N, K and ⌊(size + 2·pad − kernel) / stride⌋ + 1 in both directions.
    pub fn output(&self) -> Shape {
        let side = |size: usize, kernel: usize, stride: usize, pad: usize| (size + 2 * pad - kernel) / stride + 1;
        Shape {
            n: self.input.n,
            c: self.k,
            h: side(self.input.h, self.kernel.h, self.stride.h, self.pad.h),
            w: side(self.input.w, self.kernel.w, self.stride.w, self.pad.w),
        }
    }

    /// Input channels that one output channel sees.
    pub fn channels_per_group(&self) -> usize {
        self.input.c / self.groups
    }

    /// K · C/groups · R · S.
    pub fn weights(&self) -> u64 {
        (self.k * self.channels_per_group() * self.kernel.h * self.kernel.w) as u64
    }
}
