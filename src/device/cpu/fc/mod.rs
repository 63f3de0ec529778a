//! Fully connected layers in f32.
//!
//! [`Fc::new`] plans one layer for one batch size and number of threads. The phases then run inside the current rayon pool
//! and allocate nothing; each takes scratch memory of at least [`Fc::workspace_floats`].
//!
//! Layouts: activations `[N][inputs]`, weights `[outputs][inputs]`, bias `[outputs]`.

mod few;
mod many;

use super::conv::Workspace;
use super::gemm::{Matrix, multiply};
use super::microkernel::Kernels;
use super::simd::Isa;

/// A fully connected layer ready to run.
pub struct Fc {
    n: usize,
    inputs: usize,
    outputs: usize,
    threads: usize,
    isa: Isa,
    kernels: Option<&'static Kernels>,
    /// Where each image's output gradient begins.
    images: Vec<usize>,
}

impl Fc {
    /// Plans a layer for `n` images, `threads` threads and an instruction set that this CPU supports.
    pub fn new(n: usize, inputs: usize, outputs: usize, threads: usize, isa: Isa) -> Self {
        let images = (0..n).map(|image| image * outputs).collect();
        Self { n, inputs, outputs, threads, isa, kernels: Kernels::of(isa), images }
    }

    /// What the CSV calls the algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.isa {
            Isa::Avx512 => "direct_avx512",
            Isa::Avx2 => "direct_avx2",
            Isa::Portable => "gemm",
        }
    }

    pub fn workspace(&self) -> Workspace {
        self.kernels.map_or(Workspace::default(), |kernels| many::workspace(self, kernels))
    }

    /// The scratch memory that serves every phase, in f32.
    pub fn workspace_floats(&self) -> usize {
        self.workspace().most()
    }

    /// `y = x · wᵀ + bias`.
    pub fn forward(&self, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32], workspace: &mut [f32]) {
        self.check(x, w, y, bias);
        match self.kernels {
            Some(kernels) if self.n <= kernels.max_images() => few::forward(self, kernels, x, w, bias, y),
            Some(kernels) => many::forward(self, kernels, x, w, bias, y, workspace),
            None => {
                if let Some(bias) = bias {
                    y.chunks_exact_mut(self.outputs).for_each(|y| y.copy_from_slice(bias));
                }
                multiply(self.input(x), self.weights(w).transposed(), y, self.outputs, bias.is_some(), self.threads);
            }
        }
    }

    /// The gradient of the input, from the output's gradient `dy`; added to `dx` if `accumulate`.
    pub fn backward_data(&self, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool, workspace: &mut [f32]) {
        self.check(dx, w, dy, None);
        match self.kernels {
            Some(kernels) if self.n <= kernels.max_images() => few::backward_data(self, kernels, dy, w, dx, accumulate),
            Some(kernels) => many::backward_data(self, kernels, dy, w, dx, accumulate, workspace),
            None => multiply(self.output(dy), self.weights(w), dx, self.inputs, accumulate, self.threads),
        }
    }

    /// The gradients of the weights and of the bias, summed over the batch.
    pub fn backward_weights(
        &self,
        x: &[f32],
        dy: &[f32],
        dw: &mut [f32],
        dbias: Option<&mut [f32]>,
        workspace: &mut [f32],
    ) {
        self.check(x, dw, dy, dbias.as_deref());
        match self.kernels {
            Some(kernels) => many::backward_weights(self, kernels, x, dy, dw, workspace),
            None => multiply(self.output(dy).transposed(), self.input(x), dw, self.inputs, false, self.threads),
        }
        if let Some(dbias) = dbias {
            dbias.fill(0.0);
            for dy in dy.chunks_exact(self.outputs) {
                dbias.iter_mut().zip(dy).for_each(|(db, dy)| *db += dy);
            }
        }
    }

    fn input<'a>(&self, x: &'a [f32]) -> Matrix<'a> {
        Matrix::rows(x, self.n, self.inputs, self.inputs)
    }

    fn output<'a>(&self, y: &'a [f32]) -> Matrix<'a> {
        Matrix::rows(y, self.n, self.outputs, self.outputs)
    }

    fn weights<'a>(&self, w: &'a [f32]) -> Matrix<'a> {
        Matrix::rows(w, self.outputs, self.inputs, self.inputs)
    }

    /// The kernels trust these lengths.
    fn check(&self, x: &[f32], w: &[f32], y: &[f32], bias: Option<&[f32]>) {
        let Self { n, inputs, outputs, .. } = *self;
        assert_eq!([x.len(), w.len(), y.len()], [n * inputs, outputs * inputs, n * outputs]);
        assert!(bias.is_none_or(|bias| bias.len() == outputs));
    }
}
