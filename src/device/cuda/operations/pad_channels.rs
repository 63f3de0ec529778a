//! Channels of zeros beside an input's, by own kernels: rows of the input are copied between zeros, and back as concat's are.

use super::divisor::Divisor;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, CallError, Element, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind::PadChannels;
use crate::plan::LayerPlan;

/// Channels of zeros before and behind an input's. A row is an image in NCHW and a pixel in NHWC.
pub struct PadChannelsOp {
    forward: Kernel,
    backward: Kernel,
    rows: u32,
    /// Elements of a row of the input, and of the output.
    widths: [Divisor; 2],
    /// Zeros before a row of the input.
    before: u32,
    element: Element,
}

impl PadChannelsOp {
    /// Of a layer's input.
    pub fn new(pad: &PadChannels, planned: &LayerPlan, gpu: &SharedGpu) -> Result<PadChannelsOp, Failure> {
        let (input, output) = (planned.input(), planned.output);
        let plane = input.h * input.w;
        let (rows, per_channel) = if gpu.arithmetic.nhwc() { (input.n * plane, 1) } else { (input.n, plane) };
        Ok(PadChannelsOp {
            forward: gpu.kernel("pad_rows")?,
            backward: gpu.kernel("copy_rows")?,
            rows: rows as u32,
            widths: [input.c, output.c].map(|channels| Divisor::new(channels * per_channel)),
            before: (pad.before * per_channel) as u32,
            element: gpu.arithmetic.element(),
        })
    }

    /// Threads for rows of this width: a vector each where rows are made of vectors.
    fn grid(&self, width: Divisor) -> Grid {
        let (elements, vector) = (self.rows * width.by, Divisor::new(self.element.per_vector()));
        match [self.widths[0].by, self.widths[1].by, self.before].into_iter().all(|number| vector.divides(number)) {
            true => Grid::streaming(elements, self.element.bytes()),
            false => Grid::over(elements),
        }
    }
}

impl Operation for PadChannelsOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let PadChannelsOp { forward, rows, widths: [width, pitch], before, .. } = self;
        let arguments: [&dyn Argument; 6] = [&at.x(), &at.output, rows, &width.by, pitch, before];
        forward.launch(&handles.stream, self.grid(*pitch), &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let PadChannelsOp { backward, rows, widths: [width, pitch], before, .. } = self;
        let from = at.dy + u64::from(*before) * self.element.bytes() as u64;
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 7] = [&from, &at.dx, rows, width, &pitch.by, &width.by, &accumulate];
        backward.launch(&handles.stream, self.grid(*width), &arguments)
    }
}
