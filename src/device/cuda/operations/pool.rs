//! The windows of the own pooling kernels.

use crate::device::cuda::driver::Argument;
use crate::device::cuda::gpu::Arithmetic;
use crate::model::kind::Pair;
use crate::plan::Shape;

/// As `kernels/pool.cu` declares it. A kernel of zero makes windows adaptive.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct PoolShape {
    channels: u32,
    input: [u32; 2],
    output: [u32; 2],
    kernel: [u32; 2],
    stride: [u32; 2],
    pad: [u32; 2],
    nhwc: u32,
}

impl Argument for PoolShape {}

impl PoolShape {
    /// Windows of fixed size.
    pub fn new(input: Shape, output: Shape, [kernel, stride, pad]: [Pair; 3], arithmetic: &Arithmetic) -> PoolShape {
        let pair = |pair: Pair| [pair.h as u32, pair.w as u32];
        PoolShape {
            channels: input.c as u32,
            input: [input.h as u32, input.w as u32],
            output: [output.h as u32, output.w as u32],
            kernel: pair(kernel),
            stride: pair(stride),
            pad: pair(pad),
            nhwc: arithmetic.nhwc().into(),
        }
    }

    /// Windows that follow from both shapes.
    pub fn adaptive(input: Shape, output: Shape, arithmetic: &Arithmetic) -> PoolShape {
        PoolShape::new(input, output, [Pair::square(0); 3], arithmetic)
    }
}
