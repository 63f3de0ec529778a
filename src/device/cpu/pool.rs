//! What the two poolings share: which windows cover an input position, and walking channels in blocks.

use crate::plan::{PoolGeometry, Window};
use std::ops::Range;

/// A pooling's windows seen from both sides.
pub struct Windows {
    pub geometry: PoolGeometry,
    /// For each input row the output rows whose windows hold it; windows begin and end in order, so these are neighbours.
    pub covering_rows: Vec<Range<usize>>,
    pub covering_columns: Vec<Range<usize>>,
}

impl Windows {
    pub fn new(geometry: PoolGeometry) -> Windows {
        let covering_rows = covering(&geometry.rows, geometry.input.h);
        let covering_columns = covering(&geometry.columns, geometry.input.w);
        Windows { geometry, covering_rows, covering_columns }
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
