//! Activation functions: one pass over the elements each way.

use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::math::{erf, exp, exp_m1, tanh};
use crate::device::cpu::compute::parallel::piece;
use crate::device::cpu::compute::tasks::{piece_of, pieces};
use crate::device::cpu::compute::vector::{multiversioned, put};
use crate::model::kind::Activation;
use std::f32::consts::{FRAC_1_SQRT_2, TAU};

pub struct ActivationOp(pub Activation);

impl Operation for ActivationOp {
    fn forward(&mut self, operands: Forward) {
        forward(self.0, operands.input(), operands.output);
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let at = if self.0.has_gradient_of_output() { operands.output } else { operands.input };
        backward_data(self.0, at, operands.output_gradient, operands.input_gradient, operands.accumulate);
    }
}

/// NaN stays NaN, as in PyTorch.
fn forward(function: Activation, x: &[f32], y: &mut [f32]) {
    match function {
        Activation::Relu => map(x, y, |x| if x < 0.0 { 0.0 } else { x }),
        Activation::Relu6 => map(x, y, |x| x.clamp(0.0, 6.0)),
        Activation::Sigmoid => map(x, y, sigmoid),
        Activation::Tanh => map(x, y, tanh),
        Activation::Silu => map(x, y, |x| x * sigmoid(x)),
        Activation::Hardsigmoid => map(x, y, hardsigmoid),
        Activation::Hardswish => map(x, y, |x| x * hardsigmoid(x)),
        Activation::Gelu => map(x, y, |x| x * normal(x)),
        Activation::LeakyRelu(leaky) => map(x, y, |x| if x < 0.0 { leaky.slope * x } else { x }),
        Activation::Elu(elu) => map(x, y, |x| if x < 0.0 { elu.alpha * exp_m1(x) } else { x }),
    }
}

/// `dx` (+)= the derivative at the output or the input, times `dy`.
fn backward_data(function: Activation, at: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    let mut by = Gradient { at, dy, dx, accumulate };
    match function {
        Activation::Relu => by.map(|y, dy| if y > 0.0 { dy } else { 0.0 }),
        Activation::Relu6 => by.map(|y, dy| if y > 0.0 && y < 6.0 { dy } else { 0.0 }),
        Activation::Sigmoid => by.map(|y, dy| dy * y * (1.0 - y)),
        Activation::Tanh => by.map(|y, dy| dy * (1.0 - y * y)),
        Activation::Silu => by.map(|x, dy| dy * sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x)))),
        Activation::Hardsigmoid => by.map(|y, dy| if y > 0.0 && y < 1.0 { dy / 6.0 } else { 0.0 }),
        Activation::Hardswish => by.map(|x, dy| dy * (x / 3.0 + 0.5) * within(x) + if x >= 3.0 { dy } else { 0.0 }),
        Activation::Gelu => by.map(|x, dy| dy * (normal(x) + x * exp(-0.5 * x * x) / TAU.sqrt())),
        Activation::LeakyRelu(leaky) => by.map(|y, dy| if y < 0.0 { leaky.slope * dy } else { dy }),
        Activation::Elu(elu) => by.map(|y, dy| if y < 0.0 { dy * (y + elu.alpha) } else { dy }),
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn hardsigmoid(x: f32) -> f32 {
    (x / 6.0 + 0.5).clamp(0.0, 1.0)
}

/// One between hardswish's corners, zero outside.
#[inline(always)]
fn within(x: f32) -> f32 {
    if x > -3.0 && x < 3.0 { 1.0 } else { 0.0 }
}

/// The normal distribution.
#[inline(always)]
fn normal(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * FRAC_1_SQRT_2)
}

fn map(x: &[f32], y: &mut [f32], function: impl Fn(f32) -> f32 + Sync) {
    let piece = piece(y.len());
    pieces(y, piece, |index, y| map_piece(y, piece_of(x, piece, index), &function));
}

/// The operands of a gradient.
struct Gradient<'a> {
    at: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    accumulate: bool,
}

impl Gradient<'_> {
    fn map(&mut self, gradient: impl Fn(f32, f32) -> f32 + Sync) {
        let piece = piece(self.dx.len());
        let (dy, at, accumulate) = (self.dy, self.at, self.accumulate);
        pieces(self.dx, piece, |index, dx| {
            let [dy, at] = [dy, at].map(|values| piece_of(values, piece, index));
            gradient_piece(dx, dy, at, accumulate, &gradient);
        });
    }
}

