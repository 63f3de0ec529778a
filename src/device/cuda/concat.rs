//! Joining branches along the channels, by an own kernel: rows of each part are copied between rows of the whole.

use super::call::Fault;
use super::gpu::Gpu;
use super::modules::{Argument, Grid, Kernel};
use super::queue::Queue;
use crate::device::DeviceError;
use crate::plan::LayerPlan;

pub struct Concat {
    copy: Kernel,
    parts: Vec<Part>,
    /// Elements of a row of the whole.
    pitch: u32,
    element_bytes: u64,
}

/// One input: so many rows of so many elements, which begin at an offset within the rows of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    rows: u32,
    width: u32,
    offset: u64,
}

impl Concat {
    pub fn new(planned: &LayerPlan, gpu: &Gpu) -> Result<Concat, DeviceError> {
        let (parts, pitch) = parts(planned, gpu.arithmetic.nhwc());
        let element_bytes = gpu.arithmetic.element().bytes() as u64;
        Ok(Concat { copy: gpu.kernel("copy_rows")?, parts, pitch, element_bytes })
    }

    pub fn forward(&self, queue: &Queue, inputs: &[u64], y: u64) -> Result<(), Fault> {
        for (part, x) in self.parts.iter().zip(inputs) {
            let Part { rows, width, .. } = part;
            let to = y + part.offset * self.element_bytes;
            let arguments: [&dyn Argument; 7] = [x, &to, rows, width, width, &self.pitch, &0u32];
            self.copy.launch(&queue.stream, Grid::over(rows * width), &arguments)?;
        }
        Ok(())
    }

    pub fn backward_data(
        &self,
        queue: &Queue,
        input: usize,
        [dy, dx]: [u64; 2],
        accumulate: bool,
    ) -> Result<(), Fault> {
        let Part { rows, width, offset } = &self.parts[input];
        let from = dy + offset * self.element_bytes;
        let accumulate = u32::from(accumulate);
        let arguments: [&dyn Argument; 7] = [&from, &dx, rows, width, &self.pitch, width, &accumulate];
        self.copy.launch(&queue.stream, Grid::over(rows * width), &arguments)
    }
}

/// A row is an image in NCHW and a pixel in NHWC.
fn parts(planned: &LayerPlan, nhwc: bool) -> (Vec<Part>, u32) {
    let (output, mut offset) = (planned.output, 0);
    let plane = output.h * output.w;
    let (rows, per_channel) = if nhwc { (output.n * plane, 1) } else { (output.n, plane) };
    let part = planned.input_shapes.iter().map(|shape| {
        let width = shape.c * per_channel;
        let part = Part { rows: rows as u32, width: width as u32, offset };
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
        let rows = |rows, width| [0, 1].map(|part| Part { rows, width, offset: part * u64::from(width) }).to_vec();
        assert_eq!(parts(concat, false), (rows(3, 512), 1024));
        assert_eq!(parts(concat, true), (rows(192, 8), 16));
    }
}
