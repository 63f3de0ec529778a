//! Convolution in f32.
//!
//! [`Conv::new`] plans one layer for one batch size and number of threads: tables of where pixels lie, and how work is cut.
//! The phases then run inside the current rayon pool and allocate nothing; each takes scratch memory of at least
//! [`Conv::workspace_floats`]. Results do not depend on timing: the same threads give the same bits.
//!
//! Layouts: activations `[N][H][W][C]`, weights `[R][S][C/groups][K]`, bias `[K]`.

mod correlate;
mod direct;
mod im2col;
mod weights;
mod windows;

use super::microkernel::Kernels;
use super::simd::Isa;
use crate::plan::{ConvGeometry, Phase};
use direct::Direct;
use im2col::Im2col;

/// A convolution ready to run.
pub struct Conv {
    geometry: ConvGeometry,
    isa: Isa,
    algorithm: Algorithm,
}

enum Algorithm {
    Direct(Box<Direct>),
    Im2col(Im2col),
}

/// Scratch memory of each phase, in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    pub forward: usize,
    pub backward_data: usize,
    pub backward_weights: usize,
}

impl Workspace {
    pub fn of(&self, phase: Phase) -> usize {
        match phase {
            Phase::Forward => self.forward,
            Phase::BackwardData => self.backward_data,
            Phase::BackwardWeights => self.backward_weights,
            Phase::LossScale | Phase::WeightUpdate => 0,
        }
    }

    /// What serves every phase.
    pub fn most(&self) -> usize {
        self.forward.max(self.backward_data).max(self.backward_weights)
    }
}

impl Conv {
    /// Plans a convolution for `threads` threads and an instruction set that this CPU supports.
    pub fn new(geometry: ConvGeometry, threads: usize, isa: Isa) -> Self {
        let algorithm = match Kernels::of(isa) {
            Some(kernels) => Algorithm::Direct(Box::new(Direct::new(geometry, threads, kernels))),
            None => Algorithm::Im2col(Im2col::new(geometry, threads)),
        };
        Self { geometry, isa, algorithm }
    }

    /// What the CSV calls the algorithm.
    pub fn algorithm(&self) -> &'static str {
        match self.isa {
            Isa::Avx512 => "direct_avx512",
            Isa::Avx2 => "direct_avx2",
            Isa::Portable => "im2col_gemm",
        }
    }

    pub fn workspace(&self) -> Workspace {
        match &self.algorithm {
            Algorithm::Direct(direct) => Workspace {
                forward: direct.forward_floats(),
                backward_data: direct.backward_data_floats(),
                backward_weights: direct.backward_weights_floats(),
            },
            Algorithm::Im2col(im2col) => {
                let floats = im2col.workspace_floats();
                Workspace { forward: floats, backward_data: floats, backward_weights: floats }
            }
        }
    }

    /// The scratch memory that serves every phase, in f32.
    pub fn workspace_floats(&self) -> usize {
        self.workspace().most()
    }

    /// `y = x ∗ w + bias`.
    pub fn forward(&self, x: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32], workspace: &mut [f32]) {
        self.check(x, w, y, bias);
        match &self.algorithm {
            Algorithm::Direct(direct) => direct.forward(x, w, bias, y, workspace),
            Algorithm::Im2col(im2col) => im2col.forward(x, w, bias, y, workspace),
        }
    }

    /// The gradient of the input, from the output's gradient `dy`; added to `dx` if `accumulate`.
    pub fn backward_data(&self, dy: &[f32], w: &[f32], dx: &mut [f32], accumulate: bool, workspace: &mut [f32]) {
        self.check(dx, w, dy, None);
        match &self.algorithm {
            Algorithm::Direct(direct) => direct.backward_data(dy, w, dx, accumulate, workspace),
            Algorithm::Im2col(im2col) => im2col.backward_data(dy, w, dx, accumulate, workspace),
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
        match &self.algorithm {
            Algorithm::Direct(direct) => direct.backward_weights(x, dy, dw, dbias, workspace),
            Algorithm::Im2col(im2col) => im2col.backward_weights(x, dy, dw, dbias, workspace),
        }
    }

    /// The kernels trust these lengths.
    fn check(&self, x: &[f32], w: &[f32], y: &[f32], bias: Option<&[f32]>) {
        let g = &self.geometry;
        assert_eq!([x.len(), w.len(), y.len()], [g.input_len(), g.weight_len(), g.output_len()], "{g:?}");
        assert!(bias.is_none_or(|bias| bias.len() == g.k), "{g:?}");
    }
}
