//! Max and average pooling over the plan's windows.

use rayon::prelude::*;

use super::real::Real;
use crate::plan::{PoolGeometry, Window};

pub fn max_forward<T: Real>(pool: &PoolGeometry, x: &[T]) -> Vec<T> {
    per_window(pool, x, |_, plane, window| plane[first_maximum(plane, &window)])
}

/// The gradient goes to each window's first maximum in row-major order.
pub fn max_backward_data<T: Real>(pool: &PoolGeometry, x: &[T], dy: &[T]) -> Vec<T> {
    spread(pool, dy, |dx, plane, window, dy| dx[first_maximum(&x[plane * dx.len()..][..dx.len()], &window)] += dy)
}

/// Inputs that share a window's maximum with another: which of them receives the gradient is a library's choice.
pub fn ties<T: Real>(pool: &PoolGeometry, x: &[T]) -> Vec<bool> {
    let plane_elements = pool.input.h * pool.input.w;
    let mut tied = vec![false; x.len()];
    tied.par_chunks_mut(plane_elements).zip(x.par_chunks(plane_elements)).for_each(|(tied, plane)| {
        for window in windows(pool) {
            let maximum = plane[first_maximum(plane, &window)];
            let equal: Vec<usize> = window.elements().filter(|&at| plane[at] == maximum).collect();
            if equal.len() > 1 {
                equal.into_iter().for_each(|at| tied[at] = true);
            }
        }
    });
    tied
}

/// The mean over a window, padding as zeros where it counts.
pub fn average_forward<T: Real>(pool: &PoolGeometry, x: &[T]) -> Vec<T> {
    per_window(pool, x, |_, plane, window| window.elements().map(|at| plane[at]).sum::<T>() / window.divisor::<T>())
}

pub fn average_backward_data<T: Real>(pool: &PoolGeometry, dy: &[T]) -> Vec<T> {
    spread(pool, dy, |dx, _, window, dy| window.elements().for_each(|at| dx[at] += dy / window.divisor::<T>()))
}

/// One window of a plane, its rows and its columns.
struct Area<'a> {
    rows: &'a Window,
    columns: &'a Window,
    width: usize,
}

impl Area<'_> {
    /// Indices into the plane, row by row.
    fn elements(&self) -> impl Iterator<Item = usize> + '_ {
        (self.rows.start..self.rows.end)
            .flat_map(move |row| (self.columns.start..self.columns.end).map(move |column| row * self.width + column))
    }

    fn divisor<T: Real>(&self) -> T {
        T::of((self.rows.counted * self.columns.counted) as f64)
    }
}

/// The windows of one plane in the order of its outputs.
fn windows(pool: &PoolGeometry) -> impl Iterator<Item = Area<'_>> {
    let width = pool.input.w;
    pool.rows.iter().flat_map(move |rows| pool.columns.iter().map(move |columns| Area { rows, columns, width }))
}

fn first_maximum<T: Real>(plane: &[T], window: &Area) -> usize {
    let mut best = window.rows.start * window.width + window.columns.start;
    for at in window.elements() {
        if plane[at] > plane[best] {
            best = at;
        }
    }
    best
}

/// One output per window; `value` is given the number of the plane, the plane and the window.
fn per_window<T: Real>(pool: &PoolGeometry, x: &[T], value: impl Fn(usize, &[T], Area) -> T + Sync) -> Vec<T> {
    let outputs = pool.rows.len() * pool.columns.len();
    let mut y = vec![T::zero(); pool.output().elements()];
    let planes = x.par_chunks(pool.input.h * pool.input.w);
    y.par_chunks_mut(outputs).zip(planes).enumerate().for_each(|(index, (y, plane))| {
        y.iter_mut().zip(windows(pool)).for_each(|(y, window)| *y = value(index, plane, window));
    });
    y
}

/// A gradient of the input: `add` is given the input gradient's plane and its number, the window and the output's gradient.
fn spread<T: Real>(pool: &PoolGeometry, dy: &[T], add: impl Fn(&mut [T], usize, Area, T) + Sync) -> Vec<T> {
    let outputs = pool.rows.len() * pool.columns.len();
    let mut dx = vec![T::zero(); pool.input.elements()];
    let planes = dx.par_chunks_mut(pool.input.h * pool.input.w);
    planes.zip(dy.par_chunks(outputs)).enumerate().for_each(|(index, (dx, dy))| {
        windows(pool).zip(dy).for_each(|(window, &dy)| add(dx, index, window, dy));
    });
    dx
}
