//! Functions of one activation, element by element, recognised by their values.
//!
//! Exporters write an activation function as one operator or as a chain of them (x · clip(x + 3, 0, 6) / 6), which differs by
//! exporter and opset. All of them are evaluated at a few points, and the points compared with the functions that layers have.

use crate::model::Kind;
use crate::model::kind::{Activation, Elu, LeakyRelu};

/// Places that tell the known functions apart: around their corners, and where they are curved.
const POINTS: [f64; 20] =
    [-9.0, -6.5, -4.1, -3.2, -3.0, -2.7, -2.0, -1.4, -1.0, -0.6, -0.2, 0.0, 0.3, 0.8, 1.0, 2.2, 2.9, 3.3, 5.5, 8.0];

/// A function at [`POINTS`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Samples([f64; POINTS.len()]);

impl Samples {
    /// f(x) = x.
    pub const IDENTITY: Samples = Samples(POINTS);

    /// f of what the samples are.
    pub fn map(self, f: impl Fn(f64) -> f64) -> Samples {
        Samples(self.0.map(f))
    }

    /// f of two functions' values at each point.
    pub fn with(self, other: Samples, f: impl Fn(f64, f64) -> f64) -> Samples {
        Samples(std::array::from_fn(|index| f(self.0[index], other.0[index])))
    }

    /// Tells if the functions are equal, up to the rounding of an exporter's constants.
    fn is(self, f: impl Fn(f64) -> f64) -> bool {
        self.0.iter().zip(POINTS).all(|(&value, point)| (value - f(point)).abs() <= 1e-5 * (1.0 + point.abs()))
    }

    /// Tells if nothing changes.
    pub fn is_identity(self) -> bool {
        self.is(|x| x)
    }

    /// The kind of layer that computes the function.
    pub fn kind(self) -> Option<Kind> {
        let known = Activation::PLAIN.into_iter().find(|&function| self.is(|x| value(function, x)));
        known.or_else(|| self.bent()).map(Kind::Activation)
    }

    /// A function that is x above zero, with its parameter from a point below.
    fn bent(self) -> Option<Activation> {
        let at = POINTS.iter().position(|&point| point == -1.0)?;
        let (slope, alpha) = (-self.0[at] as f32, (self.0[at] / (-1f64).exp_m1()) as f32);
        [Activation::LeakyRelu(LeakyRelu { slope }), Activation::Elu(Elu { alpha })]
            .into_iter()
            .find(|&function| slope >= 0.0 && self.is(|x| value(function, x)))
    }
}

/// An operator of one operand, with its attributes' effect.
pub fn unary(operator: &str, alpha: Option<f64>, beta: Option<f64>) -> Option<Box<dyn Fn(f64) -> f64>> {
    let alpha_or = |default: f64| alpha.unwrap_or(default);
    Some(match operator {
        "Relu" => Box::new(|x| x.max(0.0)),
        "Sigmoid" => Box::new(sigmoid),
        "Tanh" => Box::new(f64::tanh),
        "Exp" => Box::new(f64::exp),
        "Softplus" => Box::new(|x| x.exp().ln_1p()),
        "Softsign" => Box::new(|x| x / (1.0 + x.abs())),
        "Erf" => Box::new(erf),
        "Sqrt" => Box::new(f64::sqrt),
        "Neg" => Box::new(|x| -x),
        "Abs" => Box::new(f64::abs),
        "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "Mish" => Box::new(|x| x * x.exp().ln_1p().tanh()),
        "HardSigmoid" => {
            let (alpha, beta) = (alpha_or(0.2), beta.unwrap_or(0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "LeakyRelu" => {
            let alpha = alpha_or(0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        "Elu" => {
            let alpha = alpha_or(1.0);
            Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        "Celu" => {
            let alpha = alpha_or(1.0);
            Box::new(move |x| if x < 0.0 { alpha * (x / alpha).exp_m1() } else { x })
        }
        "Swish" => {
            let alpha = alpha_or(1.0);
            Box::new(move |x| x * sigmoid(alpha * x))
        }
        "Gelu" => Box::new(|x| 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))),
        _ => return None,
    })
}

/// An operator of two operands.
pub fn binary(operator: &str) -> Option<fn(f64, f64) -> f64> {
    Some(match operator {
        "Add" => |a, b| a + b,
        "Sub" => |a, b| a - b,
        "Mul" => |a, b| a * b,
        "Div" => |a, b| a / b,
        "Pow" => f64::powf,
        "Min" => f64::min,
        "Max" => f64::max,
        _ => return None,
    })
}

/// An activation function as ONNX writes it.
fn value(function: Activation, x: f64) -> f64 {
    let hardsigmoid = (x / 6.0 + 0.5).clamp(0.0, 1.0);
    match function {
        Activation::Relu => x.max(0.0),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x * sigmoid(x),
        Activation::Hardsigmoid => hardsigmoid,
        Activation::Hardswish => x * hardsigmoid,
        Activation::Gelu => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::LeakyRelu(LeakyRelu { slope }) => x.max(0.0) + f64::from(slope) * x.min(0.0),
        Activation::Elu(Elu { alpha }) => x.max(0.0) + f64::from(alpha) * x.min(0.0).exp_m1(),
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// erf, from the statistics crate.
fn erf(x: f64) -> f64 {
    statrs::function::erf::erf(x)
}
