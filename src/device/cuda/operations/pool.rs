//! The windows of the own pooling kernels.

use super::divisor::Divisor;
use crate::device::cuda::driver::{Argument, Grid};
use crate::device::cuda::gpu::Arithmetic;
use crate::model::kind::{AvgPool, MaxPool, Pair, extent};
use crate::plan::Shape;

/// Windows along one axis. An extent of zero makes them adaptive.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Axis {
    input: Divisor,
    output: Divisor,
    stride: Divisor,
    extent: u32,
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
    /// Pixels between neighbouring elements of a maximum's window, vertically and horizontally.
    steps: [u32; 2],
}

impl Argument for PoolShape {}

impl PoolShape {
    /// The windows of max pooling.
    pub fn max(pool: &MaxPool, input: Shape, output: Shape, arithmetic: &Arithmetic) -> PoolShape {
        let MaxPool { kernel, pad, dilation, .. } = *pool;
        let (stride, extent) = (pool.stride.unwrap_or(kernel), extent(kernel, dilation));
        let pads = pad.around([input.h, input.w], extent, stride);
        PoolShape::new([input, output], Windows { extent, stride, step: dilation, pads }, arithmetic)
    }

    /// The windows of average pooling.
    pub fn average(pool: &AvgPool, input: Shape, output: Shape, arithmetic: &Arithmetic) -> PoolShape {
        let step = Pair::square(1);
        match *pool {
            AvgPool::Windows { kernel: extent, stride, pad, ceil: _, count_include_pad } => {
                let pads = pad.around([input.h, input.w], extent, stride);
                let windows = Windows { extent, stride, step, pads };
                let counts_padding = count_include_pad.into();
                PoolShape { counts_padding, ..PoolShape::new([input, output], windows, arithmetic) }
            }
            // They follow from both shapes.
            AvgPool::Adaptive { output: _ } => {
                let none = Pair::square(0);
                let windows = Windows { extent: none, stride: none, step, pads: [none; 2] };
                PoolShape::new([input, output], windows, arithmetic)
            }
        }
    }

    fn new([input, output]: [Shape; 2], windows: Windows, arithmetic: &Arithmetic) -> PoolShape {
        let Windows { extent, stride, step, pads: [before, after] } = windows;
        let axis = |sizes: [usize; 3], extent, pads: [usize; 2]| {
            let [input, output, stride] = sizes.map(Divisor::new);
            Axis { input, output, stride, extent: extent as u32, pads: pads.map(|pad| pad as u32) }
        };
        PoolShape {
            channels: Divisor::new(input.c),
            rows: axis([input.h, output.h, stride.h], extent.h, [before.h, after.h]),
            columns: axis([input.w, output.w, stride.w], extent.w, [before.w, after.w]),
            counts_padding: 1,
            nhwc: arithmetic.nhwc().into(),
            steps: [step.h, step.w].map(|step| step as u32),
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

/// The windows of a pool over both axes.
struct Windows {
    extent: Pair,
    stride: Pair,
    /// Pixels between neighbouring elements.
    step: Pair,
    /// Before the image, and behind it.
    pads: [Pair; 2],
}
