//! Canonical order against memory order.
//!
//! Tensors go into a device and come out in canonical order (see [`crate::device::Tensor`]); in memory, activations are NCHW or NHWC,
//! and fully connected weights \[out, in\] with `in` in the memory order of the layer's input. So every tensor has an [`Order`].
//! A flatten renames memory, which in NHWC leaves the elements of an image in an order that its shape no longer tells: the
//! order is carried along and undone where it matters.

use crate::device::DeviceError;
use crate::device::options::Layout;
use crate::model::{Kind, Source};
use crate::plan::kinds::{AfterFlatten, rules};
use crate::plan::{ConvGeometry, Geometry, LayerPlan, Plan, Shape};

/// The places of an image's elements in memory.
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

    /// The place of a channel among the channels in memory, in an image of so many pixels.
    fn channel(&self, channel: usize, plane: usize) -> usize {
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

/// How the \[K, C/groups, R, S\] weights of convolutions lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterOrder {
    /// As they are in canonical order.
    Kcrs,
    /// \[K, R, S, C/groups\].
    Krsc,
    /// \[R, S, C/groups, K\].
    Rsck,
}

/// Maps the canonical indices of one tensor to offsets in its memory.
#[derive(Clone, Debug)]
pub enum Indices {
    /// Memory order is canonical order.
    Same,
    /// Activations: the order within an image, and an image's elements.
    Images(Order, usize),
    /// One number per channel: the order of a tensor with those channels, and the pixels of its images.
    Channels(Order, usize),
    /// A convolution's weights, and the order of its input, in which the channels are.
    Filters(FilterOrder, ConvGeometry, Order),
    /// A fully connected layer's \[out, in\], with `in` in the order of its input.
    Matrix(Order),
}

impl Indices {
    /// The memory offset of a canonical index.
    pub fn offset(&self, canonical: usize) -> usize {
        match self {
            Indices::Same => canonical,
            Indices::Images(order, elements) => canonical / elements * elements + order.offset(canonical % elements),
            Indices::Channels(order, plane) => order.channel(canonical, *plane),
            Indices::Filters(order, geometry, input) => filter_offset(*order, geometry, input, canonical),
            Indices::Matrix(input) => {
                let inputs = input.len();
                canonical / inputs * inputs + input.offset(canonical % inputs)
            }
        }
    }
}

fn filter_offset(order: FilterOrder, geometry: &ConvGeometry, input: &Order, canonical: usize) -> usize {
    let (c, taps) = (geometry.group_c(), geometry.kernel[0] * geometry.kernel[1]);
    let (out, rest) = (canonical / (c * taps), canonical % (c * taps));
    let (channel, tap) = (rest / taps, rest % taps);
    // Behind a flatten the channels are in the order it left; groups are refused there.
    let channel = if geometry.groups == 1 { input.channel(channel, geometry.h * geometry.w) } else { channel };
    match order {
        FilterOrder::Kcrs => (out * c + channel) * taps + tap,
        FilterOrder::Krsc => (out * taps + tap) * c + channel,
        FilterOrder::Rsck => (tap * c + channel) * geometry.k + out,
    }
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
        let mut classes: Option<Order> = None;
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
            // One list of labels serves all losses.
            if layer.kind.is_loss() && *classes.get_or_insert_with(|| inputs[0].clone()) != *inputs[0] {
                return Err(refused(layer, layout));
            }
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

    /// Maps the elements of activations, or of their gradients, with this many elements to an image.
    pub fn activations(&self, source: Source, image_elements: usize) -> Indices {
        Indices::Images(self.of(source).clone(), image_elements)
    }

    /// Maps a layer's weights.
    pub fn weights(&self, layer: &LayerPlan, filters: FilterOrder) -> Indices {
        match &layer.geometry {
            // Of the convolution from the output: its input's channels are in the device's own order.
            Geometry::Conv(conv) if matches!(layer.kind, Kind::ConvTranspose(_)) => {
                Indices::Filters(filters, *conv, Order::ChannelsLast { c: conv.c, plane: 1 })
            }
            Geometry::Conv(conv) => Indices::Filters(filters, *conv, self.of(layer.inputs[0]).clone()),
            Geometry::Fc(_) => Indices::Matrix(self.of(layer.inputs[0]).clone()),
            Geometry::Pool(_) | Geometry::Shapes => self.channels(layer),
        }
    }

    /// Maps a layer's biases.
    pub fn biases(&self, layer: &LayerPlan) -> Indices {
        match &layer.geometry {
            // These give their output in the device's own order.
            Geometry::Conv(_) | Geometry::Fc(_) => Indices::Same,
            Geometry::Pool(_) | Geometry::Shapes => self.channels(layer),
        }
    }

    fn channels(&self, layer: &LayerPlan) -> Indices {
        if layer.weights == 1 {
            return Indices::Same;
        }
        Indices::Channels(self.of(layer.inputs[0]).clone(), layer.output.h * layer.output.w)
    }
}

fn refused(layer: &LayerPlan, layout: Layout) -> DeviceError {
    DeviceError::Unusable(format!(
        "layer `{}`: {} after a flatten is not possible in {layout}: put the flatten after it",
        layer.name,
        layer.kind.name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two outputs of three channels under a 1×2 kernel: canonical (k, c, s) = (1, 2, 0) is index 10.
    #[test]
    fn filters_in_each_order() {
        let geometry = ConvGeometry {
            n: 1,
            c: 3,
            h: 1,
            w: 2,
            k: 2,
            kernel: [1, 2],
            stride: [1, 1],
            pad: [0, 0],
            pad_after: [0, 0],
            crop: [0; 2],
            dilation: [1, 1],
            groups: 1,
        };
        let plain = Order::of(Shape { n: 1, c: 3, h: 1, w: 2 }, Layout::Nhwc);
        let offset = |order| Indices::Filters(order, geometry, plain.clone()).offset(10);
        // (1·3 + 2)·2 + 0, (1·2 + 0)·3 + 2, (0·3 + 2)·2 + 1.
        assert_eq!([FilterOrder::Kcrs, FilterOrder::Krsc, FilterOrder::Rsck].map(offset), [10, 8, 5]);
    }

    /// Three channels of 1×2 pixels behind a flatten: in NHWC, memory holds (c, w) as w·3 + c.
    #[test]
    fn a_matrix_follows_its_input() {
        let input = Order::of(Shape { n: 1, c: 3, h: 1, w: 2 }, Layout::Nhwc);
        let indices = Indices::Matrix(input.clone());
        assert_eq!([0, 1, 2, 7].map(|index| indices.offset(index)), [0, 3, 1, 9]);
        assert_eq!(Indices::Images(input, 6).offset(8), 6 + 1);
    }
}
