//! Parameters of the kinds that normalise and scale.

use serde::Deserialize;

/// Local response normalisation: x / (k + alpha/size · Σ x²)^beta across channels, with size² within one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lrn {
    /// Channels in a window, or pixels along its sides.
    pub size: usize,
    /// Factor of the window's mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Addend.
    pub k: f32,
    /// The window is of pixels of one channel, `size` squared of them, in place of channels of one pixel.
    #[serde(default)]
    pub within_channel: bool,
}

/// Batch normalisation with training statistics; weight and bias are \[C\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchNorm {
    /// Added to the variance.
    #[serde(default = "batchnorm_eps")]
    pub eps: f32,
    /// The share of the new batch in the running statistics.
    #[serde(default = "batchnorm_momentum")]
    pub momentum: f32,
}

/// Normalisation of every pixel over its channels; weight and bias are \[C\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Added to the variance.
    #[serde(default = "batchnorm_eps")]
    pub eps: f32,
}

/// A factor for each channel, and an addend where there is a bias; both are \[C\].
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Adds a bias to every channel.
    #[serde(default)]
    pub bias: bool,
}

/// x, below zero times a learnt slope; the slopes are \[C\], or one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PRelu {
    /// All channels have one slope.
    #[serde(default)]
    pub shared: bool,
}

fn batchnorm_eps() -> f32 {
    1e-5
}
fn batchnorm_momentum() -> f32 {
    0.1
}
