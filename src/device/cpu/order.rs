//! Canonical order against memory order.
//!
//! The device keeps activations channels-last (NHWC), convolution weights as \[R, S, C/groups, K\] and fully connected weights as
//! \[out, in\] with `in` in the memory order of the layer's input. What goes in and comes out is canonical (see
//! [`crate::device::Tensor`]), so every tensor has an [`Order`]. A flatten renames memory, which in NHWC leaves the elements
//! of an image in an order that its shape no longer tells: the order is carried along and undone where it matters.

use crate::device::DeviceError;
use crate::model::{Kind, Source};
use crate::plan::{ConvGeometry, Plan, Shape};

/// Where an image's elements lie in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// C×H×W kept as H×W×C.
    ChannelsLast { c: usize, plane: usize },
    /// For each canonical index its offset: what a flatten leaves behind, joined with others.
    Listed(Vec<u32>),
}

impl Order {
    fn channels_last(shape: Shape) -> Order {
        match shape.h * shape.w {
            // One channel, or one pixel: both orders are the same.
            plane if shape.c == 1 || plane == 1 => Order::ChannelsLast { c: shape.c * plane, plane: 1 },
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

/// The offset in \[R, S, C/g, K\] of an index into \[K, C/g, R, S\]. Behind a flatten the channels are in the order it left.
pub fn conv_weight(geometry: &ConvGeometry, input: &Order, canonical: usize) -> usize {
    let (k, c) = (geometry.k, geometry.group_c());
    let taps = geometry.kernel[0] * geometry.kernel[1];
    let plane = geometry.h * geometry.w;
    let (out, rest) = (canonical / (c * taps), canonical % (c * taps));
    let (channel, tap) = (rest / taps, rest % taps);
    let channel = if geometry.groups == 1 { input.offset(channel * plane) } else { channel };
    (tap * c + channel) * k + out
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
    pub fn new(plan: &Plan) -> Result<Orders, DeviceError> {
        let mut orders =
            Orders { image: Order::channels_last(plan.input), layers: Vec::with_capacity(plan.layers.len()) };
        for layer in &plan.layers {
            let inputs: Vec<&Order> = layer.inputs.iter().map(|&source| orders.of(source)).collect();
            let shuffled =
                inputs.iter().zip(&layer.input_shapes).any(|(order, &shape)| **order != Order::channels_last(shape));
            let unsupported = match &layer.kind {
                Kind::Conv(conv) => conv.groups > 1,
                Kind::Lrn(_) => true,
                Kind::Add => inputs.iter().any(|&order| order != inputs[0]),
                Kind::Fc(_)
                | Kind::Relu
                | Kind::MaxPool(_)
                | Kind::AvgPool(_)
                | Kind::Dropout(_)
                | Kind::Flatten
                | Kind::BatchNorm(_)
                | Kind::Concat
                | Kind::SoftmaxLoss => false,
            };
            if shuffled && unsupported {
                return Err(DeviceError::Unusable(format!(
                    "layer `{}`: {} after a flatten is not possible on the CPU: put the flatten after it",
                    layer.name,
                    layer.kind.name()
                )));
            }
            let order = match &layer.kind {
                Kind::Concat if shuffled => Order::joined(&inputs),
                Kind::Conv(_) | Kind::Fc(_) | Kind::Concat => Order::channels_last(layer.output),
                Kind::Relu
                | Kind::Dropout(_)
                | Kind::Flatten
                | Kind::BatchNorm(_)
                | Kind::Add
                | Kind::Lrn(_)
                | Kind::SoftmaxLoss => inputs[0].clone(),
                Kind::MaxPool(_) | Kind::AvgPool(_) if shuffled => inputs[0].clone(),
                Kind::MaxPool(_) | Kind::AvgPool(_) => Order::channels_last(layer.output),
            };
            orders.layers.push(order);
        }
        Ok(orders)
    }

    pub fn of(&self, source: Source) -> &Order {
        match source {
            Source::Image => &self.image,
            Source::Layer(index) => &self.layers[index],
        }
    }
}
