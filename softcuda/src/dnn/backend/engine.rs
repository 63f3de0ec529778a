//! Engines for convolutions: made up, like the algorithms of the legacy API, and as different as a caller's choice needs.

use super::super::algorithm::{self, Direction};
use super::super::im2col;
use super::resolve::Operation;
use crate::element::Element;
use crate::finding::Finding;
use crate::settings::SETTINGS;
use cudarc::cudnn::sys::cudnnMathType_t;

/// Engines from here on use tensor cores, which round f32 operands to TF32 on devices that have it.
const TENSOR_CORE: u32 = 100;
/// An engine that converts its operands to half precision.
const NARROW: u32 = 200;

/// An engine for an operation.
#[derive(Clone)]
pub struct Config {
    operation: Operation,
    engine: u32,
}

/// The configurations that mode A (3) or the fallback (2) offers for an operation, the best first.
pub fn configs(operation: &Operation, mode: i64) -> Vec<Config> {
    const FALLBACK: i64 = 2;
    let of = |engine: u32| Config { operation: operation.clone(), engine };
    let works =
        |config: &Config| algorithm::workspace(operation.direction, config.legacy(), &operation.problem).is_ok();
    let element = operation.problem.x.element;
    if element == Element::BF16 && SETTINGS.capability.0 < 8 {
        return Vec::new();
    }
    if mode == FALLBACK {
        return [1, 0].map(of).into_iter().filter(works).collect();
    }
    // Mode A has nothing but tensor cores for grouped f32 convolutions forward, as on an H100.
    let grouped = operation.direction == Direction::Forward && operation.problem.geometry().groups > 1;
    let plain: &[u32] = if grouped && element == Element::F32 { &[] } else { &[7, 5, 3, 2, 1, 0] };
    let all = [TENSOR_CORE + 1, NARROW].iter().chain(plain).copied().map(of);
    all.filter(works).collect()
}

impl Config {
    /// The operation.
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// The legacy algorithm with the same workspace.
    fn legacy(&self) -> u32 {
        if self.engine >= NARROW { 0 } else { self.engine % TENSOR_CORE }
    }

    /// The engine's number.
    pub fn index(&self) -> i64 {
        i64::from(self.engine)
    }

    /// Knob types and values: a split of the sums, say.
    pub fn knobs(&self) -> [(i32, i64); 1] {
        [(2, i64::from(self.engine % 4))]
    }

    /// Bytes of scratch.
    pub fn workspace(&self) -> usize {
        algorithm::workspace(self.operation.direction, self.legacy(), &self.operation.problem).unwrap_or(0)
    }

    /// Numbers of cudnnBackendNumericalNote_t.
    pub fn numerical_notes(&self) -> Vec<i32> {
        let mut notes = Vec::new();
        if self.engine >= TENSOR_CORE {
            notes.push(0);
        }
        if self.engine == NARROW {
            notes.push(1);
        }
        if self.engine < TENSOR_CORE && algorithm::is_atomic(self.operation.direction, self.engine) {
            notes.push(4);
        }
        if self.engine < TENSOR_CORE && algorithm::is_winograd(self.operation.direction, self.engine) {
            notes.push(5);
        }
        notes
    }

    /// The plan's JSON representation, of which callers read the engine.
    pub fn json(&self) -> String {
        format!("{{\"engine\":{{\"id\":{}}}}}", self.engine)
    }

    /// Computes on tensors at the addresses of x, w and y.
    pub fn compute(&self, [x, w, y]: [u64; 3]) -> Result<(), Finding> {
        let Operation { direction, blend, .. } = self.operation;
        let mut problem = self.operation.problem.clone();
        problem.convolution.math = match self.engine >= TENSOR_CORE {
            true => cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
            false => cudnnMathType_t::CUDNN_FMA_MATH,
        };
        let p = &problem;
        match direction {
            Direction::Forward => {
                let out = im2col::forward(&p.geometry(), &p.operand(&p.x, x)?, &p.operand(&p.w, w)?);
                p.y.write(y, &out, blend)
            }
            Direction::BackwardData => {
                let out = im2col::backward_data(&p.geometry(), &p.operand(&p.w, w)?, &p.operand(&p.y, y)?);
                p.x.write(x, &out, blend)
            }
            Direction::BackwardFilter => {
                let out = im2col::backward_filter(&p.geometry(), &p.operand(&p.x, x)?, &p.operand(&p.y, y)?);
                p.w.write(w, &out, blend)
            }
        }
    }
}
