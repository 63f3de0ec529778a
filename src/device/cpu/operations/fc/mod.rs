//! Fully connected layers in f32.
//!
//! [`FcOp::new`] plans one layer for one batch size and number of threads. Layouts: activations \[N, inputs\], weights
//! \[outputs, inputs\], biases \[outputs\].

mod large_batch;
mod small_batch;

use super::{BackwardData, BackwardWeights, Forward, Operation, algorithm};
use crate::device::Algorithm;
use crate::device::cpu::compute::gemm::{MatrixView, multiply};
use crate::device::cpu::compute::microkernel::{MicroKernels, Term};
use crate::device::cpu::compute::simd::Isa;
use crate::plan::{FcGeometry, Phase};

/// A fully connected layer ready to run.
pub struct FcOp {
    geometry: FcGeometry,
    threads: usize,
    isa: Isa,
    kernels: Option<&'static MicroKernels>,
    /// Offset of each image among copied columns of the outputs' gradient.
    images: Vec<Term>,
}

impl FcOp {
    /// Plans a layer for `threads` threads and an instruction set that this CPU supports.
    pub fn new(geometry: FcGeometry, threads: usize, isa: Isa) -> Self {
        let images = Term::columns(geometry.n, large_batch::COLUMN_PITCH);
        Self { geometry, threads, isa, kernels: MicroKernels::of(isa), images }
    }

    fn input<'a>(&self, x: &'a [f32]) -> MatrixView<'a> {
        MatrixView::rows(x, self.geometry.n, self.geometry.inputs, self.geometry.inputs)
    }

    fn output<'a>(&self, y: &'a [f32]) -> MatrixView<'a> {
        MatrixView::rows(y, self.geometry.n, self.geometry.outputs, self.geometry.outputs)
    }

    fn weights<'a>(&self, w: &'a [f32]) -> MatrixView<'a> {
        MatrixView::rows(w, self.geometry.outputs, self.geometry.inputs, self.geometry.inputs)
    }

    /// The kernels trust these lengths.
    fn check(&self, x: &[f32], w: &[f32], y: &[f32], biases: &[f32]) {
        let FcGeometry { n, inputs, outputs } = self.geometry;
        assert_eq!([x.len(), w.len(), y.len()], [n * inputs, outputs * inputs, n * outputs]);
        assert!(biases.is_empty() || biases.len() == outputs);
    }
}

impl Operation for FcOp {
    /// `output = input · weightsᵀ + biases`.
    fn forward(&mut self, operands: Forward) {
        let (x, outputs) = (operands.input(), self.geometry.outputs);
        self.check(x, operands.weights, operands.output, operands.biases);
        match self.kernels {
            Some(kernels) if self.geometry.n <= kernels.small_batch => small_batch::forward(self, kernels, operands),
            Some(kernels) => large_batch::forward(self, kernels, operands),
            None => {
                let Forward { biases, weights, output, .. } = operands;
                let add = !biases.is_empty();
                if add {
                    output.chunks_exact_mut(outputs).for_each(|y| y.copy_from_slice(biases));
                }
                multiply(self.input(x), self.weights(weights).transposed(), output, outputs, add, self.threads);
            }
        }
    }

    /// `input_gradient = output_gradient · weights`.
    fn backward_data(&mut self, operands: BackwardData) {
        self.check(operands.input_gradient, operands.weights, operands.output_gradient, &[]);
        match self.kernels {
            Some(kernels) if self.geometry.n <= kernels.small_batch => {
                small_batch::backward_data(self, kernels, operands)
            }
            Some(kernels) => large_batch::backward_data(self, kernels, operands),
            None => {
                let BackwardData { output_gradient, weights, input_gradient, accumulate, .. } = operands;
                let (dy, w) = (self.output(output_gradient), self.weights(weights));
                multiply(dy, w, input_gradient, self.geometry.inputs, accumulate, self.threads);
            }
        }
    }

    /// `weight_gradient = output_gradientᵀ · input`, and `output_gradient` summed over the batch.
    fn backward_weights(&mut self, operands: BackwardWeights) {
        let BackwardWeights { input: x, output_gradient: dy, weight_gradient: dw, bias_gradient: db, workspace } =
            operands;
        self.check(x, dw, dy, db);
        match self.kernels {
            Some(kernels) => large_batch::weight_gradient(self, kernels, x, dy, dw, workspace),
            None => {
                let (x, dy) = (self.input(x), self.output(dy).transposed());
                multiply(dy, x, dw, self.geometry.inputs, false, self.threads);
            }
        }
        if !db.is_empty() {
            db.fill(0.0);
            for dy in dy.chunks_exact(self.geometry.outputs) {
                db.iter_mut().zip(dy).for_each(|(db, dy)| *db += dy);
            }
        }
    }

    fn workspace_floats(&self, phase: Phase) -> usize {
        self.kernels.map_or(0, |kernels| large_batch::workspace_floats(self, kernels, phase))
    }

    fn algorithm(&self, phase: Phase) -> Option<Algorithm> {
        let name = match self.isa {
            Isa::Avx512 => "direct_avx512",
            Isa::Avx2 => "direct_avx2",
            Isa::Portable => "gemm",
        };
        algorithm(name, self.workspace_floats(phase))
    }
}
