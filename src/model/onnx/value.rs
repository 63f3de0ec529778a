//! The values that flow along a graph's edges.

use super::curve::Samples;
use super::list::Places;
use super::local_norm::LocalNorm;
use super::noise::Noise;
use super::spread::Spread;
use super::tensor::ConstTensor;
use crate::model::Source;

/// The result of an operator.
#[derive(Clone, Debug)]
pub enum Value {
    /// The image, or a layer's output.
    Activation(OnnxActivation),
    /// A function of one activation, element by element, which may be a part of a known one.
    Pointwise(Pointwise),
    /// A value that does not depend on the image.
    Tensor(ConstTensor),
    /// Random numbers, of which a mask is made.
    Noise(Noise),
    /// Runs of an activation's channels, so many in each, as a sequence.
    Parts(OnnxActivation, Vec<usize>),
    /// An activation's numbers as one list, one image behind the other.
    List(OnnxActivation),
    /// Places in such a list.
    Places(Places),
    /// One pixel's values, spread over an image.
    Spread(Spread),
    /// The divisor of a local response normalisation.
    LocalNorm(LocalNorm),
    /// Softmax of an activation. The network may end in one.
    Softmax(OnnxActivation),
    /// The reason why there is none, in words. It counts only if the network's output needs the value.
    Missing(String),
}

/// An activation, as ONNX sees its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnnxActivation {
    /// The owner of the values.
    pub source: Source,
    /// Sizes and their order.
    pub view: View,
    /// Zeros around the image, which the next window takes as its padding: top, left, bottom, right.
    pub pad: [usize; 4],
}

/// The sizes that ONNX gives an activation of C channels, H × W pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// \[N, C, H, W\].
    ChannelsFirst,
    /// \[N, H, W, C\].
    ChannelsLast,
    /// \[N, C·H·W\], of a flattened image or a vector.
    Vector,
    /// \[N, C, H·W\].
    Pixels,
    /// \[N, groups, C/groups, H, W\].
    Grouped(usize),
    /// \[N, C/groups, groups, H, W\]: the middle of a channel shuffle.
    Shuffled(usize),
}

/// A function of one activation, element by element.
#[derive(Clone, Debug)]
pub struct Pointwise {
    /// The activation.
    pub base: OnnxActivation,
    /// The function at a few points.
    pub samples: Samples,
    /// The node that gives it, to go back to when no layer computes the whole function.
    pub node: usize,
    /// Operators between the base and this.
    pub depth: usize,
}

impl OnnxActivation {
    /// The same values with other sizes.
    pub fn viewed(source: Source, view: View) -> OnnxActivation {
        OnnxActivation { source, view, pad: [0; 4] }
    }
}
