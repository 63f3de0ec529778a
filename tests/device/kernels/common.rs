//! Inputs, running, and the comparison of both kernels' tests.

use layertime::device::cpu::operations::{BackwardData, BackwardWeights, Forward, Operation};
use layertime::plan::Phase;

/// Numbers in ±0.5 that look random.
pub fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

/// A sum of terms, and of their squares.
#[derive(Clone, Copy, Default)]
pub struct Sum {
    value: f64,
    squares: f64,
}

impl Sum {
    pub fn of(terms: impl IntoIterator<Item = f64>) -> Sum {
        let mut sum = Sum::default();
        terms.into_iter().for_each(|term| sum += term);
        sum
    }
}

impl std::ops::AddAssign<f64> for Sum {
    fn add_assign(&mut self, term: f64) {
        self.value += term;
        self.squares += term * term;
    }
}

/// The error of all sums is at most 1e-5 of their size: of the sums as they are, or as they are to be expected of terms with random
/// signs. A sum that cancels by chance, alone in its tensor, says nothing of the kernel.
pub fn assert_close(what: &str, got: &[f32], expected: &[Sum]) {
    let total = |of: fn(&Sum) -> f64| expected.iter().map(of).sum::<f64>();
    let size = total(|sum| sum.value * sum.value).max(total(|sum| sum.squares));
    assert_within(what, got, &expected.iter().map(|sum| sum.value).collect::<Vec<_>>(), 1e-5 * size.sqrt());
}

/// The error is at most 1e-5 of what is expected, however much that cancels.
pub fn assert_close_to_the_value(what: &str, got: &[f32], expected: &[f64]) {
    let size: f64 = expected.iter().map(|value| value * value).sum();
    assert_within(what, got, expected, 1e-5 * size.sqrt());
}

fn assert_within(what: &str, got: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(got.len(), expected.len());
    let error: f64 = got.iter().zip(expected).map(|(a, b)| (*a as f64 - b).powi(2)).sum();
    assert!(error.sqrt() <= bound, "{what}: {:e}, more than {bound:e}", error.sqrt());
}

/// Operands of the three phases of a layer.
pub struct Tensors<'a> {
    pub x: &'a [f32],
    pub w: &'a [f32],
    /// Empty where the layer has none.
    pub bias: &'a [f32],
    pub dy: &'a [f32],
    /// Added to the gradient of the input; without it the gradient is overwritten.
    pub added_to: Option<&'a [f32]>,
}

/// Results of the three phases of a layer.
pub struct Gradients {
    pub y: Vec<f32>,
    pub dx: Vec<f32>,
    pub dw: Vec<f32>,
    pub db: Vec<f32>,
}

/// Runs the three phases. Results that depend on what was in memory before are wrong: it is NaN here.
pub fn run(operation: &mut dyn Operation, tensors: &Tensors) -> Gradients {
    let &Tensors { x, w, bias, dy, added_to } = tensors;
    let nan = |len: usize| vec![f32::NAN; len];
    let scratch = |operation: &dyn Operation, phase| nan(operation.workspace_floats(phase));
    let (mut y, mut dw, mut db) = (nan(dy.len()), nan(w.len()), nan(bias.len()));
    let mut dx = added_to.map_or(nan(x.len()), <[f32]>::to_vec);
    operation.forward(Forward {
        inputs: &[x],
        weights: w,
        biases: bias,
        output: &mut y,
        workspace: &mut scratch(operation, Phase::Forward),
        ..Forward::default()
    });
    operation.backward_data(BackwardData {
        output_gradient: dy,
        weights: w,
        input_gradient: &mut dx,
        accumulate: added_to.is_some(),
        workspace: &mut scratch(operation, Phase::BackwardData),
        ..BackwardData::default()
    });
    operation.backward_weights(BackwardWeights {
        input: x,
        output_gradient: dy,
        weight_gradient: &mut dw,
        bias_gradient: &mut db,
        workspace: &mut scratch(operation, Phase::BackwardWeights),
    });
    Gradients { y, dx, dw, db }
}
