//! Tensors as [outer, channels, inner], and the launches of the two kernels that sum up channels.

use super::harness::*;

#[derive(Clone, Copy)]
pub struct Channels {
    pub outer: usize,
    pub channels: usize,
    pub inner: usize,
}

/// Both forms, places and channels around a warp, around a block and beyond, images smaller than a warp, and images that no stride
/// of a block divides.
pub const SHAPES: [[usize; 3]; 18] = [
    [1, 1, 1],
    [1, 31, 1],
    [31, 32, 1],
    [32, 1, 1],
    [33, 33, 1],
    [2, 1023, 1],
    [1023, 2, 1],
    [1025, 3, 1],
    [31, 1000, 1],
    [70_001, 1, 1],
    [1, 1, 31],
    [2, 3, 16],
    [1, 33, 32],
    [31, 2, 33],
    [3, 5, 341],
    [2, 2, 1023],
    [1025, 1, 4],
    [5, 1, 14_001],
];

/// One slice, and more than there is to do for some.
pub const SLICES: [usize; 3] = [1, 3, 40];

impl Channels {
    pub fn argument(self) -> [u32; 7] {
        let ([c, m, s], [i, n, t]) = (divisor(self.channels), divisor(self.inner));
        [self.outer as u32, c, m, s, i, n, t]
    }

    pub fn elements(self) -> usize {
        self.outer * self.channels * self.inner
    }

    pub fn channel_of(self, index: usize) -> usize {
        index / self.inner % self.channels
    }

    /// The values of each channel.
    pub fn columns(self, values: &[f64]) -> Vec<Vec<f64>> {
        let mut columns = vec![Vec::new(); self.channels];
        values.iter().enumerate().for_each(|(index, value)| columns[self.channel_of(index)].push(*value));
        columns
    }

    /// The size of partial sums, to which rounding errors are relative.
    pub fn scale(self) -> f64 {
        ((self.outer * self.inner) as f64).sqrt().max(10.0)
    }

    fn blocks(self) -> u32 {
        (if self.inner == 1 { self.channels.div_ceil(32) } else { self.channels }) as u32
    }

    /// Runs `slice` with the addresses of what it is to sum up, and `total` where there is more than one slice.
    pub fn sum_up(self, [slice, total]: [&str; 2], slices: usize, of: &[u64], results: &[u64]) {
        let partials = Buffer::<f32>::fresh(results.len() * slices * self.channels);
        let partials = if slices == 1 { 0 } else { partials.address };
        let first = [of, &[partials], results].concat();
        let shape = self.argument();
        let arguments: Vec<&dyn Argument> =
            first.iter().map(|address| address as &dyn Argument).chain([&shape as &dyn Argument]).collect();
        launch(slice, [self.blocks(), slices as u32, 1], [32, 8, 1], &arguments);
        if slices > 1 {
            let second = [&[partials], results].concat();
            let counts = [slices as u32, self.channels as u32];
            let arguments: Vec<&dyn Argument> = second
                .iter()
                .map(|address| address as &dyn Argument)
                .chain(counts.iter().map(|count| count as &dyn Argument))
                .collect();
            launch(total, [self.channels.div_ceil(32) as u32, 1, 1], [32, 8, 1], &arguments);
        }
    }
}
