//! Dropout, by an own kernel: the masks are the same bits as on every device.

use super::divisor::Divisor;
use super::{BackwardData, Forward, Operation};
use crate::device::DeviceError;
use crate::device::cuda::driver::{Argument, Buffer, CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::order::Order;
use crate::model::kind;
use crate::plan::LayerPlan;

/// Dropout with masks of its own in each step.
pub struct DropoutOp {
    forward: Kernel,
    backward: Kernel,
    images: u32,
    features: Divisor,
    channels: Divisor,
    element_bytes: usize,
    /// Neighbours in canonical order that share a draw.
    together: Divisor,
    p: f32,
    seed: u64,
    layer: u32,
    /// One byte per element, in the elements' order: 1 where kept.
    mask: Buffer,
}

impl DropoutOp {
    /// `order` is that of the layer's input.
    pub fn new(
        index: usize,
        planned: &LayerPlan,
        dropout: &kind::Dropout,
        order: &Order,
        seed: u64,
        gpu: &SharedGpu,
    ) -> Result<DropoutOp, Failure> {
        let Order::ChannelsLast { c, .. } = order else {
            let fix = "dropout behind joined flattened branches is not possible in nhwc: use --layout nchw";
            return Err(DeviceError::Unusable(format!("layer `{}`: {fix}", planned.name)).into());
        };
        let shape = planned.output;
        Ok(DropoutOp {
            forward: gpu.kernel("dropout_forward")?,
            backward: gpu.kernel("dropout_backward")?,
            images: shape.n as u32,
            features: Divisor::new(shape.image_elements()),
            channels: Divisor::new(*c),
            element_bytes: gpu.arithmetic.element().bytes(),
            together: Divisor::new(dropout.of.together(shape.image_elements(), shape.h * shape.w)),
            p: dropout.p,
            seed,
            layer: index as u32,
            mask: Buffer::new(shape.elements())?,
        })
    }
}

impl Operation for DropoutOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let DropoutOp { images, features, channels, together, p, seed, layer, mask, .. } = self;
        let grid = Grid::streaming(features.by * images.div_ceil(4), self.element_bytes);
        let (x, mask) = (at.x(), mask.address());
        let arguments: [&dyn Argument; 11] =
            [&x, &at.output, &mask, images, features, channels, together, p, seed, layer, &at.step];
        self.forward.launch(&handles.stream, grid, &arguments)
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let elements = self.images * self.features.by;
        let accumulate = u32::from(at.accumulate);
        let arguments: [&dyn Argument; 6] = [&at.dy, &self.mask.address(), &at.dx, &self.p, &accumulate, &elements];
        self.backward.launch(&handles.stream, Grid::streaming(elements, self.element_bytes), &arguments)
    }

    fn bytes(&self) -> usize {
        self.mask.bytes()
    }

    fn mask(&self) -> Option<&Buffer> {
        Some(&self.mask)
    }
}
