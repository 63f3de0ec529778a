//! Pooling's windows: fixed, with ceil mode, or adaptive. The same arithmetic serves max and average.

use super::{AfterFlatten, Geometry, Misfit, Mover, Planned, Reads, Rules, elements};
use crate::model::kind::{AvgPool, MaxPool, Padding, Pair, extent};
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
    /// The divisor of an average: the length, with the padding it covers where that counts.
    pub counted: usize,
    /// Distance of the first element from the start: where padding cuts a dilated window.
    pub lead: usize,
    /// Distance of neighbouring elements.
    pub step: usize,
}

impl Window {
    /// Neighbouring elements.
    fn dense(start: usize, end: usize, counted: usize) -> Window {
        Window { start, end, counted, lead: 0, step: 1 }
    }

    /// The input positions of its elements.
    pub fn elements(&self) -> std::iter::StepBy<std::ops::Range<usize>> {
        (self.start + self.lead..self.end).step_by(self.step)
    }
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
        let windows = FixedWindows {
            kernel: pool.kernel,
            stride: pool.stride.unwrap_or(pool.kernel),
            dilation: pool.dilation,
            pad: pool.pad,
            ceil: pool.ceil,
            counts_padding: true,
        };
        let geometry = windows.over(input)?;
        let empty = |windows: &[Window]| windows.iter().any(|window| window.elements().next().is_none());
        if empty(&geometry.rows) || empty(&geometry.columns) {
            return Err(Misfit::Other("a window has no element within the image: its dilation steps over it".into()));
        }
        Ok(geometry)
    }

    /// The windows of average pooling. Fails where a fixed one is larger than the padded input.
    pub fn average(pool: &AvgPool, input: Shape) -> Result<PoolGeometry, Misfit> {
        match *pool {
            AvgPool::Windows { kernel, stride, pad, ceil, count_include_pad } => {
                let dilation = Pair::square(1);
                FixedWindows { kernel, stride, dilation, pad, ceil, counts_padding: count_include_pad }.over(input)
            }
            AvgPool::Adaptive { output } => {
                Ok(PoolGeometry { input, rows: adaptive(input.h, output.h), columns: adaptive(input.w, output.w) })
            }
        }
    }

    /// Shape of the output.
    pub fn output(&self) -> Shape {
        Shape { h: self.rows.len(), w: self.columns.len(), ..self.input }
    }

    /// Input elements visited per image and channel, an element once for each window it lies in.
    pub fn visits(&self) -> u64 {
        let along = |windows: &[Window]| windows.iter().map(|w| w.elements().len() as u64).sum::<u64>();
        along(&self.rows) * along(&self.columns)
    }
}

/// Windows of one size.
struct FixedWindows {
    kernel: Pair,
    stride: Pair,
    dilation: Pair,
    pad: Padding,
    ceil: bool,
    counts_padding: bool,
}

impl FixedWindows {
    fn over(&self, input: Shape) -> Result<PoolGeometry, Misfit> {
        let &FixedWindows { kernel, stride, dilation, pad, ceil, counts_padding } = self;
        let extent = extent(kernel, dilation);
        let padding = pad.around([input.h, input.w], extent, stride);
        Misfit::check_window(extent, input, padding)?;
        let [before, after] = padding;
        let windows = |axis: Axis| axis.windows(ceil, counts_padding);
        let [h, w] = [[before.h, after.h], [before.w, after.w]];
        Ok(PoolGeometry {
            input,
            rows: windows(Axis { size: input.h, extent: extent.h, stride: stride.h, step: dilation.h, pads: h }),
            columns: windows(Axis { size: input.w, extent: extent.w, stride: stride.w, step: dilation.w, pads: w }),
        })
    }
}

/// Fixed windows along one axis.
struct Axis {
    size: usize,
    extent: usize,
    stride: usize,
    /// Distance of neighbouring elements.
    step: usize,
    /// Before and behind.
    pads: [usize; 2],
}

impl Axis {
    /// Floor or ceil of (size + pads − extent) / stride, plus one; in ceil mode a window that would begin beyond the input
    /// and its leading pad is dropped.
    fn windows(&self, ceil: bool, counts_padding: bool) -> Vec<Window> {
        let &Axis { size, extent, stride, step, pads: [before, after] } = self;
        let reach = size + before + after - extent;
        let mut count = if ceil { reach.div_ceil(stride) } else { reach / stride } + 1;
        if ceil && (count - 1) * stride >= size + before {
            count -= 1;
        }
        let window = |index: usize| {
            let begin = index * stride;
            let stop = (begin + extent).min(size + before + after);
            let (start, end) = (begin.max(before) - before, stop.clamp(before, size + before) - before);
            let cut = before.saturating_sub(begin);
            let (counted, lead) =
                (if counts_padding { stop - begin } else { end - start }, cut.next_multiple_of(step) - cut);
            Window { start, end, counted, lead, step }
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
            Window::dense(start, end, end - start)
        })
        .collect()
}
