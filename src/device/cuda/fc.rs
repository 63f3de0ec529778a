//! Fully connected layers: cuBLAS products, and own kernels for the bias.
//!
//! Rows of x, y and the weights \[out, in\] are columns to cuBLAS, so y = x·Wᵀ is yᵀ = W·xᵀ there.

use super::bias::Bias;
use super::blas::{Matrix, Product};
use super::call::Fault;
use super::gpu::Gpu;
use super::queue::Queue;
use crate::device::DeviceError;
use crate::plan::Precision;
use crate::plan::Shape;

pub struct Fc {
    images: usize,
    inputs: usize,
    outputs: usize,
    precision: Precision,
    bias: Option<Bias>,
}

impl Fc {
    pub fn new(inputs: usize, output: Shape, bias: bool, gpu: &Gpu) -> Result<Fc, DeviceError> {
        Ok(Fc {
            images: output.n,
            inputs,
            outputs: output.c,
            precision: gpu.arithmetic.precision,
            bias: bias.then(|| Bias::new(output, gpu)).transpose()?,
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
        self.bias.as_ref().zip(bias).map_or(Ok(()), |(own, bias)| own.add(queue, y, bias))
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
        self.bias.as_ref().zip(dbias).map_or(Ok(()), |(own, dbias)| own.gradient(queue, dy, dbias))
    }

    pub fn bytes(&self) -> usize {
        self.bias.as_ref().map_or(0, Bias::bytes)
    }

    /// cuBLAS chooses by itself, and tells nothing but the function.
    pub fn algorithm(&self) -> String {
        "cublasGemmEx".into()
    }
}
