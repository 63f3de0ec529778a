//! Max and average pooling over the plan's windows.

use super::real::Real;
use super::sums::by_piece;
use crate::plan::{PoolGeometry, Window};

pub fn max_forward<T: Real>(pool: &PoolGeometry, x: &[T]) -> Vec<T> {
    per_window(pool, x, |_, plane, window| plane[first_maximum(plane, &window)])
}

/// The gradient goes to each window's first maximum in row-major order.
pub fn max_backward_data<T: Real>(pool: &PoolGeometry, x: &[T], dy: &[T]) -> Vec<T> {
    spread(pool, dy, |dx, plane, window, dy| dx[first_maximum(&x[plane * dx.len()..][..dx.len()], &window)] += dy)
}

/// Elements of `values` at the place of each window's first maximum of `x`: what unpooling's gradient is, as unpooling itself is
/// [`max_backward_data`] of values.
pub fn at_maxima<T: Real>(pool: &PoolGeometry, x: &[T], values: &[T]) -> Vec<T> {
    let elements = pool.input.h * pool.input.w;
    per_window(pool, x, |index, plane, window| values[index * elements + first_maximum(plane, &window)])
}

/// Inputs that share a window's maximum with another: which of them receives the gradient is a library's choice.
pub fn ties<T: Real>(pool: &PoolGeometry, x: &[T]) -> Vec<bool> {
    let plane_elements = pool.input.h * pool.input.w;
    by_piece(x.len(), plane_elements, &|index, tied: &mut [bool]| {
        let plane = &x[index * plane_elements..][..plane_elements];
        for window in windows(pool) {
            let maximum = plane[first_maximum(plane, &window)];
            let equal: Vec<usize> = window.elements().filter(|&at| plane[at] == maximum).collect();
            if equal.len() > 1 {
                equal.into_iter().for_each(|at| tied[at] = true);
            }
        }
    })
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
        let row = move |row: usize| self.columns.elements().map(move |column| row * self.width + column);
        self.rows.elements().flat_map(row)
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
    let first = |along: &Window| along.start + along.lead;
    let mut best = first(window.rows) * window.width + first(window.columns);
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
    let elements = pool.input.h * pool.input.w;
    by_piece(pool.output().elements(), outputs, &|index, y: &mut [T]| {
        let plane = &x[index * elements..][..elements];
        y.iter_mut().zip(windows(pool)).for_each(|(y, window)| *y = value(index, plane, window));
    })
}

/// A gradient of the input: `add` is given the input gradient's plane and its number, the window and the output's gradient.
fn spread<T: Real>(pool: &PoolGeometry, dy: &[T], add: impl Fn(&mut [T], usize, Area, T) + Sync) -> Vec<T> {
    let outputs = pool.rows.len() * pool.columns.len();
    by_piece(pool.input.elements(), pool.input.h * pool.input.w, &|index, dx: &mut [T]| {
        windows(pool).zip(&dy[index * outputs..][..outputs]).for_each(|(window, &dy)| add(dx, index, window, dy));
    })
}
