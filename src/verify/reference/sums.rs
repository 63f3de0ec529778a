//! The sums that several kinds share.

use rayon::prelude::*;

use super::real::Real;
use crate::plan::Shape;

/// Σ a · b, in as many partial sums as keep vector units busy.
#[inline(always)]
pub fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    const LANES: usize = 8;
    let (mut a, mut b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let mut sums = [T::zero(); LANES];
    for (a, b) in (&mut a).zip(&mut b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (&a, &b))| *sum += a * b);
    }
    let rest: T = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| a * b).sum();
    sums.iter().copied().sum::<T>() + rest
}

/// Per channel, the sum of `value(channel, index)` over images, rows and columns.
pub fn over_channels<T: Real>(shape: Shape, value: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let plane = shape.h * shape.w;
    let channel = |c: usize| -> T {
        let elements = (0..shape.n).map(|n| (n * shape.c + c) * plane).flat_map(|first| first..first + plane);
        elements.map(|at| value(c, at)).sum()
    };
    (0..shape.c).into_par_iter().map(channel).collect()
}
