//! One-dimensional transforms of Winograd's minimal filtering F(m, r): m outputs of a filter of r taps by t = m + r − 1 products.
//!
//! Toom and Cook: the filter and the data are polynomials, evaluated at t points, multiplied there, and interpolated. With the
//! points 0, ±p₁, …, ±pₙ and ∞ (t = 2n + 2), even and odd powers are shared by p and −p. Convolution networks need the
//! transposed algorithm, in which data are interpolated and results evaluated (Lavin and Gray 2015, "Fast Algorithms for
//! Convolutional Neural Networks"; Barabasz et al. 2018, "Error Analysis and Improving the Accuracy of Winograd Convolution").

use crate::device::cpu::compute::simd::Vector;

/// The most products of a one-dimensional transform.
pub const MOST: usize = 8;

/// The most pairs of points.
const PAIRS: usize = MOST / 2 - 1;

/// Numbers that a transform takes or gives; those after the last are zero.
pub type Line<V> = [V; MOST];

/// F(m, r) at certain points.
pub trait Scheme {
    /// Outputs of a tile, m.
    const OUTPUTS: usize;
    /// Taps of the filter, r.
    const TAPS: usize;
    /// p₁ to pₙ.
    const POINTS: &'static [f64];
    /// Products, t.
    const PRODUCTS: usize = Self::OUTPUTS + Self::TAPS - 1;
    /// Coefficients of the transforms.
    const COEFFICIENTS: Coefficients = Coefficients::new(Self::POINTS);
}

/// F(2×2, 3×3): points 0, ±1, ∞.
pub struct F2x3;

impl Scheme for F2x3 {
    const OUTPUTS: usize = 2;
    const TAPS: usize = 3;
    const POINTS: &'static [f64] = &[1.0];
}

/// F(4×4, 3×3): points 0, ±0.7, ±1.5, ∞, half the error of 0, ±1, ±2, ∞.
pub struct F4x3;

impl Scheme for F4x3 {
    const OUTPUTS: usize = 4;
    const TAPS: usize = 3;
    const POINTS: &'static [f64] = &[0.7, 1.5];
}

/// F(4×4, 5×5): points 0, ±1, ±2, ±½, ∞.
pub struct F4x5;

impl Scheme for F4x5 {
    const OUTPUTS: usize = 4;
    const TAPS: usize = 5;
    const POINTS: &'static [f64] = &[1.0, 2.0, 0.5];
}

/// Coefficients of a scheme's transforms. With z = x²:
pub struct Coefficients {
    /// Of Π (z − pⱼ²), from z⁰ on.
    all: [f32; PAIRS + 1],
    /// By i: of Π (z − pⱼ²) over j ≠ i.
    without: [[f32; PAIRS]; PAIRS],
    /// By i: pᵢᵏ.
    powers: [[f32; MOST]; PAIRS],
    /// By i: pᵢᵏ / (2·pᵢ²·Π (pᵢ² − pⱼ²)), the product over j ≠ i.
    scaled_powers: [[f32; MOST]; PAIRS],
    /// 1 / Π (−pⱼ²).
    at_zero: f32,
}

impl Coefficients {
    const fn new(points: &[f64]) -> Coefficients {
        let mut c = Coefficients {
            all: [0.0; PAIRS + 1],
            without: [[0.0; PAIRS]; PAIRS],
            powers: [[0.0; MOST]; PAIRS],
            scaled_powers: [[0.0; MOST]; PAIRS],
            at_zero: 0.0,
        };
        let all = product(points, points.len());
        c.at_zero = (1.0 / all[0]) as f32;
        let mut k = 0;
        while k <= points.len() {
            c.all[k] = all[k] as f32;
            k += 1;
        }
        let mut i = 0;
        while i < points.len() {
            let without = product(points, i);
            let square = points[i] * points[i];
            let (mut value, mut power) = (0.0, 1.0);
            let mut k = 0;
            while k < points.len() {
                c.without[i][k] = without[k] as f32;
                value += without[k] * power;
                power *= square;
                k += 1;
            }
            let (mut power, mut k) = (1.0, 0);
            while k < MOST {
                c.powers[i][k] = power as f32;
                c.scaled_powers[i][k] = (power / (2.0 * square * value)) as f32;
                power *= points[i];
                k += 1;
            }
            i += 1;
        }
        c
    }
}

/// Coefficients of Π (z − pⱼ²) over j ≠ `left_out`.
const fn product(points: &[f64], left_out: usize) -> [f64; PAIRS + 1] {
    let mut result = [0.0; PAIRS + 1];
    result[0] = 1.0;
    let mut j = 0;
    while j < points.len() {
        if j != left_out {
            let square = points[j] * points[j];
            let mut k = PAIRS;
            while k > 0 {
                result[k] = result[k - 1] - square * result[k];
                k -= 1;
            }
            result[0] *= -square;
        }
        j += 1;
    }
    result
}

