//! Pooling's windows: fixed, with ceil mode, or adaptive. The same arithmetic serves max and average.

use super::{AfterFlatten, Geometry, Misfit, Planned, Reads, Rules, elements};
use crate::model::kind::{AvgPool, MaxPool, Pair};
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for MaxPool {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let geometry = PoolGeometry::max(self, inputs[0])?;
        Ok(Planned::windowed(geometry.output(), Geometry::Pool(geometry)))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { inputs: true, output: true, ..Reads::OUTPUT_GRADIENT }
    }

    /// One comparison per visit; backward, one addition per window.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64 {
        if phase == Phase::Forward { visits(layer) } else { elements(layer.output) }
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}

impl Rules for AvgPool {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let geometry = PoolGeometry::average(self, inputs[0])?;
        Ok(Planned::windowed(geometry.output(), Geometry::Pool(geometry)))
    }

    fn backward_data_reads(&self) -> Reads {
        Reads::OUTPUT_GRADIENT
    }

    /// One addition per visit, and the scaling of each window.
    fn operations(&self, layer: &LayerPlan, _: Phase) -> u64 {
        visits(layer) + elements(layer.output)
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}

/// Input elements that all windows of a layer visit.
fn visits(layer: &LayerPlan) -> u64 {
    layer.pool().visits() * (layer.input().n * layer.input().c) as u64
}

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
    /// Shape of what is pooled.
    pub input: Shape,
    /// Windows along the height, one per output row.
    pub rows: Vec<Window>,
    /// Windows along the width, one per output column.
    pub columns: Vec<Window>,
}

impl PoolGeometry {
    /// The windows of max pooling. Fails where one is larger than the padded input.
    pub fn max(pool: &MaxPool, input: Shape) -> Result<PoolGeometry, Misfit> {
        PoolGeometry::fixed(input, pool.kernel, pool.stride.unwrap_or(pool.kernel), pool.pad, pool.ceil)
    }

    /// The windows of average pooling. Fails where a fixed one is larger than the padded input.
    pub fn average(pool: &AvgPool, input: Shape) -> Result<PoolGeometry, Misfit> {
        match *pool {
            AvgPool::Windows { kernel, stride, pad, ceil } => PoolGeometry::fixed(input, kernel, stride, pad, ceil),
            AvgPool::Adaptive { output } => {
                Ok(PoolGeometry { input, rows: adaptive(input.h, output.h), columns: adaptive(input.w, output.w) })
            }
        }
    }

    fn fixed(input: Shape, kernel: Pair, stride: Pair, pad: Pair, ceil: bool) -> Result<PoolGeometry, Misfit> {
        Misfit::check_window(kernel, input, pad)?;
        let rows = fixed(input.h, kernel.h, stride.h, pad.h, ceil);
        let columns = fixed(input.w, kernel.w, stride.w, pad.w, ceil);
        Ok(PoolGeometry { input, rows, columns })
    }

    /// Shape of the output.
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
