//! Fully connected layers: cuBLAS products, and own kernels for the bias.
//!
//! Rows of x, y and the weights \[out, in\] are columns to cuBLAS, so y = x·Wᵀ is yᵀ = W·xᵀ there.

use super::blas::{Matrix, Product};
use super::call::Fault;
use super::gpu::Gpu;
use super::modules::{Grid, Kernel};
use super::queue::Queue;
use crate::device::DeviceError;
use crate::device::options::Precision;

pub struct Fc {
    images: usize,
    inputs: usize,
    outputs: usize,
    precision: Precision,
    bias_add: Kernel,
    bias_gradient: Kernel,
}

impl Fc {
    pub fn new(images: usize, inputs: usize, outputs: usize, gpu: &Gpu) -> Result<Fc, DeviceError> {
        Ok(Fc {
            images,
            inputs,
            outputs,
            precision: gpu.arithmetic.precision,
            bias_add: gpu.kernel("fc_bias_add")?,
            bias_gradient: gpu.kernel("fc_bias_gradient")?,
        })
    }

    pub fn forward(&self, queue: &Queue, [x, w, y]: [u64; 3], bias: Option<u64>) -> Result<(), Fault> {
        let &Fc { images, inputs, outputs, .. } = self;
        let product = Product {
            m: outputs,
            n: images,
            k: inputs,
            a: Matrix { address: w, leading: inputs, transposed: true },
            b: Matrix { address: x, leading: inputs, transposed: false },
            c: Matrix { address: y, leading: outputs, transposed: false },
            accumulate: false,
        };
        queue.blas.multiply(&queue.stream, self.precision, &product)?;
        let Some(bias) = bias else { return Ok(()) };
        let (columns, elements) = (outputs as u32, (images * outputs) as u32);
        self.bias_add.launch(&queue.stream, Grid::over(elements), &[&y, &bias, &columns, &elements])
    }

    /// dx = dy·W.
    pub fn backward_data(&self, queue: &Queue, [dy, w, dx]: [u64; 3], accumulate: bool) -> Result<(), Fault> {
        let &Fc { images, inputs, outputs, .. } = self;
        let product = Product {
            m: inputs,
            n: images,
            k: outputs,
            a: Matrix { address: w, leading: inputs, transposed: false },
            b: Matrix { address: dy, leading: outputs, transposed: false },
            c: Matrix { address: dx, leading: inputs, transposed: false },
            accumulate,
        };
        queue.blas.multiply(&queue.stream, self.precision, &product)
    }

    /// dW = dyᵀ·x, and the bias's gradient, the column sums of dy.
    pub fn backward_weights(&self, queue: &Queue, [x, dy, dw]: [u64; 3], dbias: Option<u64>) -> Result<(), Fault> {
        let &Fc { images, inputs, outputs, .. } = self;
        let product = Product {
            m: inputs,
            n: outputs,
            k: images,
            a: Matrix { address: x, leading: inputs, transposed: false },
            b: Matrix { address: dy, leading: outputs, transposed: true },
            c: Matrix { address: dw, leading: inputs, transposed: false },
            accumulate: false,
        };
        queue.blas.multiply(&queue.stream, self.precision, &product)?;
        let Some(dbias) = dbias else { return Ok(()) };
        let (rows, columns) = (images as u32, outputs as u32);
        let grid = Grid { blocks: [columns.div_ceil(32), 1, 1], threads: [32, 8] };
        self.bias_gradient.launch(&queue.stream, grid, &[&dy, &dbias, &rows, &columns])
    }

    /// cuBLAS chooses by itself, and tells nothing but the function.
    pub fn algorithm(&self) -> String {
        "cublasGemmEx".into()
    }
}
