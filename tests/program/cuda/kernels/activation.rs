//! Activation functions against their definitions in f64, at their corners and far out.

use super::harness::*;

/// A function and its derivative, of x and a parameter.
type Function = fn(f64, f64) -> (f64, f64);

fn ramp(x: f64) -> f64 {
    ((x + 3.0) / 6.0).clamp(0.0, 1.0)
}

fn between(x: f64, low: f64, high: f64) -> f64 {
    if x > low && x < high { 1.0 } else { 0.0 }
}

fn normal(x: f64) -> f64 {
    statrs::function::erf::erfc(-x / 2f64.sqrt()) / 2.0
}

fn silu(x: f64, _: f64) -> (f64, f64) {
    let s = 1.0 / (1.0 + (-x).exp());
    (x * s, s + x * s * (1.0 - s))
}

fn hardswish(x: f64, _: f64) -> (f64, f64) {
    (x * ramp(x), between(x, -3.0, 3.0) * (2.0 * x + 3.0) / 6.0 + between(x, 2.999_999, f64::INFINITY))
}

fn gelu(x: f64, _: f64) -> (f64, f64) {
    (x * normal(x), normal(x) + x * (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt())
}

/// Names; true where the gradient is computed from the output; the parameter.
const FUNCTIONS: [(&str, bool, f32, Function); 7] = [
    ("relu6", true, 0.0, |x, _| (x.clamp(0.0, 6.0), between(x, 0.0, 6.0))),
    ("hardsigmoid", true, 0.0, |x, _| (ramp(x), between(x, -3.0, 3.0) / 6.0)),
    ("leaky_relu", true, 0.25, |x, slope| if x < 0.0 { (slope * x, slope) } else { (x, 1.0) }),
    ("elu", true, 1.5, |x, alpha| if x < 0.0 { (alpha * x.exp_m1(), alpha * x.exp()) } else { (x, 1.0) }),
    ("silu", false, 0.0, silu),
    ("hardswish", false, 0.0, hardswish),
    ("gelu", false, 0.0, gelu),
];

/// A few operations in f32, each rounded.
const ROUNDINGS: f64 = 1e-6;

#[test]
fn values_and_gradients() {
    fn check<T: Storage>() {
        for (name, of_output, parameter, function) in FUNCTIONS {
            for n in SIZES {
                // Beyond every corner; the gradient reads rounded values, as the kernel does.
                let x: Vec<f64> = numbers::<T>(n, 7).iter().map(|x| T::narrow(8.0 * x).wide()).collect();
                let dy = numbers::<T>(n, 8);
                let (bx, by) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(n));
                launch_over(&format!("{name}_forward_{}", T::SUFFIX), n, &[&bx, &by, &parameter, &(n as u32)]);
                let y: Vec<f64> = x.iter().map(|&x| function(x, f64::from(parameter)).0).collect();
                assert_close(&by.wide(), &y, T::EPSILON + ROUNDINGS, 1.0);

                let (at, bdy) = (if of_output { &by } else { &bx }, Buffer::<T>::narrowed(&dy));
                let dx: Vec<f64> = gradients(&by.wide(), &x, &dy, of_output, f64::from(parameter), name, function);
                for accumulate in [0u32, 1] {
                    let bdx = Buffer::<T>::narrowed(&vec![1.0; n]);
                    let backward = format!("{name}_backward_{}", T::SUFFIX);
                    launch_over(&backward, n, &[at, &bdy, &bdx, &parameter, &accumulate, &(n as u32)]);
                    let expected: Vec<f64> = dx.iter().map(|dx| dx + f64::from(accumulate)).collect();
                    assert_close(&bdx.wide(), &expected, T::EPSILON + ROUNDINGS, 1.0);
                }
            }
        }
    }
    for_each_type!(check());
}

/// dy times the derivative: of elu's and hardsigmoid's rounded output where the kernel reads that.
fn gradients(
    y: &[f64],
    x: &[f64],
    dy: &[f64],
    of_output: bool,
    parameter: f64,
    name: &str,
    function: Function,
) -> Vec<f64> {
    let slope = |at: usize| match name {
        "elu" if y[at] < 0.0 => y[at] + parameter,
        "hardsigmoid" => between(y[at], 0.0, 1.0) / 6.0,
        "relu6" => between(y[at], 0.0, 6.0),
        _ if of_output => function(y[at], parameter).1,
        _ => function(x[at], parameter).1,
    };
    (0..dy.len()).map(|at| dy[at] * slope(at)).collect()
}

/// A NaN stays one, so that a run that goes wrong shows it.
#[test]
fn nan_stays() {
    for (name, ..) in FUNCTIONS {
        let (x, y) = (Buffer::of(&[f32::NAN]), Buffer::<f32>::fresh(1));
        launch_over(&format!("{name}_forward_f32"), 1, &[&x, &y, &0.5f32, &1u32]);
        assert!(y.read()[0].is_nan(), "{name}");
    }
}
