//! Dropout, by an own kernel: the masks are the same bits as on every device.

use super::call::Fault;
use super::gpu::Gpu;
use super::memory::Buffer;
use super::modules::{Argument, Grid, Kernel};
use super::queue::Queue;
use crate::device::DeviceError;
use crate::device::order::Order;
use crate::plan::LayerPlan;

pub struct Dropout {
    forward: Kernel,
    backward: Kernel,
    images: u32,
    features: u32,
    channels: u32,
    p: f32,
    seed: u64,
    layer: u32,
    /// One byte per element, in the elements' order: 1 where kept.
    mask: Buffer,
}

impl Dropout {
    /// `order` is that of the layer's input.
    pub fn new(
        index: usize,
        planned: &LayerPlan,
        p: f32,
        order: &Order,
        seed: u64,
        gpu: &Gpu,
    ) -> Result<Dropout, DeviceError> {
        let Order::ChannelsLast { c, .. } = order else {
            return Err(DeviceError::Unusable(format!(
                "layer `{}`: dropout behind joined flattened branches is not possible in nhwc: use --layout nchw",
                planned.name
            )));
        };
        let shape = planned.output;
        Ok(Dropout {
            forward: gpu.kernel("dropout_forward")?,
            backward: gpu.kernel("dropout_backward")?,
            images: shape.n as u32,
            features: shape.image_elements() as u32,
            channels: *c as u32,
            p,
            seed,
            layer: index as u32,
            mask: Buffer::new(shape.elements())?,
        })
    }

    /// `step` counts from one.
    pub fn forward(&self, queue: &Queue, step: u32, x: u64, y: u64) -> Result<(), Fault> {
        let Dropout { images, features, channels, p, seed, layer, mask, .. } = self;
        let grid = Grid::over(features * images.div_ceil(4));
        let arguments: [&dyn Argument; 10] =
            [&x, &y, &mask.address(), images, features, channels, p, seed, layer, &step];
        self.forward.launch(&queue.stream, grid, &arguments)
    }

    pub fn backward_data(&self, queue: &Queue, [dy, dx]: [u64; 2], accumulate: bool) -> Result<(), Fault> {
        let elements = self.images * self.features;
        let accumulate = u32::from(accumulate);
        let arguments: [&dyn Argument; 6] = [&dy, &self.mask.address(), &dx, &self.p, &accumulate, &elements];
        self.backward.launch(&queue.stream, Grid::over(elements), &arguments)
    }

    pub fn mask(&self) -> &Buffer {
        &self.mask
    }
}
