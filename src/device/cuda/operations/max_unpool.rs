//! Max unpooling, by own kernels on the positions that the pool keeps.

use super::maxpool::Positions;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, CallError, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;

/// Values put where a pool took its maxima.
pub struct MaxUnpoolOp {
    /// Gives values to the places of the maxima, as the pool gives them gradients.
    forward: Kernel,
    backward: Kernel,
    pool: Positions,
}

impl MaxUnpoolOp {
    /// With a pool's positions.
    pub fn new(pool: Positions, gpu: &SharedGpu) -> Result<MaxUnpoolOp, Failure> {
        Ok(MaxUnpoolOp { forward: gpu.kernel("maxpool_backward")?, backward: gpu.kernel("max_unpool_backward")?, pool })
    }
}

impl Operation for MaxUnpoolOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let Positions { winners, shape, counts, grids } = &self.pool;
        let arguments: [&dyn Argument; 6] = [&at.x(), winners, &at.output, shape, &0u32, &counts[0]];
        self.forward.launch(&handles.stream, grids[0], &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let Positions { winners, shape, counts, grids } = &self.pool;
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 6] = [&at.dy, winners, &at.dx, shape, &accumulate, &counts[1]];
        self.backward.launch(&handles.stream, grids[1], &arguments)
    }
}
