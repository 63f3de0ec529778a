//! Average pooling, padding counted, by an own kernel: cuDNN has neither adaptive windows nor a number of windows rounded up, and
//! its backward asks for x and y, which a step does not keep for an average.

use super::call::Fault;
use super::gpu::Gpu;
use super::modules::{Argument, Grid, Kernel};
use super::pool::PoolShape;
use super::queue::Queue;
use crate::device::DeviceError;
use crate::model::kind;
use crate::plan::Shape;

pub struct AvgPool {
    forward: Kernel,
    backward: Kernel,
    shape: PoolShape,
    inputs: u32,
    outputs: u32,
}

impl AvgPool {
    pub fn new(pool: &kind::AvgPool, input: Shape, output: Shape, gpu: &Gpu) -> Result<AvgPool, DeviceError> {
        let shape = match *pool {
            kind::AvgPool::Windows { kernel, stride, pad, ceil: _ } => {
                PoolShape::new(input, output, [kernel, stride, pad], &gpu.arithmetic)
            }
            kind::AvgPool::Adaptive { output: _ } => PoolShape::adaptive(input, output, &gpu.arithmetic),
        };
        Ok(AvgPool {
            forward: gpu.kernel("avgpool_forward")?,
            backward: gpu.kernel("avgpool_backward")?,
            shape,
            inputs: input.elements() as u32,
            outputs: output.elements() as u32,
        })
    }

    pub fn forward(&self, queue: &Queue, x: u64, y: u64) -> Result<(), Fault> {
        let arguments: [&dyn Argument; 4] = [&x, &y, &self.shape, &self.outputs];
        self.forward.launch(&queue.stream, Grid::over(self.outputs), &arguments)
    }

    pub fn backward_data(&self, queue: &Queue, [dy, dx]: [u64; 2], accumulate: bool) -> Result<(), Fault> {
        let accumulate = u32::from(accumulate);
        let arguments: [&dyn Argument; 5] = [&dy, &dx, &self.shape, &accumulate, &self.inputs];
        self.backward.launch(&queue.stream, Grid::over(self.inputs), &arguments)
    }
}
