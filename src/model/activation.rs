//! Activation functions: their names, parameters and places in other programs.

use serde::Deserialize;

/// A function of each element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// max(0, x).
    Relu,
    /// x from 0 to 6, and these ends beyond.
    Relu6,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// x · sigmoid(x), also called swish.
    Silu,
    /// x/6 + ½ from 0 to 1, and these ends beyond.
    Hardsigmoid,
    /// x · hardsigmoid(x).
    Hardswish,
    /// x · Φ(x) with the normal distribution Φ, by the error function.
    Gelu,
    /// x, below zero times `slope`.
    LeakyRelu(LeakyRelu),
    /// x, below zero alpha · (eˣ − 1).
    Elu(Elu),
}

/// Parameters of leaky_relu.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LeakyRelu {
    /// Slope below zero.
    pub slope: f32,
}

impl Default for LeakyRelu {
    fn default() -> LeakyRelu {
        LeakyRelu { slope: 0.01 }
    }
}

/// Parameters of elu.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Elu {
    /// Minus the limit towards minus infinity.
    pub alpha: f32,
}

impl Default for Elu {
    fn default() -> Elu {
        Elu { alpha: 1.0 }
    }
}

impl Activation {
    /// The function's word in descriptions and tables.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Relu6 => "relu6",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Silu => "silu",
            Activation::Hardsigmoid => "hardsigmoid",
            Activation::Hardswish => "hardswish",
            Activation::Gelu => "gelu",
            Activation::LeakyRelu(_) => "leaky_relu",
            Activation::Elu(_) => "elu",
        }
    }

    /// The functions without parameters.
    pub const PLAIN: [Activation; 8] = [
        Activation::Relu,
        Activation::Relu6,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Silu,
        Activation::Hardsigmoid,
        Activation::Hardswish,
        Activation::Gelu,
    ];

    /// Tells if the gradient follows from the output; otherwise it needs the input, which a function that turns back does.
    pub fn has_gradient_of_output(self) -> bool {
        match self {
            Activation::Relu
            | Activation::Relu6
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Hardsigmoid
            | Activation::LeakyRelu(_)
            | Activation::Elu(_) => true,
            Activation::Silu | Activation::Hardswish | Activation::Gelu => false,
        }
    }
}
