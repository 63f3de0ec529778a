//! The sums that several kinds share.

use rayon::prelude::*;

use crate::plan::Shape;

/// Σ a · b, in as many partial sums as keep vector units busy.
#[inline(always)]
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut sums = [0.0; LANES];
    for (a, b) in (&mut a).zip(&mut b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// Per channel, the sum of `value(channel, index)` over images, rows and columns.
pub fn over_channels(shape: Shape, value: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
    let plane = shape.h * shape.w;
    let channel = |c: usize| -> f64 {
        let elements = (0..shape.n).map(|n| (n * shape.c + c) * plane).flat_map(|first| first..first + plane);
        elements.map(|at| value(c, at)).sum()
    };
    (0..shape.c).into_par_iter().map(channel).collect()
}
