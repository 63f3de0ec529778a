//! The layer kinds and their parameters, as a description spells them.

use serde::Deserialize;

pub use super::activation::{Activation, Elu, LeakyRelu};
pub use super::dropout::{Dropout, Dropped};
pub use super::norm::{BatchNorm, LayerNorm, Lrn, PRelu, Scale};
pub use super::padding::Padding;
pub use super::pick::{ChannelShuffle, PadChannels, Slice};
pub use super::pool::{AvgPool, MaxPool};
pub use super::transposed::ConvTranspose;

/// A layer's kind with its parameters. The compiler names every place that must know a new kind: nothing matches with `_`.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Convolution.
    Conv(Conv),
    /// Transposed convolution.
    ConvTranspose(ConvTranspose),
    /// Fully connected.
    Fc(Fc),
    /// A function of each element.
    Activation(Activation),
    /// Maximum over windows.
    MaxPool(MaxPool),
    /// Mean over windows.
    AvgPool(AvgPool),
    /// Local response normalisation across channels.
    Lrn(Lrn),
    /// Zeroes elements at random.
    Dropout(Dropout),
    /// Makes one vector of each image, in the order C, H, W.
    Flatten,
    /// Normalises every channel over the batch.
    BatchNorm(BatchNorm),
    /// Normalises every pixel over its channels.
    LayerNorm(LayerNorm),
    /// Multiplies every channel by a number of its own.
    Scale(Scale),
    /// Rectified linear units with learnt slopes.
    PRelu(PRelu),
    /// Some channels.
    Slice(Slice),
    /// Takes channels from groups in turn.
    ChannelShuffle(ChannelShuffle),
    /// Channels of zeros beside an input's.
    PadChannels(PadChannels),
    /// Values put where a max pooling layer took its maxima.
    MaxUnpool,
    /// Sum of inputs of equal shapes.
    Add,
    /// Product of two inputs, of which one may have a single pixel per channel.
    Multiply,
    /// Joins inputs along the channels.
    Concat,
    /// Softmax and mean cross-entropy.
    SoftmaxLoss(SoftmaxLoss),
}

/// The groups of layers that the verdict compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Convolutions.
    Conv,
    /// Fully connected layers.
    Fc,
    /// All other layers.
    Other,
}

impl Group {
    /// All groups, in the order of tables.
    pub const ALL: [Group; 3] = [Group::Conv, Group::Fc, Group::Other];

    /// The group's word in tables and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Group::Conv => "conv",
            Group::Fc => "fc",
            Group::Other => "other",
        }
    }
}

impl Kind {
    /// The word for the kind in descriptions and tables.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Conv(_) => "conv",
            Kind::ConvTranspose(_) => "conv_transpose",
            Kind::Fc(_) => "fc",
            Kind::Activation(function) => function.name(),
            Kind::MaxPool(_) => "maxpool",
            Kind::AvgPool(_) => "avgpool",
            Kind::Lrn(_) => "lrn",
            Kind::Dropout(dropout) => dropout.of.name(),
            Kind::Flatten => "flatten",
            Kind::BatchNorm(_) => "batchnorm",
            Kind::LayerNorm(_) => "layernorm",
            Kind::Scale(_) => "scale",
            Kind::PRelu(_) => "prelu",
            Kind::Slice(_) => "slice",
            Kind::ChannelShuffle(_) => "channel_shuffle",
            Kind::PadChannels(_) => "pad_channels",
            Kind::MaxUnpool => "max_unpool",
            Kind::Add => "add",
            Kind::Multiply => "multiply",
            Kind::Concat => "concat",
            Kind::SoftmaxLoss(_) => "softmax_loss",
        }
    }

    /// The group that the verdict counts the kind in.
    pub fn group(&self) -> Group {
        match self {
            Kind::Conv(_) | Kind::ConvTranspose(_) => Group::Conv,
            Kind::Fc(_) => Group::Fc,
            Kind::Activation(_)
            | Kind::MaxPool(_)
            | Kind::AvgPool(_)
            | Kind::Lrn(_)
            | Kind::Dropout(_)
            | Kind::Flatten
            | Kind::BatchNorm(_)
            | Kind::LayerNorm(_)
            | Kind::Scale(_)
            | Kind::PRelu(_)
            | Kind::Slice(_)
            | Kind::ChannelShuffle(_)
            | Kind::PadChannels(_)
            | Kind::MaxUnpool
            | Kind::Add
            | Kind::Multiply
            | Kind::Concat
            | Kind::SoftmaxLoss(_) => Group::Other,
        }
    }

    /// Tells if the kind takes several inputs in place of exactly one: two or more, or as many as [`Kind::most_inputs`] says.
    pub fn joins(&self) -> bool {
        self.most_inputs() != Some(1)
    }

    /// The most inputs that the kind takes, where there is such a number.
    pub fn most_inputs(&self) -> Option<usize> {
        match self {
            Kind::Add | Kind::Concat => None,
            Kind::Multiply | Kind::MaxUnpool => Some(2),
            Kind::Conv(_)
            | Kind::ConvTranspose(_)
            | Kind::Fc(_)
            | Kind::Activation(_)
            | Kind::MaxPool(_)
            | Kind::AvgPool(_)
            | Kind::Lrn(_)
            | Kind::Dropout(_)
            | Kind::Flatten
            | Kind::BatchNorm(_)
            | Kind::LayerNorm(_)
            | Kind::Scale(_)
            | Kind::PRelu(_)
            | Kind::Slice(_)
            | Kind::ChannelShuffle(_)
            | Kind::PadChannels(_)
            | Kind::SoftmaxLoss(_) => Some(1),
        }
    }

    /// Tells if the layer only renames its input's memory: it has no phases and no output of its own.
    pub fn is_view(&self) -> bool {
        matches!(self, Kind::Flatten)
    }

    /// Tells if the kind takes the positions of input number `slot`, a max pooling layer, in place of its output.
    pub fn takes_positions(&self, slot: usize) -> bool {
        matches!(self, Kind::MaxUnpool) && slot == 1
    }

    /// Tells if the layer compares its input with labels.
    pub fn is_loss(&self) -> bool {
        matches!(self, Kind::SoftmaxLoss(_))
    }

    /// Factor of the layer's loss in the network's; `None` for kinds that compute none.
    pub fn loss_weight(&self) -> Option<f32> {
        if let Kind::SoftmaxLoss(loss) = self { Some(loss.loss_weight) } else { None }
    }

    /// The key that says if the layer adds a bias, where there is one.
    pub(super) fn bias_mut(&mut self) -> Option<&mut bool> {
        match self {
            Kind::Conv(conv) => Some(&mut conv.bias),
            Kind::ConvTranspose(conv) => Some(&mut conv.bias),
            Kind::Fc(fc) => Some(&mut fc.bias),
            Kind::Scale(scale) => Some(&mut scale.bias),
            Kind::Activation(_)
            | Kind::MaxPool(_)
            | Kind::AvgPool(_)
            | Kind::Lrn(_)
            | Kind::Dropout(_)
            | Kind::Flatten
            | Kind::BatchNorm(_)
            | Kind::LayerNorm(_)
            | Kind::PRelu(_)
            | Kind::Slice(_)
            | Kind::ChannelShuffle(_)
            | Kind::PadChannels(_)
            | Kind::MaxUnpool
            | Kind::Add
            | Kind::Multiply
            | Kind::Concat
            | Kind::SoftmaxLoss(_) => None,
        }
    }

    /// Tells if the layer draws a mask in each step.
    pub fn has_mask(&self) -> bool {
        matches!(self, Kind::Dropout(_))
    }
}

