//! Max pooling: by cuDNN where the number of windows is rounded down, as its own is; else by an own kernel.

use super::call::Fault;
use super::dnn::{At, Pooling, Tensor};
use super::gpu::Gpu;
use super::memory::Buffer;
use super::modules::{Argument, Grid, Kernel};
use super::pool::PoolShape;
use super::queue::Queue;
use crate::device::DeviceError;
use crate::model::kind;
use crate::plan::Shape;

pub enum MaxPool {
    Library { pooling: Pooling, input: Tensor, output: Tensor },
    Own(Box<Own>),
}

pub struct Own {
    forward: Kernel,
    backward: Kernel,
    shape: PoolShape,
    inputs: u32,
    outputs: u32,
    /// The place of each window's maximum, u32.
    winners: Buffer,
}

impl MaxPool {
    pub fn new(pool: &kind::MaxPool, input: Shape, output: Shape, gpu: &Gpu) -> Result<MaxPool, DeviceError> {
        let arithmetic = &gpu.arithmetic;
        if !pool.ceil {
            let tensor = |shape| Tensor::new(shape, arithmetic.element(), arithmetic.layout);
            let (input, output) = (tensor(input)?, tensor(output)?);
            return Ok(MaxPool::Library { pooling: Pooling::max(pool)?, input, output });
        }
        let windows = [pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.pad];
        Ok(MaxPool::Own(Box::new(Own {
            forward: gpu.kernel("maxpool_forward")?,
            backward: gpu.kernel("maxpool_backward")?,
            shape: PoolShape::new(input, output, windows, arithmetic),
            inputs: input.elements() as u32,
            outputs: output.elements() as u32,
            winners: Buffer::new(size_of::<u32>() * output.elements())?,
        })))
    }

    pub fn forward(&self, queue: &Queue, x: u64, y: u64) -> Result<(), Fault> {
        match self {
            MaxPool::Library { pooling, input, output } => {
                queue.stream.count(1);
                queue.dnn.pooling_forward(pooling, At { tensor: input, address: x }, At { tensor: output, address: y })
            }
            MaxPool::Own(own) => {
                let Own { shape, outputs, winners, .. } = &**own;
                let arguments: [&dyn Argument; 5] = [&x, &y, &winners.address(), shape, outputs];
                own.forward.launch(&queue.stream, Grid::over(*outputs), &arguments)
            }
        }
    }

    pub fn backward_data(&self, queue: &Queue, [x, y, dy, dx]: [u64; 4], accumulate: bool) -> Result<(), Fault> {
        match self {
            MaxPool::Library { pooling, input, output } => {
                let [inside, outside] = [input, output].map(|tensor| move |address| At { tensor, address });
                queue.stream.count(1);
                queue.dnn.pooling_backward(pooling, [outside(y), outside(dy), inside(x), inside(dx)], accumulate)
            }
            MaxPool::Own(own) => {
                let Own { shape, inputs, winners, .. } = &**own;
                let accumulate = u32::from(accumulate);
                let arguments: [&dyn Argument; 6] = [&dy, &winners.address(), &dx, shape, &accumulate, inputs];
                own.backward.launch(&queue.stream, Grid::over(*inputs), &arguments)
            }
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            MaxPool::Library { .. } => 0,
            MaxPool::Own(own) => own.winners.bytes(),
        }
    }
}
