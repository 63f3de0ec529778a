//! Pooling's windows: fixed, with ceil mode, or adaptive. The same arithmetic serves max and average.

use super::{AfterFlatten, Geometry, Misfit, Mover, Planned, Reads, Rules, elements};
use crate::model::kind::{AvgPool, MaxPool, Padding, Pair};
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

    fn mover(&self) -> Mover {
        Mover::Pool
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

    fn mover(&self) -> Mover {
        Mover::Pool
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
    /// What an average divides by: the length, with the padding it covers where that counts.
    pub counted: usize,
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
        PoolGeometry::fixed(input, [pool.kernel, pool.stride.unwrap_or(pool.kernel)], pool.pad, pool.ceil, true)
    }

    /// The windows of average pooling. Fails where a fixed one is larger than the padded input.
    pub fn average(pool: &AvgPool, input: Shape) -> Result<PoolGeometry, Misfit> {
        match *pool {
            AvgPool::Windows { kernel, stride, pad, ceil, count_include_pad } => {
                PoolGeometry::fixed(input, [kernel, stride], pad, ceil, count_include_pad)
            }
            AvgPool::Adaptive { output } => {
                Ok(PoolGeometry { input, rows: adaptive(input.h, output.h), columns: adaptive(input.w, output.w) })
            }
        }
    }

    fn fixed(
        input: Shape,
        [kernel, stride]: [Pair; 2],
        pad: Padding,
        ceil: bool,
        counts_padding: bool,
    ) -> Result<PoolGeometry, Misfit> {
        let padding = pad.around([input.h, input.w], kernel, stride);
        Misfit::check_window(kernel, input, padding)?;
        let [before, after] = padding;
        let windows = |size: usize, kernel: usize, stride: usize, pads: [usize; 2]| {
            Axis { size, kernel, stride, pads }.windows(ceil, counts_padding)
        };
        let rows = windows(input.h, kernel.h, stride.h, [before.h, after.h]);
        let columns = windows(input.w, kernel.w, stride.w, [before.w, after.w]);
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

/// Fixed windows along one axis.
struct Axis {
    size: usize,
    kernel: usize,
    stride: usize,
    /// Before and behind.
    pads: [usize; 2],
}

impl Axis {
    /// Floor or ceil of (size + pads − kernel) / stride, plus one; in ceil mode a window that would begin beyond the input
    /// and its leading pad is dropped.
    fn windows(&self, ceil: bool, counts_padding: bool) -> Vec<Window> {
        let &Axis { size, kernel, stride, pads: [before, after] } = self;
        let reach = size + before + after - kernel;
        let mut count = if ceil { reach.div_ceil(stride) } else { reach / stride } + 1;
        if ceil && (count - 1) * stride >= size + before {
            count -= 1;
        }
        let window = |index: usize| {
            let begin = index * stride;
            let stop = (begin + kernel).min(size + before + after);
            let (start, end) = (begin.max(before) - before, stop.clamp(before, size + before) - before);
            Window { start, end, counted: if counts_padding { stop - begin } else { end - start } }
        };
        (0..count).map(window).collect()
    }
}

/// Window i of n runs from ⌊i·size/n⌋ to ⌈(i+1)·size/n⌉, as in PyTorch's adaptive pooling.
fn adaptive(size: usize, outputs: usize) -> Vec<Window> {
    (0..outputs)
        .map(|index| {
            let start = index * size / outputs;
            let end = ((index + 1) * size).div_ceil(outputs);
            Window { start, end, counted: end - start }
        })
        .collect()
}
