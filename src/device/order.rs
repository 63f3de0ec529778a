//! Canonical order against memory order.
//!
//! What goes into a device and comes out is canonical (see [`crate::device::Tensor`]); in memory, activations are NCHW or NHWC,
//! and fully connected weights \[out, in\] with `in` in the memory order of the layer's input. So every tensor has an [`Order`].
//! A flatten renames memory, which in NHWC leaves the elements of an image in an order that its shape no longer tells: the
//! order is carried along and undone where it matters.

use crate::device::DeviceError;
use crate::device::options::Layout;
use crate::model::Source;
use crate::plan::kinds::{AfterFlatten, rules};
use crate::plan::{ConvGeometry, LayerPlan, Plan, Shape};

/// Where an image's elements lie in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// C×H×W kept as H×W×C; with a plane of one, as it is.
    ChannelsLast { c: usize, plane: usize },
    /// For each canonical index its offset: what a flatten leaves behind, joined with others.
    Listed(Vec<u32>),
}

impl Order {
    fn of(shape: Shape, layout: Layout) -> Order {
        match shape.h * shape.w {
            // Canonical already; so are one channel and one pixel in either layout.
            plane if layout == Layout::Nchw || shape.c == 1 || plane == 1 => {
                Order::ChannelsLast { c: shape.c * plane, plane: 1 }
            }
            plane => Order::ChannelsLast { c: shape.c, plane },
        }
    }

    fn len(&self) -> usize {
        match self {
            Order::ChannelsLast { c, plane } => c * plane,
            Order::Listed(offsets) => offsets.len(),
        }
    }

    /// The memory offset of a canonical index.
    pub fn offset(&self, canonical: usize) -> usize {
        match self {
            Order::ChannelsLast { c, plane } => canonical % plane * c + canonical / plane,
            Order::Listed(offsets) => offsets[canonical] as usize,
        }
    }

    /// Where a channel of an image with so many pixels stands among the channels in memory.
    pub fn channel(&self, channel: usize, plane: usize) -> usize {
        match self {
            Order::ChannelsLast { plane: 1, .. } => channel,
            Order::ChannelsLast { .. } | Order::Listed(_) => self.offset(channel * plane),
        }
    }

    /// The canonical index of each memory offset.
    pub fn positions(&self) -> Vec<u32> {
        let mut positions = vec![0; self.len()];
        for canonical in 0..self.len() {
            positions[self.offset(canonical)] = canonical as u32;
        }
        positions
    }

    fn joined(parts: &[&Order]) -> Order {
        let mut offsets = Vec::new();
        for part in parts {
            let start = offsets.len();
            offsets.extend((0..part.len()).map(|canonical| (start + part.offset(canonical)) as u32));
        }
        Order::Listed(offsets)
    }
}

/// Where an element of a convolution's \[K, C/g, R, S\] weights belongs.
pub struct FilterIndex {
    /// Of the K outputs.
    pub out: usize,
    /// Of the C/g inputs, in memory order: behind a flatten the channels are in the order it left.
    pub channel: usize,
    /// Of the R·S places.
    pub tap: usize,
}

impl FilterIndex {
    pub fn new(geometry: &ConvGeometry, input: &Order, canonical: usize) -> FilterIndex {
        let (c, taps) = (geometry.group_c(), geometry.kernel[0] * geometry.kernel[1]);
        let plane = geometry.h * geometry.w;
        let (out, rest) = (canonical / (c * taps), canonical % (c * taps));
        let (channel, tap) = (rest / taps, rest % taps);
        let channel = if geometry.groups == 1 { input.channel(channel, plane) } else { channel };
        FilterIndex { out, channel, tap }
    }
}

/// The offset in \[out, in\] of an index with canonical `in`.
pub fn fc_weight(input: &Order, canonical: usize) -> usize {
    let inputs = input.len();
    canonical / inputs * inputs + input.offset(canonical % inputs)
}

/// The order of every layer's output within an image, and of the image itself.
pub struct Orders {
    image: Order,
    layers: Vec<Order>,
}

impl Orders {
    pub fn new(plan: &Plan, layout: Layout) -> Result<Orders, DeviceError> {
        let plain = |shape: Shape| Order::of(shape, layout);
        let mut orders = Orders { image: plain(plan.input), layers: Vec::with_capacity(plan.layers.len()) };
        for layer in &plan.layers {
            let inputs: Vec<&Order> = layer.inputs.iter().map(|&source| orders.of(source)).collect();
            let shuffled = inputs.iter().zip(&layer.input_shapes).any(|(order, &shape)| **order != plain(shape));
            let rule = rules(&layer.kind).after_flatten();
            let differ = layer.kind.joins() && inputs.iter().any(|&order| order != inputs[0]);
            let order = match rule {
                AfterFlatten::Refuses if shuffled => return Err(refused(layer, layout)),
                AfterFlatten::Keeps if shuffled && differ => return Err(refused(layer, layout)),
                AfterFlatten::Joins if shuffled => Order::joined(&inputs),
                AfterFlatten::Keeps if shuffled => inputs[0].clone(),
                // A view keeps its input's order, which its own shape does not tell.
                AfterFlatten::Keeps if layer.kind.is_view() => inputs[0].clone(),
                AfterFlatten::Keeps | AfterFlatten::Restores | AfterFlatten::Joins | AfterFlatten::Refuses => {
                    plain(layer.output)
                }
            };
            orders.layers.push(order);
        }
        Ok(orders)
    }

    /// The order within an image of a source.
    pub fn of(&self, source: Source) -> &Order {
        match source {
            Source::Image => &self.image,
            Source::Layer(index) => &self.layers[index],
        }
    }
}

fn refused(layer: &LayerPlan, layout: Layout) -> DeviceError {
    DeviceError::Unusable(format!(
        "layer `{}`: {} after a flatten is not possible in {layout}: put the flatten after it",
        layer.name,
        layer.kind.name()
    ))
}
