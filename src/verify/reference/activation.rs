//! Activation functions by their definition, and their derivatives times the output's gradient.

use super::real::Real;
use crate::model::kind::Activation;

pub fn forward<T: Real>(function: Activation, x: &[T]) -> Vec<T> {
    x.iter().map(|&x| value(function, x)).collect()
}

/// `at` is the input where the derivative is one of the input, otherwise the output.
pub fn backward_data<T: Real>(function: Activation, at: &[T], dy: &[T]) -> Vec<T> {
    at.iter().zip(dy).map(|(&at, &dy)| dy * derivative(function, at)).collect()
}

/// Tells if the derivative below is one of the output.
pub fn is_of_output(function: Activation) -> bool {
    !matches!(function, Activation::Silu | Activation::Hardswish | Activation::Gelu)
}

fn value<T: Real>(function: Activation, x: T) -> T {
    match function {
        Activation::Relu => x.max(T::zero()),
        Activation::Relu6 => x.max(T::zero()).min(T::of(6.0)),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x * sigmoid(x),
        Activation::Hardsigmoid => hardsigmoid(x),
        Activation::Hardswish => x * hardsigmoid(x),
        Activation::Gelu => x * normal(x),
        Activation::LeakyRelu(leaky) if x < T::zero() => x * T::of(leaky.slope),
        Activation::Elu(elu) if x < T::zero() => T::of(elu.alpha) * x.exp_m1(),
        Activation::LeakyRelu(_) | Activation::Elu(_) => x,
    }
}

fn derivative<T: Real>(function: Activation, at: T) -> T {
    let within = |low: f64, high: f64| at > T::of(low) && at < T::of(high);
    let one_if = |holds: bool| if holds { T::one() } else { T::zero() };
    match function {
        // Of the output.
        Activation::Relu => one_if(at > T::zero()),
        Activation::Relu6 => one_if(within(0.0, 6.0)),
        Activation::Sigmoid => at * (T::one() - at),
        Activation::Tanh => T::one() - at * at,
        Activation::Hardsigmoid => one_if(within(0.0, 1.0)) / T::of(6.0),
        Activation::LeakyRelu(leaky) if at < T::zero() => T::of(leaky.slope),
        Activation::Elu(elu) if at < T::zero() => at + T::of(elu.alpha),
        Activation::LeakyRelu(_) | Activation::Elu(_) => T::one(),
        // Of the input.
        Activation::Silu => sigmoid(at) * (T::one() + at * (T::one() - sigmoid(at))),
        Activation::Hardswish if within(-3.0, 3.0) => at / T::of(3.0) + T::of(0.5),
        Activation::Hardswish => one_if(at >= T::of(3.0)),
        Activation::Gelu => {
            let density = (-at * at / T::of(2.0)).exp() / T::of(std::f64::consts::TAU.sqrt());
            normal(at) + at * density
        }
    }
}

fn sigmoid<T: Real>(x: T) -> T {
    T::one() / (T::one() + (-x).exp())
}

fn hardsigmoid<T: Real>(x: T) -> T {
    (x / T::of(6.0) + T::of(0.5)).max(T::zero()).min(T::one())
}

/// The normal distribution: (1 + erf(x/√2)) / 2, as erfc so that it stays exact far below zero.
fn normal<T: Real>(x: T) -> T {
    T::of(statrs::function::erf::erfc(-x.in_f64() / std::f64::consts::SQRT_2) / 2.0)
}
