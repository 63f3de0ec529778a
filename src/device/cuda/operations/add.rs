//! Sums of branches, by own kernels; and the copy that a dropout layer makes when it is switched off.

use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{CallError, Grid, Handles, Kernel, memory};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;

/// The sum of at least two inputs.
pub struct AddOp {
    add: Kernel,
    copy: CopyOp,
}

/// An output that is the input.
pub struct CopyOp {
    accumulate: Kernel,
    elements: u32,
    element_bytes: usize,
}

impl AddOp {
    /// Of inputs with this many elements each.
    pub fn new(elements: usize, gpu: &SharedGpu) -> Result<AddOp, Failure> {
        Ok(AddOp { add: gpu.kernel("add")?, copy: CopyOp::new(elements, gpu)? })
    }
}

impl Operation for AddOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let CopyOp { accumulate, elements, .. } = &self.copy;
        let (grid, inputs, y) = (self.copy.grid(), at.inputs, &at.output);
        self.add.launch(&handles.stream, grid, &[&inputs[0], &inputs[1], y, elements])?;
        for x in &inputs[2..] {
            accumulate.launch(&handles.stream, grid, &[x, y, elements])?;
        }
        Ok(())
    }

    /// Every input's gradient is the output's.
    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        self.copy.backward_data(handles, at)
    }
}

impl CopyOp {
    /// Of an input with this many elements.
    pub fn new(elements: usize, gpu: &SharedGpu) -> Result<CopyOp, Failure> {
        let element_bytes = gpu.arithmetic.element().bytes();
        Ok(CopyOp { accumulate: gpu.kernel("accumulate")?, elements: elements as u32, element_bytes })
    }

    fn grid(&self) -> Grid {
        Grid::streaming(self.elements, self.element_bytes)
    }

    fn copy(&self, handles: &Handles, from: u64, to: u64) -> Result<(), CallError> {
        memory::copy(&handles.stream, from, to, self.elements as usize * self.element_bytes)
    }
}

impl Operation for CopyOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        self.copy(handles, at.x(), at.output)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        match at.accumulate {
            true => self.accumulate.launch(&handles.stream, self.grid(), &[&at.dy, &at.dx, &self.elements]),
            false => self.copy(handles, at.dy, at.dx),
        }
    }
}
