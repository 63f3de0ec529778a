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

/// Computes a value for each index, in parallel. One copy of rayon's machinery serves all formulas in one arithmetic.
pub fn each<T: Real>(count: usize, value: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    (0..count).into_par_iter().with_min_len(64).map(value).collect()
}

/// Fills a tensor by pieces of `len` values in parallel: `fill` is given a piece's number and its values, which are zero.
pub fn by_piece<T: Copy + Default + Send>(total: usize, len: usize, fill: &(dyn Fn(usize, &mut [T]) + Sync)) -> Vec<T> {
    let mut values = vec![T::default(); total];
    values.par_chunks_mut(len).enumerate().for_each(|(index, piece)| fill(index, piece));
    values
}

/// Per channel, the sum of `value(channel, index)` over images, rows and columns.
pub fn over_channels<T: Real>(shape: Shape, value: impl Fn(usize, usize) -> T + Sync) -> Vec<T> {
    let plane = shape.h * shape.w;
    let channel = |c: usize| -> T {
        let elements = (0..shape.n).map(|n| (n * shape.c + c) * plane).flat_map(|first| first..first + plane);
        elements.map(|at| value(c, at)).sum()
    };
    each(shape.c, &channel)
}
