//! The largest element of each window, and its place, to which the gradient goes.

use super::pool::{PoolWindows, channel_blocks, largest_window};
use super::{BackwardData, Forward, Operation};
use crate::device::cpu::compute::parallel;
use crate::device::cpu::compute::tasks::{pieces, pieces_of_two};
use crate::device::cpu::compute::vector::{lanes, lanes_mut, multiversioned, put};
use crate::plan::{PoolGeometry, Window};
use std::hint::select_unpredictable;

pub struct MaxPoolOp {
    windows: PoolWindows,
    winners: Winners,
}

/// The winner of each window, as its position in row-major order among all pixels that the window reaches over; laid out as the output.
pub enum Winners {
    /// For windows of at most 256 elements: all that networks have.
    Bytes(Vec<u8>),
    Words(Vec<u32>),
}

impl Winners {
    fn new(geometry: &PoolGeometry) -> Winners {
        let elements = geometry.output().elements();
        match largest_window(geometry) {
            ..=256 => Winners::Bytes(vec![0; elements]),
            257.. => Winners::Words(vec![0; elements]),
        }
    }
}

/// A number that holds a position within a window.
pub trait WindowPosition: Copy + Send + Sync {
    fn new(position: u32) -> Self;
    fn get(self) -> u32;
}

impl WindowPosition for u8 {
    #[inline(always)]
    fn new(position: u32) -> u8 {
        position as u8
    }
    #[inline(always)]
    fn get(self) -> u32 {
        u32::from(self)
    }
}

impl WindowPosition for u32 {
    #[inline(always)]
    fn new(position: u32) -> u32 {
        position
    }
    #[inline(always)]
    fn get(self) -> u32 {
        self
    }
}

impl MaxPoolOp {
    pub fn new(geometry: PoolGeometry) -> MaxPoolOp {
        let winners = Winners::new(&geometry);
        MaxPoolOp { windows: PoolWindows::new(geometry), winners }
    }
}

impl Operation for MaxPoolOp {
    /// The first of equal maxima wins, and so does the last NaN, as in PyTorch.
    fn forward(&mut self, operands: Forward) {
        match &mut self.winners {
            Winners::Bytes(winners) => self.windows.largest(operands.input(), operands.output, winners),
            Winners::Words(winners) => self.windows.largest(operands.input(), operands.output, winners),
        }
    }

    fn positions(&self) -> Option<&Winners> {
        Some(&self.winners)
    }

    /// Gathers, for every input element, the gradients of the windows that it won; 0 where it won none.
    fn backward_data(&mut self, operands: BackwardData) {
        let BackwardData { output_gradient: dy, input_gradient: dx, accumulate, .. } = operands;
        match &self.winners {
            Winners::Bytes(winners) => self.windows.give_to_winners(winners, dy, dx, accumulate),
            Winners::Words(winners) => self.windows.give_to_winners(winners, dy, dx, accumulate),
        }
    }
}

impl PoolWindows {
    fn largest<P: WindowPosition>(&self, x: &[f32], y: &mut [f32], winners: &mut [P]) {
        let PoolGeometry { input, rows, columns } = &self.geometry;
        let neighbours = rows.iter().chain(columns).all(|window| window.step == 1);
        let (_, row) = self.row_elements();
        let piece = parallel::rows(input.n * rows.len(), row);
        pieces_of_two((y, piece * row), (winners, piece * row), |index, y, winners| {
            let outputs = y.chunks_exact_mut(row).zip(winners.chunks_exact_mut(row));
            for (at, (y, winners)) in (index * piece..).zip(outputs) {
                let image = &x[at / rows.len() * input.image_elements()..][..input.image_elements()];
                let row = rows[at % rows.len()];
                match neighbours {
                    true => forward_row::<false, P>(image, input.c, row, columns, input.w, y, winners),
                    false => forward_row::<true, P>(image, input.c, row, columns, input.w, y, winners),
                }
            }
        });
    }

