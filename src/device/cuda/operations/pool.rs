//! The windows of the own pooling kernels.

use crate::device::cuda::driver::Argument;
use crate::device::cuda::gpu::Arithmetic;
use crate::model::kind::{AvgPool, MaxPool, Pair};
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
    /// Before the image, and behind it.
    pads: [[u32; 2]; 2],
    counts_padding: u32,
    nhwc: u32,
}

impl Argument for PoolShape {}

impl PoolShape {
    /// The windows of max pooling.
    pub fn max(pool: &MaxPool, input: Shape, output: Shape, arithmetic: &Arithmetic) -> PoolShape {
        let MaxPool { kernel, pad, .. } = *pool;
        let stride = pool.stride.unwrap_or(kernel);
        let pads = pad.around([input.h, input.w], kernel, stride);
        PoolShape { pads: pads.map(sides), ..PoolShape::new(input, output, [kernel, stride], arithmetic) }
    }

    /// The windows of average pooling.
    pub fn average(pool: &AvgPool, input: Shape, output: Shape, arithmetic: &Arithmetic) -> PoolShape {
        match *pool {
            AvgPool::Windows { kernel, stride, pad, ceil: _, count_include_pad } => {
                let pads = pad.around([input.h, input.w], kernel, stride).map(sides);
                let counts_padding = count_include_pad.into();
                PoolShape { pads, counts_padding, ..PoolShape::new(input, output, [kernel, stride], arithmetic) }
            }
            // They follow from both shapes.
            AvgPool::Adaptive { output: _ } => PoolShape::new(input, output, [Pair::square(0); 2], arithmetic),
        }
    }

    fn new(input: Shape, output: Shape, [kernel, stride]: [Pair; 2], arithmetic: &Arithmetic) -> PoolShape {
        PoolShape {
            channels: input.c as u32,
            input: [input.h as u32, input.w as u32],
            output: [output.h as u32, output.w as u32],
            kernel: sides(kernel),
            stride: sides(stride),
            pads: [[0; 2]; 2],
            counts_padding: 1,
            nhwc: arithmetic.nhwc().into(),
        }
    }
}

fn sides(pair: Pair) -> [u32; 2] {
    [pair.h as u32, pair.w as u32]
}
