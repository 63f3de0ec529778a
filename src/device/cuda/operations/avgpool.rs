//! Average pooling by an own kernel: cuDNN has neither adaptive windows nor a number of windows rounded up, and
//! its backward asks for x and y, which a step does not keep for an average.

use super::pool::PoolShape;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::LayerPlan;

/// Average pooling.
pub struct AvgPoolOp {
    forward: Kernel,
    backward: Kernel,
    shape: PoolShape,
    inputs: u32,
    outputs: u32,
    /// Over the inputs, and over the outputs.
    grids: [Grid; 2],
}

impl AvgPoolOp {
    /// With the windows of the kind.
    pub fn new(pool: &kind::AvgPool, planned: &LayerPlan, gpu: &SharedGpu) -> Result<AvgPoolOp, Failure> {
        let (input, output) = (planned.input(), planned.output);
        let shape = PoolShape::average(pool, input, output, &gpu.arithmetic);
        let counts = [input, output].map(|of| of.elements() as u32);
        Ok(AvgPoolOp {
            forward: gpu.kernel("avgpool_forward")?,
            backward: gpu.kernel("avgpool_backward")?,
            shape,
            inputs: counts[0],
            outputs: counts[1],
            grids: counts.map(|count| shape.grid(count, &gpu.arithmetic)),
        })
    }
}

impl Operation for AvgPoolOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let arguments: [&dyn Argument; 4] = [&at.x(), &at.output, &self.shape, &self.outputs];
        self.forward.launch(&handles.stream, self.grids[1], &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 5] = [&at.dy, &at.dx, &self.shape, &accumulate, &self.inputs];
        self.backward.launch(&handles.stream, self.grids[0], &arguments)
    }
}
