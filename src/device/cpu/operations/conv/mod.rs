//! Convolution in f32.
//!
//! [`ConvOp::new`] plans one layer for one batch size and number of threads: tables of where pixels lie, and how work is cut.
//! Results do not depend on timing: the same threads give the same bits, and so do others but for the portable products. Layouts:
//! activations \[N, H, W, C\], weights \[R, S, C/groups, K\], biases \[K\].

mod bias;
mod channelwise;
mod correlate;
mod direct;
mod im2col;
mod taps;
mod transposed;
mod weights;
mod windows;
mod winograd;

use super::{BackwardData, BackwardWeights, Forward, Operation, algorithm};
use crate::device::cpu::compute::microkernel::MicroKernels;
use crate::device::cpu::compute::simd::Isa;
use crate::device::{Algorithm, Transform};
use crate::plan::{ConvGeometry, Phase};
use channelwise::Channelwise;
use direct::Direct;
use im2col::Im2col;
use winograd::Winograd;

pub use transposed::ConvTransposeOp;

/// A convolution ready to run.
pub struct ConvOp {
    geometry: ConvGeometry,
    isa: Isa,
    method: Method,
}

/// Algorithms that a convolution may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlgorithmChoice {
    /// Winograd too, where it serves the shape.
    ByRule,
    /// Direct ones alone.
    Direct,
}

enum Method {
    Direct(Box<Direct>),
    Im2col(Im2col),
    Winograd(Box<Winograd>),
    Channelwise(Box<Channelwise>),
}

impl ConvOp {
    /// Plans a convolution for `threads` threads and an instruction set that this CPU supports.
    ///
    /// The algorithm is chosen by rule, so that runs can be repeated: Winograd where it serves the shape, unless `choice` is
    /// direct; kernels of their own for groups of few channels; else the direct kernels; by the portable
    /// instructions, and with stride and dilation along one axis, im2col.
    pub fn new(geometry: ConvGeometry, threads: usize, isa: Isa, choice: AlgorithmChoice) -> Self {
        let winograd = match choice {
            AlgorithmChoice::Direct => None,
            AlgorithmChoice::ByRule => Winograd::new(&geometry, threads, isa),
        };
        let kernels = MicroKernels::of(isa).filter(|_| Direct::serves(&geometry));
        let method = match (winograd, Channelwise::new(&geometry, threads, isa), kernels) {
            (Some(winograd), _, _) => Method::Winograd(Box::new(winograd)),
            (None, Some(channelwise), _) => Method::Channelwise(Box::new(channelwise)),
            (None, None, Some(kernels)) => Method::Direct(Box::new(Direct::new(geometry, threads, kernels))),
            (None, None, None) => Method::Im2col(Im2col::new(geometry, threads)),
        };
        Self { geometry, isa, method }
    }

    /// The kernels trust these lengths.
    fn check(&self, x: &[f32], w: &[f32], y: &[f32], biases: &[f32]) {
        let g = &self.geometry;
        assert_eq!([x.len(), w.len(), y.len()], [g.input_len(), g.weight_len(), g.output_len()], "{g:?}");
        assert!(biases.is_empty() || biases.len() == g.k, "{g:?}");
    }
}

impl Operation for ConvOp {
    /// `output = input ∗ weights + biases`.
    fn forward(&mut self, operands: Forward) {
        self.check(operands.input(), operands.weights, operands.output, operands.biases);
        match &self.method {
            Method::Direct(direct) => direct.forward(operands),
            Method::Im2col(im2col) => im2col.forward(operands),
            Method::Winograd(winograd) => winograd.forward(operands),
            Method::Channelwise(channelwise) => channelwise.forward(operands),
        }
    }

    fn backward_data(&mut self, operands: BackwardData) {
        self.check(operands.input_gradient, operands.weights, operands.output_gradient, &[]);
        match &self.method {
            Method::Direct(direct) => direct.backward_data(operands),
            Method::Im2col(im2col) => im2col.backward_data(operands),
            Method::Winograd(winograd) => winograd.backward_data(operands),
            Method::Channelwise(channelwise) => channelwise.backward_data(operands),
        }
    }

    fn backward_weights(&mut self, operands: BackwardWeights) {
        self.check(operands.input, operands.weight_gradient, operands.output_gradient, operands.bias_gradient);
        match &self.method {
            Method::Direct(direct) => direct.backward_weights(operands),
            Method::Im2col(im2col) => im2col.backward_weights(operands),
            Method::Winograd(winograd) => winograd.backward_weights(operands),
            Method::Channelwise(channelwise) => channelwise.backward_weights(operands),
        }
    }

    fn workspace_floats(&self, phase: Phase) -> usize {
        match &self.method {
            Method::Direct(direct) => direct.workspace_floats(phase),
            Method::Im2col(im2col) => im2col.workspace_floats(),
            Method::Winograd(winograd) => winograd.workspace_floats(phase),
            Method::Channelwise(channelwise) => channelwise.workspace_floats(phase),
        }
    }

    fn algorithm(&self, phase: Phase) -> Option<Algorithm> {
        let name = match &self.method {
            Method::Direct(_) => format!("direct_{}", self.isa.name()),
            Method::Im2col(_) => "im2col_gemm".into(),
            Method::Channelwise(_) => format!("channelwise_{}", self.isa.name()),
            Method::Winograd(winograd) => format!("{}_{}", winograd.name(), self.isa.name()),
        };
        let transform = match &self.method {
            Method::Winograd(winograd) => Transform::Winograd(Some(winograd.tile())),
            Method::Direct(_) | Method::Im2col(_) | Method::Channelwise(_) => Transform::Plain,
        };
        algorithm(&name, self.workspace_floats(phase)).map(|algorithm| Algorithm { transform, ..algorithm })
    }
}
