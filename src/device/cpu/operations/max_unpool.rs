//! Values put where a max pooling layer took its maxima; the gradient is taken from there.

use super::maxpool::{WindowPosition, Winners};
use super::pool::{PoolWindows, channel_blocks};
use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::pieces;
use crate::device::cpu::compute::vector::{lanes, lanes_mut, multiversioned, put};
use crate::plan::{PoolGeometry, Window};
use std::hint::select_unpredictable;

const PLANNED: &str = "a plan names the pool whose positions an unpooling takes";

pub struct MaxUnpoolOp {
    /// The pool's.
    windows: PoolWindows,
}

impl MaxUnpoolOp {
    pub fn new(pool: PoolGeometry) -> MaxUnpoolOp {
        MaxUnpoolOp { windows: PoolWindows::new(pool) }
    }
}

impl Operation for MaxUnpoolOp {
    /// Does with values as the pool's backward pass does with gradients.
    fn forward(&mut self, operands: Forward) {
        let x = operands.input();
        match operands.positions.expect(PLANNED) {
            Winners::Bytes(winners) => self.windows.give_to_winners(winners, x, operands.output, false),
            Winners::Words(winners) => self.windows.give_to_winners(winners, x, operands.output, false),
        }
    }

    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output_gradient: dy, input_gradient: dx, accumulate, positions, .. } = operands;
        match positions.expect(PLANNED) {
            Winners::Bytes(winners) => take_from_winners(&self.windows, winners, dy, dx, accumulate),
            Winners::Words(winners) => take_from_winners(&self.windows, winners, dy, dx, accumulate),
        }
    }
}

/// For each window the element of `dy` at its position.
fn take_from_winners<P: WindowPosition>(
    windows: &PoolWindows,
    winners: &[P],
    dy: &[f32],
    dx: &mut [f32],
    accumulate: bool,
) {
    let PoolGeometry { input, rows, columns } = &windows.geometry;
    let (_, row) = windows.row_elements();
    let piece = parallel::rows(input.n * rows.len(), row);
    pieces(dx, piece * row, |index, dx| {
        for (at, dx) in (index * piece..).zip(dx.chunks_exact_mut(row)) {
            let image = &dy[at / rows.len() * input.image_elements()..][..input.image_elements()];
            let winners = &winners[at * row..][..row];
            take_row(image, [input.c, input.w], rows[at % rows.len()], columns, winners, dx, accumulate);
        }
    });
}

multiversioned! {
    fn take_row<P: WindowPosition>(
        image: &[f32],
        [channels, width]: [usize; 2],
        row: Window,
        columns: &[Window],
        winners: &[P],
        dx: &mut [f32],
        accumulate: bool,
    ) {
        let outputs = dx.chunks_exact_mut(channels).zip(winners.chunks_exact(channels));
        for (&column, (dx, winners)) in columns.iter().zip(outputs) {
            channel_blocks!(channels, |channel, L| {
                let taken = taken::<L, P>(&image[channel..], [channels, width], row, column, lanes(winners, channel));
                let dx: &mut [f32; L] = lanes_mut(dx, channel);
                for lane in 0..L {
                    put(&mut dx[lane], taken[lane], accumulate);
                }
            });
        }
    }
}

/// Of one window in `L` channels; `image` begins at the first of these channels.
#[inline(always)]
fn taken<const L: usize, P: WindowPosition>(
    image: &[f32],
    [channels, width]: [usize; 2],
    row: Window,
    column: Window,
    winners: &[P; L],
) -> [f32; L] {
    let (mut taken, mut position) = ([0.0; L], 0);
    for line in row.start..row.end {
        for x in column.start..column.end {
            let values: &[f32; L] = lanes(image, (line * width + x) * channels);
            for lane in 0..L {
                taken[lane] = select_unpredictable(winners[lane].get() == position, values[lane], taken[lane]);
            }
            position += 1;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::super::maxpool::MaxPoolOp;
    use super::super::pool::tests::{each_window, geometries, offset};
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use crate::plan::kinds::MaxUnpool;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn against_plain_loops(geometry in geometries(false, 3), seed: u64) {
            prop_assume!(MaxUnpool::check(&geometry, geometry.output()).is_ok());
            let (inputs, outputs) = (geometry.input.elements(), geometry.output().elements());
            let (pooled, x, dy) = (numbers(seed, inputs), numbers(seed ^ 1, outputs), numbers(seed ^ 2, inputs));
            let (mut y, mut dx) = (vec![0f64; inputs], vec![0f64; outputs]);
            each_window(&geometry, |at, row, column, [image, channel]| {
                let places = row.elements().flat_map(|row| column.elements().map(move |column| (row, column)));
                let offsets = places.map(|(row, column)| offset(geometry.input, [image, row, column, channel]));
                let place = offsets.reduce(|best, at| if pooled[at] > pooled[best] { at } else { best }).expect("a window");
                (y[place], dx[at]) = (f64::from(x[at]), f64::from(dy[place]));
            });
            let mut pool = MaxPoolOp::new(geometry.clone());
            pool.forward(Forward { inputs: &[&pooled], output: &mut vec![0.0; outputs], ..Forward::default() });
            let positions = pool.positions();
            let op = || MaxUnpoolOp::new(geometry.clone());
            check_output(&y, |y| op().forward(Forward { inputs: &[&x], output: y, positions, ..Forward::default() }));
            check_gradient(&dx, |dx, accumulate| op().backward_data(BackwardData {
                output_gradient: &dy, input_gradient: dx, accumulate, positions, ..BackwardData::default()
            }));
        }
    }
}
