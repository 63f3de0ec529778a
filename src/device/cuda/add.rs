//! Sums of branches, by own kernels.

use super::call::Fault;
use super::gpu::Gpu;
use super::modules::{Grid, Kernel};
use super::queue::Queue;
use crate::device::DeviceError;

pub struct Add {
    add: Kernel,
    accumulate: Kernel,
    elements: u32,
    element_bytes: usize,
}

impl Add {
    pub fn new(elements: usize, gpu: &Gpu) -> Result<Add, DeviceError> {
        Ok(Add {
            add: gpu.kernel("add")?,
            accumulate: gpu.kernel("accumulate")?,
            elements: elements as u32,
            element_bytes: gpu.arithmetic.element().bytes(),
        })
    }

    /// At least two inputs.
    pub fn forward(&self, queue: &Queue, inputs: &[u64], y: u64) -> Result<(), Fault> {
        let grid = Grid::over(self.elements);
        self.add.launch(&queue.stream, grid, &[&inputs[0], &inputs[1], &y, &self.elements])?;
        for x in &inputs[2..] {
            self.accumulate.launch(&queue.stream, grid, &[x, &y, &self.elements])?;
        }
        Ok(())
    }

    /// Every input's gradient is the output's.
    pub fn backward_data(&self, queue: &Queue, [dy, dx]: [u64; 2], accumulate: bool) -> Result<(), Fault> {
        match accumulate {
            true => self.accumulate.launch(&queue.stream, Grid::over(self.elements), &[&dy, &dx, &self.elements]),
            false => queue.copy(dy, dx, self.elements as usize * self.element_bytes),
        }
    }

    /// What a dropout does that is switched off.
    pub fn copy(&self, queue: &Queue, x: u64, y: u64) -> Result<(), Fault> {
        queue.copy(x, y, self.elements as usize * self.element_bytes)
    }
}
