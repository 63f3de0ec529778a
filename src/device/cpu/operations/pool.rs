//! Shared by the two poolings: which windows cover an input position, and walking channels in blocks.

use crate::plan::{PoolGeometry, Window};
use std::ops::Range;

/// A pooling's windows seen from both sides.
pub struct PoolWindows {
    pub geometry: PoolGeometry,
    /// For each input row the output rows whose windows hold it; windows begin and end in order, so these are neighbours.
    pub covering_rows: Vec<Range<usize>>,
    pub covering_columns: Vec<Range<usize>>,
}

impl PoolWindows {
    pub fn new(geometry: PoolGeometry) -> PoolWindows {
        let covering_rows = covering(&geometry.rows, geometry.input.h);
        let covering_columns = covering(&geometry.columns, geometry.input.w);
        PoolWindows { geometry, covering_rows, covering_columns }
    }

    /// Elements of an image's row, in and out.
    pub fn row_elements(&self) -> (usize, usize) {
        let input = self.geometry.input;
        (input.w * input.c, self.geometry.columns.len() * input.c)
    }
}

/// The most input elements that one window holds.
pub fn largest_window(geometry: &PoolGeometry) -> usize {
    let longest = |windows: &[Window]| windows.iter().map(|window| window.end - window.start).max().unwrap_or(0);
    longest(&geometry.rows) * longest(&geometry.columns)
}

fn covering(windows: &[Window], size: usize) -> Vec<Range<usize>> {
    (0..size)
        .map(|at| {
            windows.partition_point(|window| window.end <= at)..windows.partition_point(|window| window.start <= at)
        })
        .map(|range| range.start..range.end.max(range.start))
        .collect()
}

/// Calls `$block::<L>(channel)` for blocks of channels that together are all `$channels`: wide ones first, then narrower.
macro_rules! channel_blocks {
    ($channels:expr, |$at:ident, $lanes:ident| $block:expr) => {{
        let channels = $channels;
        let mut $at = 0;
        while $at + 32 <= channels {
            const $lanes: usize = 32;
            $block;
            $at += 32;
        }
        while $at + 8 <= channels {
            const $lanes: usize = 8;
            $block;
            $at += 8;
        }
        while $at < channels {
            const $lanes: usize = 1;
            $block;
            $at += 1;
        }
    }};
}
pub(super) use channel_blocks;

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::model::kind::{AvgPool, MaxPool, Pair};
    use crate::plan::Shape;
    use proptest::prelude::*;

    fn pairs(range: Range<usize>) -> impl Strategy<Value = Pair> {
        (range.clone(), range).prop_map(|(h, w)| Pair { h, w })
    }

    /// Every option: uneven windows, strides beyond the kernel, dilation below a limit, padding, ceil, and adaptive windows.
    pub fn geometries(adaptive: bool, dilations: usize) -> impl Strategy<Value = PoolGeometry> {
        let shape = (1..4usize, 1..70usize, 4..20usize, 4..20usize).prop_map(|(n, c, h, w)| Shape { n, c, h, w });
        let fixed = (pairs(1..5), pairs(1..7), pairs(1..dilations), pairs(0..3), any::<bool>());
        (shape, fixed, pairs(1..25)).prop_filter_map(
            "a window fits",
            move |(shape, (kernel, stride, dilation, pad, ceil), output)| {
                let pad = Pair { h: pad.h.min(kernel.h / 2), w: pad.w.min(kernel.w / 2) };
                let pool = MaxPool { kernel, stride: Some(stride), pad: pad.into(), dilation, ceil };
                match adaptive {
                    true => PoolGeometry::average(&AvgPool::Adaptive { output }, shape).ok(),
                    false => PoolGeometry::max(&pool, shape).ok(),
                }
            },
        )
    }

    /// The offset in memory of an image's row, column and channel.
    pub fn offset(shape: Shape, [image, row, column, channel]: [usize; 4]) -> usize {
        ((image * shape.h + row) * shape.w + column) * shape.c + channel
    }

    /// Calls `visit` with every output offset, its window's rows and columns, image and channel.
    pub fn each_window(geometry: &PoolGeometry, mut visit: impl FnMut(usize, Window, Window, [usize; 2])) {
        let output = geometry.output();
        for at in 0..output.elements() {
            let (channel, pixel) = (at % output.c, at / output.c);
            let (row, column) = (pixel / output.w % output.h, pixel % output.w);
            visit(at, geometry.rows[row], geometry.columns[column], [pixel / output.w / output.h, channel]);
        }
    }
}
