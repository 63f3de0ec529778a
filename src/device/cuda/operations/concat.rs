//! Joining branches along the channels, by an own kernel: rows of each part are copied between rows of the whole.

use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::{Argument, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::plan::LayerPlan;

/// Inputs joined along the channels.
pub struct ConcatOp {
    copy: Kernel,
    parts: Vec<Rows>,
    /// Elements of a row of the whole.
    pitch: u32,
    element_bytes: u64,
}

/// One input: so many rows of so many elements, which begin at an offset within the rows of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rows {
    rows: u32,
    width: u32,
    offset: u64,
}

impl ConcatOp {
    /// Of a layer's inputs.
    pub fn new(planned: &LayerPlan, gpu: &SharedGpu) -> Result<ConcatOp, Failure> {
        let (parts, pitch) = parts(planned, gpu.arithmetic.nhwc());
        let element_bytes = gpu.arithmetic.element().bytes() as u64;
        Ok(ConcatOp { copy: gpu.kernel("copy_rows")?, parts, pitch, element_bytes })
    }
}

impl Operation for ConcatOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        for (part, x) in self.parts.iter().zip(at.inputs) {
            let Rows { rows, width, .. } = part;
            let to = at.output + part.offset * self.element_bytes;
            let arguments: [&dyn Argument; 7] = [x, &to, rows, width, width, &self.pitch, &0u32];
            self.copy.launch(&handles.stream, Grid::over(rows * width), &arguments)?;
        }
        Ok(())
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let Rows { rows, width, offset } = &self.parts[at.input];
        let from = at.dy + offset * self.element_bytes;
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 7] = [&from, &at.dx, rows, width, &self.pitch, width, &accumulate];
        self.copy.launch(&handles.stream, Grid::over(rows * width), &arguments)
    }
}

/// A row is an image in NCHW and a pixel in NHWC.
fn parts(planned: &LayerPlan, nhwc: bool) -> (Vec<Rows>, u32) {
    let (output, mut offset) = (planned.output, 0);
    let plane = output.h * output.w;
    let (rows, per_channel) = if nhwc { (output.n * plane, 1) } else { (output.n, plane) };
    let part = planned.input_shapes.iter().map(|shape| {
        let width = shape.c * per_channel;
        let part = Rows { rows: rows as u32, width: width as u32, offset };
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
        let rows = |rows, width| [0, 1].map(|part| Rows { rows, width, offset: part * u64::from(width) }).to_vec();
        assert_eq!(parts(concat, false), (rows(3, 512), 1024));
        assert_eq!(parts(concat, true), (rows(192, 8), 16));
    }
}
