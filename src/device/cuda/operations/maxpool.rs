//! Max pooling: by cuDNN where the number of windows is rounded down, as its own is, opposite sides have equal padding, and elements
//! of a window are neighbours, and nobody asks for the places of its maxima; else by an own kernel.

use super::pool::PoolShape;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::dnn::{GradientRefs, PoolingDescriptor, TensorDescriptor, TensorRef};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind::{self, Pair};
use crate::plan::LayerPlan;

/// Max pooling.
pub enum MaxPoolOp {
    /// By cuDNN.
    Library {
        /// Its windows.
        pooling: PoolingDescriptor,
        /// Input.
        input: TensorDescriptor,
        /// Output.
        output: TensorDescriptor,
    },
    /// By an own kernel.
    Own(Box<OwnMaxPool>),
}

/// The own kernels and their memory.
pub struct OwnMaxPool {
    forward: Kernel,
    backward: Kernel,
    shape: PoolShape,
    inputs: u32,
    outputs: u32,
    /// Over the inputs, and over the outputs.
    grids: [Grid; 2],
    /// The place of each window's maximum, u32.
    winners: Buffer,
}

/// The places of maxima, and the windows that they are of.
#[derive(Clone, Copy)]
pub struct Positions {
    /// Device address of a u32 for each output of the pool.
    pub winners: u64,
    /// The pool's windows.
    pub shape: PoolShape,
    /// Elements of the pool's input, and of its output.
    pub counts: [u32; 2],
    /// Threads over them.
    pub grids: [Grid; 2],
}

impl MaxPoolOp {
    /// With the windows of the kind.
    pub fn new(pool: &kind::MaxPool, planned: &LayerPlan, gpu: &SharedGpu) -> Result<MaxPoolOp, Failure> {
        let arithmetic = &gpu.arithmetic;
        let (input, output) = (planned.input(), planned.output);
        let [before, after] = pool.pad.around([input.h, input.w], pool.kernel, pool.stride.unwrap_or(pool.kernel));
        if !pool.ceil && before == after && pool.dilation == Pair::square(1) && !planned.gives_positions {
            let tensor = |shape| TensorDescriptor::new(shape, arithmetic.element(), arithmetic.layout);
            let (input, output) = (tensor(input)?, tensor(output)?);
            return Ok(MaxPoolOp::Library { pooling: PoolingDescriptor::max(pool, before)?, input, output });
        }
        let shape = PoolShape::max(pool, input, output, arithmetic);
        let counts = [input, output].map(|of| of.elements() as u32);
        Ok(MaxPoolOp::Own(Box::new(OwnMaxPool {
            forward: gpu.kernel("maxpool_forward")?,
            backward: gpu.kernel("maxpool_backward")?,
            shape,
            inputs: counts[0],
            outputs: counts[1],
            grids: counts.map(|count| shape.grid(count, arithmetic)),
            winners: Buffer::new(size_of::<u32>() * output.elements())?,
        })))
    }
}

impl Operation for MaxPoolOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let (x, y) = (at.x(), at.output);
        match self {
            MaxPoolOp::Library { pooling, input, output } => {
                let (x, y) = (TensorRef { tensor: input, address: x }, TensorRef { tensor: output, address: y });
                handles.stream.count(1);
                handles.dnn.pooling_forward(pooling, x, y)
            }
            MaxPoolOp::Own(own) => {
                let OwnMaxPool { shape, outputs, grids, winners, .. } = &**own;
                let arguments: [&dyn Argument; 5] = [&x, &y, &winners.address(), shape, outputs];
                own.forward.launch(&handles.stream, grids[1], &arguments)
            }
        }
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let &BackwardData { x, y, dy, dx, accumulate, .. } = at;
        match self {
            MaxPoolOp::Library { pooling, input, output } => {
                let [x, dx] = [x, dx].map(|address| TensorRef { tensor: input, address });
                let [y, dy] = [y, dy].map(|address| TensorRef { tensor: output, address });
                handles.stream.count(1);
                handles.dnn.pooling_backward(pooling, GradientRefs { y, dy, x, dx }, accumulate)
            }
            MaxPoolOp::Own(own) => {
                let OwnMaxPool { shape, inputs, grids, winners, .. } = &**own;
                let accumulate = u32::from(accumulate);
                let arguments: [&dyn Argument; 6] = [&dy, &winners.address(), &dx, shape, &accumulate, inputs];
                own.backward.launch(&handles.stream, grids[0], &arguments)
            }
        }
    }

    fn positions(&self) -> Option<Positions> {
        match self {
            MaxPoolOp::Library { .. } => None,
            MaxPoolOp::Own(own) => Some(Positions {
                winners: own.winners.address(),
                shape: own.shape,
                counts: [own.inputs, own.outputs],
                grids: own.grids,
            }),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            MaxPoolOp::Library { .. } => 0,
            MaxPoolOp::Own(own) => own.winners.bytes(),
        }
    }
}
