//! The windows of the own pooling kernels.

use super::divisor::Divisor;
use crate::device::cuda::driver::{Argument, Grid};
use crate::device::cuda::gpu::Arithmetic;
use crate::model::kind::{AvgPool, MaxPool, Pair};
use crate::plan::Shape;

/// Windows along one axis. A kernel of zero makes them adaptive.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Axis {
    input: Divisor,
    output: Divisor,
    stride: Divisor,
    kernel: u32,
    /// Before the image, and behind it.
    pads: [u32; 2],
}

/// As `kernels/pool.cu` declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct PoolShape {
    channels: Divisor,
    rows: Axis,
    columns: Axis,
    counts_padding: u32,
    nhwc: u32,
}

impl Argument for PoolShape {}

impl PoolShape {
    /// The windows of max pooling.
    pub fn max(pool: &MaxPool, input: Shape, output: Shape, arithmetic: &Arithmetic) -> PoolShape {
        let MaxPool { kernel, pad, .. } = *pool;
        let stride = pool.stride.unwrap_or(kernel);
        PoolShape::new(input, output, [kernel, stride], pad.around([input.h, input.w], kernel, stride), arithmetic)
    }

    /// The windows of average pooling.
    pub fn average(pool: &AvgPool, input: Shape, output: Shape, arithmetic: &Arithmetic) -> PoolShape {
        match *pool {
            AvgPool::Windows { kernel, stride, pad, ceil: _, count_include_pad } => {
                let pads = pad.around([input.h, input.w], kernel, stride);
                let counts_padding = count_include_pad.into();
                PoolShape { counts_padding, ..PoolShape::new(input, output, [kernel, stride], pads, arithmetic) }
            }
            // They follow from both shapes.
            AvgPool::Adaptive { output: _ } => {
                PoolShape::new(input, output, [Pair::square(0); 2], [Pair::square(0); 2], arithmetic)
            }
        }
    }

    fn new(
        input: Shape,
        output: Shape,
        [kernel, stride]: [Pair; 2],
        [before, after]: [Pair; 2],
        arithmetic: &Arithmetic,
    ) -> PoolShape {
        let axis = |sizes: [usize; 3], kernel, pads: [usize; 2]| {
            let [input, output, stride] = sizes.map(Divisor::new);
            Axis { input, output, stride, kernel: kernel as u32, pads: pads.map(|pad| pad as u32) }
        };
        PoolShape {
            channels: Divisor::new(input.c),
            rows: axis([input.h, output.h, stride.h], kernel.h, [before.h, after.h]),
            columns: axis([input.w, output.w, stride.w], kernel.w, [before.w, after.w]),
            counts_padding: 1,
            nhwc: arithmetic.nhwc().into(),
        }
    }

    /// Threads for this many inputs or outputs: one for as many channels as make a vector, or for each.
    pub fn grid(&self, elements: u32, arithmetic: &Arithmetic) -> Grid {
        let element = arithmetic.element();
        match arithmetic.nhwc() && Divisor::new(element.per_vector()).divides(self.channels.by) {
            true => Grid::streaming(elements, element.bytes()),
            false => Grid::over(elements),
        }
    }
}
