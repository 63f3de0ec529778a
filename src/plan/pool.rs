//! Pooling's windows: fixed, with ceil mode, or adaptive. The same arithmetic serves max and average.

use super::Shape;
use crate::model::kind::{AvgPool, MaxPool, Pair};

/// One window along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// First input position inside the window.
    pub start: usize,
    /// One past the last.
    pub end: usize,
    /// Length with the padding it covers: what an average divides by.
    pub padded: usize,
}

/// The windows of a pooling layer, one per output row and one per output column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    pub input: Shape,
    pub rows: Vec<Window>,
    pub columns: Vec<Window>,
}

impl PoolGeometry {
    pub fn max(pool: &MaxPool, input: Shape) -> Result<PoolGeometry, String> {
        PoolGeometry::fixed(input, pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.pad, pool.ceil)
    }

    pub fn average(pool: &AvgPool, input: Shape) -> Result<PoolGeometry, String> {
        match *pool {
            AvgPool::Windows { kernel, stride, pad, ceil } => PoolGeometry::fixed(input, kernel, stride, pad, ceil),
            AvgPool::Adaptive { output } => {
                Ok(PoolGeometry { input, rows: adaptive(input.h, output.h), columns: adaptive(input.w, output.w) })
            }
        }
    }

    fn fixed(input: Shape, kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> Result<PoolGeometry, String> {
        if input.h + 2 * pad.h < kernel.h || input.w + 2 * pad.w < kernel.w {
            return Err(super::layer::window_too_large(kernel, input, pad));
        }
        let rows = fixed(input.h, kernel.h, stride.h, pad.h, ceil);
        let columns = fixed(input.w, kernel.w, stride.w, pad.w, ceil);
        Ok(PoolGeometry { input, rows, columns })
    }

    pub fn output(&self) -> Shape {
        Shape { h: self.rows.len(), w: self.columns.len(), ..self.input }
    }

    /// Input elements visited per image and channel, an element once for each window it lies in.
    pub fn visits(&self) -> u64 {
        let along = |windows: &[Window]| windows.iter().map(|w| (w.end - w.start) as u64).sum::<u64>();
        along(&self.rows) * along(&self.columns)
    }
}

/// Floor or ceil of (size + 2·pad − kernel) / stride, plus one; in ceil mode a window that would begin beyond the input
/// and its leading pad is dropped.
fn fixed(size: usize, kernel: usize, stride: usize, pad: usize, ceil: bool) -> Vec<Window> {
    let reach = size + 2 * pad - kernel;
    let mut count = if ceil { reach.div_ceil(stride) } else { reach / stride } + 1;
    if ceil && (count - 1) * stride >= size + pad {
        count -= 1;
    }
    (0..count)
        .map(|index| {
            let begin = index * stride;
            let stop = (begin + kernel).min(size + 2 * pad);
            Window { start: begin.max(pad) - pad, end: stop.clamp(pad, size + pad) - pad, padded: stop - begin }
        })
        .collect()
}

/// Window i of n runs from ⌊i·size/n⌋ to ⌈(i+1)·size/n⌉, as in PyTorch's adaptive pooling.
fn adaptive(size: usize, outputs: usize) -> Vec<Window> {
    (0..outputs)
        .map(|index| {
            let start = index * size / outputs;
            let end = ((index + 1) * size).div_ceil(outputs);
            Window { start, end, padded: end - start }
        })
        .collect()
}
