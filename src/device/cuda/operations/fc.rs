//! Fully connected layers: cuBLAS products, and own kernels for the bias.
//!
//! Rows of x, y and the weights \[out, in\] are columns to cuBLAS, so y = x·Wᵀ is yᵀ = W·xᵀ there.

use super::bias::Bias;
use super::{BackwardData, BackwardWeights, Forward, Operation};
use crate::device::cuda::driver::{CallError, Gemm, Handles, Matrix};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::{Algorithm, Transform};
use crate::plan::{FcGeometry, Phase, Precision, Shape};

/// A fully connected layer.
pub struct FcOp {
    geometry: FcGeometry,
    precision: Precision,
    bias: Option<Bias>,
}

impl FcOp {
    /// With a bias or without.
    pub fn new(geometry: &FcGeometry, output: Shape, bias: bool, gpu: &SharedGpu) -> Result<FcOp, Failure> {
        Ok(FcOp {
            geometry: *geometry,
            precision: gpu.arithmetic.precision,
            bias: bias.then(|| Bias::new(output, gpu)).transpose()?,
        })
    }
}

impl Operation for FcOp {
    /// y = x·Wᵀ + b.
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let FcGeometry { n: images, inputs, outputs } = self.geometry;
        let product = Gemm {
            m: outputs,
            n: images,
            k: inputs,
            a: Matrix { address: at.parameters.weights, leading: inputs, transposed: true },
            b: Matrix { address: at.x(), leading: inputs, transposed: false },
            c: Matrix { address: at.output, leading: outputs, transposed: false },
            accumulate: false,
        };
        handles.blas.multiply(&handles.stream, self.precision, &product)?;
        self.bias.as_ref().map_or(Ok(()), |bias| bias.add(handles, at.output, at.parameters.biases))
    }

    /// dx = dy·W.
    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let FcGeometry { n: images, inputs, outputs } = self.geometry;
        let product = Gemm {
            m: inputs,
            n: images,
            k: outputs,
            a: Matrix { address: at.parameters.weights, leading: inputs, transposed: false },
            b: Matrix { address: at.dy, leading: outputs, transposed: false },
            c: Matrix { address: at.dx, leading: inputs, transposed: false },
            accumulate: at.accumulate,
        };
        handles.blas.multiply(&handles.stream, self.precision, &product)
    }

    /// dW = dyᵀ·x, and the bias's gradient, the column sums of dy.
    fn backward_weights(&self, handles: &Handles, at: &BackwardWeights) -> Result<(), CallError> {
        let FcGeometry { n: images, inputs, outputs } = self.geometry;
        let product = Gemm {
            m: inputs,
            n: outputs,
            k: images,
            a: Matrix { address: at.x, leading: inputs, transposed: false },
            b: Matrix { address: at.dy, leading: outputs, transposed: true },
            c: Matrix { address: at.parameters.weight_gradients, leading: inputs, transposed: false },
            accumulate: false,
        };
        handles.blas.multiply(&handles.stream, self.precision, &product)?;
        self.bias.as_ref().map_or(Ok(()), |bias| bias.gradient(handles, at.dy, at.parameters.bias_gradients))
    }

    fn bytes(&self) -> usize {
        self.bias.as_ref().map_or(0, Bias::bytes)
    }

    /// cuBLAS chooses by itself, and tells nothing but the function.
    fn algorithm(&self, _: Phase) -> Option<Algorithm> {
        Some(Algorithm { name: "cublasGemmEx".into(), workspace_bytes: 0, transform: Transform::Plain })
    }
}
