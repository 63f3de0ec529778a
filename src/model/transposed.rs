//! Parameters of transposed convolution.

use serde::Deserialize;

use super::kind::{Padding, Pair, none, one, single, yes};

/// Transposed convolution: the gradient of a convolution's input as a layer, as PyTorch's `ConvTranspose2d`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvTranspose {
    /// Output channels.
    pub channels: usize,
    /// Size of the filter in pixels.
    pub kernel: Pair,
    /// Output pixels between neighbouring inputs.
    #[serde(default = "one")]
    pub stride: Pair,
    /// Rows and columns that the output goes without, of those that filters reach.
    #[serde(default = "none")]
    pub pad: Padding,
    /// Rows at the bottom and columns on the right that the output has more.
    #[serde(default = "no_more")]
    pub output_padding: Pair,
    /// Output pixels between neighbouring taps of the filter.
    #[serde(default = "one")]
    pub dilation: Pair,
    /// Input and output channels fall into this many groups that do not mix.
    #[serde(default = "single")]
    pub groups: usize,
    /// Adds a bias to every output channel.
    #[serde(default = "yes")]
    pub bias: bool,
}

fn no_more() -> Pair {
    Pair::square(0)
}