/// `sum + coefficient · x`, cheaper where the coefficient is 0 or ±1; coefficients are known when this is compiled.
#[inline(always)]
unsafe fn plus<V: Vector>(sum: Option<V>, coefficient: f32, x: V) -> Option<V> {
    // SAFETY: the caller's promise that the CPU has the vector's instruction set.
    unsafe {
        Some(match (sum, coefficient) {
            (_, 0.0) => return sum,
            (None, 1.0) => x,
            (None, _) => x.scale(coefficient),
            (Some(sum), 1.0) => sum.add(x),
            (Some(sum), -1.0) => sum.sub(x),
            (Some(sum), _) => x.mul_add(V::constant(coefficient), sum),
        })
    }
}

/// Transforms `PRODUCTS` numbers of data: the transposed interpolation.
///
/// # Safety
/// The CPU must have the vector's instruction set; here and in the transforms below.
#[inline(always)]
pub unsafe fn data<V: Vector, S: Scheme>(x: &Line<V>) -> Line<V> {
    // SAFETY: the caller's promise.
    unsafe {
        let c = &S::COEFFICIENTS;
        let pairs = S::POINTS.len();
        let mut y = [V::zero(); MOST];
        let (mut first, mut last) = (None, None);
        for k in 0..=pairs {
            first = plus(first, c.all[k], x[2 * k]);
            last = plus(last, c.all[k], x[2 * k + 1]);
        }
        y[0] = first.unwrap_or(V::zero());
        y[S::PRODUCTS - 1] = last.unwrap_or(V::zero());
        for i in 0..pairs {
            let (mut even, mut odd) = (None, None);
            for k in 0..pairs {
                even = plus(even, c.without[i][k], x[2 * k + 2]);
                odd = plus(odd, c.without[i][k], x[2 * k + 1]);
            }
            let (even, odd) = (even.unwrap_or(V::zero()), odd.unwrap_or(V::zero()));
            y[1 + 2 * i] = plus(Some(even), c.powers[i][1], odd).unwrap_or(even);
            y[2 + 2 * i] = plus(Some(even), -c.powers[i][1], odd).unwrap_or(even);
        }
        y
    }
}

/// Evaluates the polynomial of `count` numbers (taps of a filter, or gradients of outputs) at the points, scaled so that
/// [`data`] and [`results`] need no scaling.
///
/// # Safety
/// As for [`data`].
#[inline(always)]
pub unsafe fn evaluated<V: Vector, S: Scheme>(x: &Line<V>, count: usize) -> Line<V> {
    // SAFETY: the caller's promise.
    unsafe {
        let c = &S::COEFFICIENTS;
        let mut y = [V::zero(); MOST];
        y[0] = x[0].scale(c.at_zero);
        y[S::PRODUCTS - 1] = x[count - 1];
        for i in 0..S::POINTS.len() {
            let (mut even, mut odd) = (None, None);
            for (k, &x) in x[..count].iter().enumerate() {
                let sum = if k % 2 == 0 { &mut even } else { &mut odd };
                *sum = plus(*sum, c.scaled_powers[i][k], x);
            }
            let (even, odd) = (even.unwrap_or(V::zero()), odd.unwrap_or(V::zero()));
            y[1 + 2 * i] = even.add(odd);
            y[2 + 2 * i] = even.sub(odd);
        }
        y
    }
}

/// Turns `PRODUCTS` products into `count` results (outputs of a tile, or gradients of taps).
///
/// # Safety
/// As for [`data`].
#[inline(always)]
pub unsafe fn results<V: Vector, S: Scheme>(x: &Line<V>, count: usize) -> Line<V> {
    // SAFETY: the caller's promise.
    unsafe {
        let c = &S::COEFFICIENTS;
        let pairs = S::POINTS.len();
        let (mut sums, mut differences) = ([V::zero(); PAIRS], [V::zero(); PAIRS]);
        for i in 0..pairs {
            sums[i] = x[1 + 2 * i].add(x[2 + 2 * i]);
            differences[i] = x[1 + 2 * i].sub(x[2 + 2 * i]);
        }
        let mut y = [V::zero(); MOST];
        for (k, y) in y[..count].iter_mut().enumerate() {
            let mut sum = if k == 0 { Some(x[0]) } else { None };
            for i in 0..pairs {
                sum = plus(sum, c.powers[i][k], if k % 2 == 0 { sums[i] } else { differences[i] });
            }
            if k == count - 1 {
                sum = plus(sum, 1.0, x[S::PRODUCTS - 1]);
            }
            *y = sum.unwrap_or(V::zero());
        }
        y
    }
}