multiversioned! {
    fn map_piece<F: Fn(f32) -> f32>(y: &mut [f32], x: &[f32], function: &F) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = function(x);
        }
    }

    fn gradient_piece<F: Fn(f32, f32) -> f32>(dx: &mut [f32], dy: &[f32], at: &[f32], accumulate: bool, gradient: &F) {
        for ((dx, &dy), &at) in dx.iter_mut().zip(dy).zip(at) {
            put(dx, gradient(at, dy), accumulate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use crate::model::kind::{Elu, LeakyRelu};
    use proptest::prelude::*;

    /// By definition, in f64, with derivatives of the input.
    fn definition(function: Activation, x: f64) -> (f64, f64) {
        let s = 1.0 / (1.0 + (-x).exp());
        let step = |from: f64, to: f64| if x > from && x < to { 1.0 } else { 0.0 };
        match function {
            Activation::Relu => (x.max(0.0), step(0.0, f64::INFINITY)),
            Activation::Relu6 => (x.clamp(0.0, 6.0), step(0.0, 6.0)),
            Activation::Sigmoid => (s, s * (1.0 - s)),
            Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
            Activation::Silu => (x * s, s + x * s * (1.0 - s)),
            Activation::Hardsigmoid => (((x + 3.0) / 6.0).clamp(0.0, 1.0), step(-3.0, 3.0) / 6.0),
            Activation::Hardswish => {
                (x * ((x + 3.0) / 6.0).clamp(0.0, 1.0), step(-3.0, 3.0) * (2.0 * x + 3.0) / 6.0 + step(3.0, 1e9))
            }
            Activation::Gelu => {
                let normal = statrs::function::erf::erfc(-x / 2f64.sqrt()) / 2.0;
                (x * normal, normal + x * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt())
            }
            Activation::LeakyRelu(LeakyRelu { slope }) if x < 0.0 => (x * f64::from(slope), f64::from(slope)),
            Activation::Elu(Elu { alpha }) if x < 0.0 => (f64::from(alpha) * x.exp_m1(), f64::from(alpha) * x.exp()),
            Activation::LeakyRelu(_) | Activation::Elu(_) => (x, 1.0),
        }
    }

    fn all() -> Vec<Activation> {
        let bent = [Activation::LeakyRelu(LeakyRelu { slope: 0.2 }), Activation::Elu(Elu { alpha: 1.5 })];
        Activation::PLAIN.into_iter().chain(bent).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn against_their_definitions(count in 1..20_000usize, seed: u64, scale in 0.001f32..9.0) {
            let x: Vec<f32> = numbers(seed, count).iter().map(|x| scale * x).collect();
            let dy = numbers(seed ^ 1, count);
            for function in all() {
                let y: Vec<f64> = x.iter().map(|&x| definition(function, f64::from(x)).0).collect();
                check_output(&y, |y| forward(function, &x, y));
                let y: Vec<f32> = y.iter().map(|&y| y as f32).collect();
                let slope = |&x: &f32| definition(function, f64::from(x)).1;
                let dx: Vec<f64> = x.iter().zip(&dy).map(|(x, &dy)| f64::from(dy) * slope(x)).collect();
                let at = if function.has_gradient_of_output() { &y } else { &x };
                check_gradient(&dx, |dx, accumulate| backward_data(function, at, &dy, dx, accumulate));
            }
        }
    }

    #[test]
    fn special_values() {
        for function in all() {
            let mut y = [1.0; 3];
            forward(function, &[f32::NAN, 0.0, 100.0], &mut y);
            let end = definition(function, 100.0);
            assert!(y[0].is_nan(), "{function:?}");
            assert_eq!((f64::from(y[1]), f64::from(y[2])), (definition(function, 0.0).0, end.0), "{function:?}");
        }
        let mut dx = [f32::NAN; 2];
        backward_data(Activation::Relu, &[0.0, 1.0], &[f32::INFINITY, 4.0], &mut dx, false);
        assert_eq!(dx, [0.0, 4.0]);
    }
}
