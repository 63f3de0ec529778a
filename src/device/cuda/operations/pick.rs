//! Slices and shuffles of channels, by own kernels.

use super::divisor::Divisor;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::plan::{ChannelPick, LayerPlan};

/// As `kernels/pick.cu` declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct PickShape {
    from: u32,
    channels: Divisor,
    total: Divisor,
    /// Elements of a channel side by side: a plane in NCHW, one in NHWC.
    inner: Divisor,
    groups: Divisor,
    /// Channels of a group.
    width: Divisor,
}

impl Argument for PickShape {}

/// Some of the channels, in an order.
pub struct PickOp {
    forward: Kernel,
    backward: Kernel,
    shape: PickShape,
    inputs: u32,
    outputs: u32,
}

impl PickOp {
    /// Of a layer's input.
    pub fn new(pick: ChannelPick, planned: &LayerPlan, gpu: &SharedGpu) -> Result<PickOp, Failure> {
        let (input, output) = (planned.input(), planned.output);
        let ChannelPick { from, channels, groups, total } = pick;
        let inner = if gpu.arithmetic.nhwc() { 1 } else { input.h * input.w };
        let [channels, total, inner, groups, width] =
            [channels, total, inner, groups, channels / groups].map(Divisor::new);
        Ok(PickOp {
            forward: gpu.kernel("pick_forward")?,
            backward: gpu.kernel("pick_backward")?,
            shape: PickShape { from: from as u32, channels, total, inner, groups, width },
            inputs: input.elements() as u32,
            outputs: output.elements() as u32,
        })
    }
}

impl Operation for PickOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let arguments: [&dyn Argument; 4] = [&at.x(), &at.output, &self.shape, &self.outputs];
        self.forward.launch(&handles.stream, Grid::over(self.outputs), &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 5] = [&at.dy, &at.dx, &self.shape, &accumulate, &self.inputs];
        self.backward.launch(&handles.stream, Grid::over(self.inputs), &arguments)
    }
}