/// A height and a width; written as one number when they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "NumberOrPair")]
pub struct Pair {
    /// Height.
    pub h: usize,
    /// Width.
    pub w: usize,
}

impl Pair {
    /// The same height and width.
    pub const fn square(side: usize) -> Pair {
        Pair { h: side, w: side }
    }
}

/// Pixels that a window reaches over: (kernel − 1) · dilation + 1.
pub fn extent(kernel: Pair, dilation: Pair) -> Pair {
    let along = |kernel: usize, dilation: usize| (kernel - 1).saturating_mul(dilation).saturating_add(1);
    Pair { h: along(kernel.h, dilation.h), w: along(kernel.w, dilation.w) }
}

/// As a description spells it.
impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        if self.h == self.w { write!(f, "{}", self.h) } else { write!(f, "[{}, {}]", self.h, self.w) }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a whole number or [height, width]")]
enum NumberOrPair {
    Number(usize),
    Pair([usize; 2]),
}

impl From<NumberOrPair> for Pair {
    fn from(value: NumberOrPair) -> Pair {
        match value {
            NumberOrPair::Number(side) => Pair::square(side),
            NumberOrPair::Pair([h, w]) => Pair { h, w },
        }
    }
}

/// Cross-correlation, as every framework's "convolution".
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Output channels.
    pub channels: usize,
    /// Size of the filter in pixels.
    pub kernel: Pair,
    /// Input pixels between neighbouring outputs.
    #[serde(default = "one")]
    pub stride: Pair,
    /// Zeros around the input.
    #[serde(default = "none")]
    pub pad: Padding,
    /// Input pixels between neighbouring taps of the filter.
    #[serde(default = "one")]
    pub dilation: Pair,
    /// Input and output channels fall into this many groups that do not mix.
    #[serde(default = "single")]
    pub groups: usize,
    /// Adds a bias to every output channel.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// Fully connected: every output from every element of the flattened input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fc {
    /// Elements of one output.
    pub outputs: usize,
    /// Adds a bias to every output.
    #[serde(default = "yes")]
    pub bias: bool,
}

/// Softmax and mean cross-entropy. A network's loss is the sum of those of all such layers, each times its weight.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SoftmaxLoss {
    /// Factor of the layer's loss.
    pub loss_weight: f32,
}

impl Default for SoftmaxLoss {
    fn default() -> SoftmaxLoss {
        SoftmaxLoss { loss_weight: 1.0 }
    }
}

/// For kinds without parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParameters {}

pub(super) fn one() -> Pair {
    Pair::square(1)
}
pub(super) fn none() -> Padding {
    Padding::NONE
}
pub(super) fn single() -> usize {
    1
}
pub(super) fn yes() -> bool {
    true
}
