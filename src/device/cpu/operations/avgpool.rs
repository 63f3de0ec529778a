//! The mean of each window, over fixed or adaptive windows.

use super::pool::{PoolWindows, channel_blocks};
use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::pieces;
use crate::device::cpu::compute::vector::{lanes, lanes_mut, multiversioned, put};
use crate::plan::{PoolGeometry, Window};

pub struct AvgPoolOp {
    windows: PoolWindows,
}

impl AvgPoolOp {
    pub fn new(geometry: PoolGeometry) -> AvgPoolOp {
        AvgPoolOp { windows: PoolWindows::new(geometry) }
    }

    fn pool(&self, x: &[f32], y: &mut [f32]) {
        let PoolGeometry { input, rows, .. } = &self.windows.geometry;
        let (_, row) = self.windows.row_elements();
        let piece = parallel::rows(input.n * rows.len(), row);
        pieces(y, piece * row, |index, y| {
            for (at, y) in (index * piece..).zip(y.chunks_exact_mut(row)) {
                let image = &x[at / rows.len() * input.image_elements()..][..input.image_elements()];
                forward_row(&self.windows, rows[at % rows.len()], image, y);
            }
        });
    }

    /// Gathers, for every input element, its share of the gradients of the windows that hold it.
    fn spread(&self, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let input = self.windows.geometry.input;
        let (row, _) = self.windows.row_elements();
        let piece = parallel::rows(input.n * input.h, row);
        let image = self.windows.geometry.output().image_elements();
        pieces(dx, piece * row, |index, dx| {
            for (at, dx) in (index * piece..).zip(dx.chunks_exact_mut(row)) {
                backward_row(&self.windows, at % input.h, &dy[at / input.h * image..][..image], dx, accumulate);
            }
        });
    }
}

impl Operation for AvgPoolOp {
    fn forward(&mut self, operands: Forward) {
        self.pool(operands.input(), operands.output);
    }

    fn backward_data(&mut self, operands: BackwardData) {
        self.spread(operands.output_gradient, operands.input_gradient, operands.accumulate);
    }
}

multiversioned! {
    fn forward_row(windows: &PoolWindows, row: Window, image: &[f32], y: &mut [f32]) {
        let PoolGeometry { input, columns, .. } = &windows.geometry;
        for (&column, y) in columns.iter().zip(y.chunks_exact_mut(input.c)) {
            channel_blocks!(input.c, |channel, L| {
                let mut sum = [0.0; L];
                for y in row.start..row.end {
                    for x in column.start..column.end {
                        add(&mut sum, lanes(image, (y * input.w + x) * input.c + channel), 1.0);
                    }
                }
                let y: &mut [f32; L] = lanes_mut(y, channel);
                for lane in 0..L {
                    y[lane] = sum[lane] * weight(row, column);
                }
            });
        }
    }

    fn backward_row(windows: &PoolWindows, row: usize, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let PoolGeometry { input, rows, columns } = &windows.geometry;
        for (dx, covering) in dx.chunks_exact_mut(input.c).zip(&windows.covering_columns) {
            channel_blocks!(input.c, |channel, L| {
                let mut sum = [0.0; L];
                for y in windows.covering_rows[row].clone() {
                    for x in covering.clone() {
                        let at = (y * columns.len() + x) * input.c + channel;
                        add(&mut sum, lanes(dy, at), weight(rows[y], columns[x]));
                    }
                }
                let dx: &mut [f32; L] = lanes_mut(dx, channel);
                for lane in 0..L {
                    put(&mut dx[lane], sum[lane], accumulate);
                }
            });
        }
    }
}

#[inline(always)]
fn add<const L: usize>(sum: &mut [f32; L], values: &[f32; L], weight: f32) {
    for lane in 0..L {
        sum[lane] += values[lane] * weight;
    }
}

/// The share of one element in a window's mean.
#[inline(always)]
fn weight(row: Window, column: Window) -> f32 {
    1.0 / (row.counted * column.counted) as f32
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::{each_window, geometries, offset};
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn against_plain_loops(geometry in prop_oneof![geometries(false, 2), geometries(true, 2)], seed: u64) {
            let x = numbers(seed, geometry.input.elements());
            let dy = numbers(seed ^ 1, geometry.output().elements());
            let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
            each_window(&geometry, |at, row, column, [image, channel]| {
                let share = 1.0 / (row.counted * column.counted) as f64;
                for line in row.start..row.end {
                    for place in column.start..column.end {
                        let input = offset(geometry.input, [image, line, place, channel]);
                        y[at] += f64::from(x[input]) * share;
                        dx[input] += f64::from(dy[at]) * share;
                    }
                }
            });
            let pool = AvgPoolOp::new(geometry);
            check_output(&y, |y| pool.pool(&x, y));
            check_gradient(&dx, |dx, accumulate| pool.spread(&dy, dx, accumulate));
        }
    }
}