    /// The sums of what the windows give to the elements that they took their maxima from.
    pub fn give_to_winners<P: WindowPosition>(&self, winners: &[P], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let input = self.geometry.input;
        let (row, _) = self.row_elements();
        let piece = parallel::rows(input.n * input.h, row);
        let image = self.geometry.output().image_elements();
        pieces(dx, piece * row, |index, dx| {
            for (at, dx) in (index * piece..).zip(dx.chunks_exact_mut(row)) {
                let range = at / input.h * image..(at / input.h + 1) * image;
                backward_row(self, at % input.h, &winners[range.clone()], &dy[range], dx, accumulate);
            }
        });
    }
}

multiversioned! {
    fn forward_row<const APART: bool, P: WindowPosition>(
        image: &[f32],
        channels: usize,
        row: Window,
        columns: &[Window],
        width: usize,
        y: &mut [f32],
        winners: &mut [P],
    ) {
        let outputs = y.chunks_exact_mut(channels).zip(winners.chunks_exact_mut(channels));
        for (&column, (y, winners)) in columns.iter().zip(outputs) {
            channel_blocks!(channels, |channel, L| {
                let (y, winners): (&mut [f32; L], &mut [P; L]) = (lanes_mut(y, channel), lanes_mut(winners, channel));
                largest::<APART, L, P>(&image[channel..], channels, [row, column], width, y, winners);
            });
        }
    }

    fn backward_row<P: WindowPosition>(
        windows: &PoolWindows,
        row: usize,
        winners: &[P],
        dy: &[f32],
        dx: &mut [f32],
        accumulate: bool,
    ) {
        let channels = windows.geometry.input.c;
        for (column, dx) in dx.chunks_exact_mut(channels).enumerate() {
            channel_blocks!(channels, |channel, L| {
                let won = won::<L, P>(windows, (row, column), channel, winners, dy);
                let dx: &mut [f32; L] = lanes_mut(dx, channel);
                for lane in 0..L {
                    put(&mut dx[lane], won[lane], accumulate);
                }
            });
        }
    }
}

/// The maxima of one window in `L` channels, and where they are; `image` begins at the first of these channels. Steps between the
/// elements of a window that are known to be 1 save a third of the time.
#[inline(always)]
fn largest<const APART: bool, const L: usize, P: WindowPosition>(
    image: &[f32],
    channels: usize,
    [row, column]: [Window; 2],
    width: usize,
    y: &mut [f32; L],
    winners: &mut [P; L],
) {
    let [(row_lead, row_step), (column_lead, column_step)] =
        [row, column].map(|window| if APART { (window.lead, window.step) } else { (0, 1) });
    let across = column.end - column.start;
    let (mut best, mut place) = ([f32::NEG_INFINITY; L], [0; L]);
    let (mut line, mut first) = (row.start + row_lead, row_lead * across + column_lead);
    while line < row.end {
        let (mut x, mut position) = (column.start + column_lead, first as u32);
        while x < column.end {
            let values: &[f32; L] = lanes(image, (line * width + x) * channels);
            for lane in 0..L {
                // A plain `if` becomes a store under a mask, and the arrays then live in memory.
                let wins = (values[lane] > best[lane]) | values[lane].is_nan();
                best[lane] = select_unpredictable(wins, values[lane], best[lane]);
                place[lane] = select_unpredictable(wins, position, place[lane]);
            }
            x += column_step;
            position += column_step as u32;
        }
        line += row_step;
        first += row_step * across;
    }
    for lane in 0..L {
        y[lane] = best[lane];
        winners[lane] = P::new(place[lane]);
    }
}

