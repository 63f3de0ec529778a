//! Joining branches along the channels, by an own kernel: rows of each part are copied between rows of the whole.

use super::divisor::Divisor;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, CallError, Element, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::plan::LayerPlan;

/// Inputs joined along the channels.
pub struct ConcatOp {
    copy: Kernel,
    parts: Vec<Rows>,
    /// Elements of a row of the whole.
    pitch: u32,
    element: Element,
}

/// One input: so many rows of so many elements, which begin at an offset within the rows of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rows {
    rows: u32,
    width: Divisor,
    offset: u64,
}

impl ConcatOp {
    /// Of a layer's inputs.
    pub fn new(planned: &LayerPlan, gpu: &SharedGpu) -> Result<ConcatOp, Failure> {
        let (parts, pitch) = parts(planned, gpu.arithmetic.nhwc());
        Ok(ConcatOp { copy: gpu.kernel("copy_rows")?, parts, pitch, element: gpu.arithmetic.element() })
    }

    /// The beginning of a part in the whole, and the threads that move it: a vector each where rows are made of vectors.
    fn place(&self, &Rows { rows, width, offset }: &Rows) -> (u64, Grid) {
        let (elements, vector) = (rows * width.by, Divisor::new(self.element.per_vector()));
        let grid = match [width.by, self.pitch, offset as u32].into_iter().all(|number| vector.divides(number)) {
            true => Grid::streaming(elements, self.element.bytes()),
            false => Grid::over(elements),
        };
        (offset * self.element.bytes() as u64, grid)
    }
}

impl Operation for ConcatOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        for (part, x) in self.parts.iter().zip(at.inputs) {
            let (Rows { rows, width, .. }, (offset, grid)) = (part, self.place(part));
            let to = at.output + offset;
            let arguments: [&dyn Argument; 7] = [x, &to, rows, width, &width.by, &self.pitch, &0u32];
            self.copy.launch(&handles.stream, grid, &arguments)?;
        }
        Ok(())
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let part = &self.parts[at.input];
        let (Rows { rows, width, .. }, (offset, grid)) = (part, self.place(part));
        let from = at.dy + offset;
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 7] = [&from, &at.dx, rows, width, &self.pitch, &width.by, &accumulate];
        self.copy.launch(&handles.stream, grid, &arguments)
    }
}

/// A row is an image in NCHW and a pixel in NHWC.
fn parts(planned: &LayerPlan, nhwc: bool) -> (Vec<Rows>, u32) {
    let (output, mut offset) = (planned.output, 0);
    let plane = output.h * output.w;
    let (rows, per_channel) = if nhwc { (output.n * plane, 1) } else { (output.n, plane) };
    let part = planned.input_shapes.iter().map(|shape| {
        let width = shape.c * per_channel;
        let part = Rows { rows: rows as u32, width: Divisor::new(width), offset };
        offset += width as u64;
        part
    });
    (part.collect(), (output.c * per_channel) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::plan::{Options, Plan};

    /// tiny's concat4 joins 8 and 8 channels of 8 × 8 pixels.
    #[test]
    fn rows_of_both_layouts() {
        let options = Options::of_batch(3);
        let plan = Plan::new(&Model::named("tiny").unwrap(), options).unwrap();
        let concat = plan.layers.iter().find(|layer| layer.name == "concat4").unwrap();
        let rows = |rows, width| {
            [0, 1].map(|part| Rows { rows, width: Divisor::new(width), offset: part * width as u64 }).to_vec()
        };
        assert_eq!(parts(concat, false), (rows(3, 512), 1024));
        assert_eq!(parts(concat, true), (rows(192, 8), 16));
    }
}