/// The sum of the gradients of the windows that one input element won, in `L` channels.
#[inline(always)]
fn won<const L: usize, P: WindowPosition>(
    windows: &PoolWindows,
    (row, column): (usize, usize),
    channel: usize,
    winners: &[P],
    dy: &[f32],
) -> [f32; L] {
    let PoolGeometry { input, rows, columns } = &windows.geometry;
    let mut sum = [0.0; L];
    for y in windows.covering_rows[row].clone() {
        for x in windows.covering_columns[column].clone() {
            let width = columns[x].end - columns[x].start;
            let position = ((row - rows[y].start) * width + column - columns[x].start) as u32;
            let at = (y * columns.len() + x) * input.c + channel;
            let (winners, dy): (&[P; L], &[f32; L]) = (lanes(winners, at), lanes(dy, at));
            for lane in 0..L {
                sum[lane] += if winners[lane].get() == position { dy[lane] } else { 0.0 };
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::pool::tests::{each_window, geometries, offset};
    use super::*;
    use crate::device::cpu::compute::testing::*;
    use crate::model::kind::{self, Pair};
    use crate::plan::Shape;
    use proptest::prelude::*;

    /// The offset of each window's first largest input.
    fn winners(geometry: &PoolGeometry, x: &[f32]) -> Vec<usize> {
        let mut winners = Vec::new();
        each_window(geometry, |_, row, column, [image, channel]| {
            let places = row.elements().flat_map(|row| column.elements().map(move |column| (row, column)));
            let offsets = places.map(|(row, column)| offset(geometry.input, [image, row, column, channel]));
            winners.push(offsets.reduce(|best, at| if x[at] > x[best] { at } else { best }).expect("a window"));
        });
        winners
    }

    fn check(geometry: &PoolGeometry, x: &[f32], dy: &[f32]) {
        let from = winners(geometry, x);
        let expected: Vec<f64> = from.iter().map(|&at| f64::from(x[at])).collect();
        check_output(&expected, |y| {
            let mut pool = MaxPoolOp::new(geometry.clone());
            pool.forward(Forward { inputs: &[x], output: y, ..Forward::default() });
        });
        let mut dx = vec![0.0; x.len()];
        from.iter().zip(dy).for_each(|(&at, dy)| dx[at] += f64::from(*dy));
        check_gradient(&dx, |dx, accumulate| {
            let mut pool = MaxPoolOp::new(geometry.clone());
            pool.forward(Forward { inputs: &[x], output: &mut vec![0.0; from.len()], ..Forward::default() });
            let operands =
                BackwardData { output_gradient: dy, input_gradient: dx, accumulate, ..BackwardData::default() };
            pool.backward_data(operands);
        });
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn against_plain_loops(geometry in geometries(false, 4), levels in 1..50u32, seed: u64) {
            // Few levels make many ties.
            let level = |x: f32| (x * levels as f32).round();
            let x: Vec<f32> = numbers(seed, geometry.input.elements()).into_iter().map(level).collect();
            check(&geometry, &x, &numbers(seed ^ 1, geometry.output().elements()));
        }
    }

    #[test]
    fn windows_of_more_than_a_byte() {
        let pool = kind::MaxPool {
            kernel: Pair { h: 20, w: 30 },
            stride: None,
            pad: kind::Padding::NONE,
            dilation: Pair::square(1),
            ceil: true,
        };
        let geometry = PoolGeometry::max(&pool, Shape { n: 2, c: 9, h: 45, w: 61 }).expect("it fits");
        assert!(matches!(Winners::new(&geometry), Winners::Words(_)));
        check(&geometry, &numbers(1, geometry.input.elements()), &numbers(2, geometry.output().elements()));
    }

    #[test]
    fn nan_wins() {
        let pool = kind::MaxPool {
            kernel: Pair { h: 1, w: 4 },
            stride: None,
            pad: kind::Padding::NONE,
            dilation: Pair::square(1),
            ceil: false,
        };
        let geometry = PoolGeometry::max(&pool, Shape { n: 1, c: 1, h: 1, w: 4 }).expect("it fits");
        let (mut y, mut pool) = ([0f32], MaxPoolOp::new(geometry));
        pool.forward(Forward { inputs: &[&[1.0, f32::NAN, 3.0, 2.0]], output: &mut y, ..Forward::default() });
        assert!(y[0].is_nan());
        assert!(matches!(pool.winners, Winners::Bytes(places) if places == [1]));
    }
}
