//! Parameters of the pooling kinds.

use serde::Deserialize;

use super::kind::{Padding, Pair};

/// Maximum over windows.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool {
    /// Size of a window in pixels.
    pub kernel: Pair,
    /// Input pixels between neighbouring windows; the kernel when left out.
    pub stride: Option<Pair>,
    /// Padding, which never is a maximum.
    #[serde(default = "super::kind::none")]
    pub pad: Padding,
    /// Input pixels between neighbouring elements of a window.
    #[serde(default = "super::kind::one")]
    pub dilation: Pair,
    /// Rounds the number of windows up in place of down.
    #[serde(default)]
    pub ceil: bool,
}

/// Average pooling over fixed windows, or adaptive to a given output size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "AvgPoolKeys")]
pub enum AvgPool {
    /// Windows of one size.
    Windows {
        /// Size of a window in pixels.
        kernel: Pair,
        /// Input pixels between neighbouring windows.
        stride: Pair,
        /// Zeros around the input.
        pad: Padding,
        /// Rounds the number of windows up in place of down.
        ceil: bool,
        /// The mean counts the padding.
        count_include_pad: bool,
    },
    /// As many windows as the output has pixels, of nearly equal size, as PyTorch's `AdaptiveAvgPool2d`.
    Adaptive {
        /// Height and width of the output.
        output: Pair,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AvgPoolKeys {
    kernel: Option<Pair>,
    stride: Option<Pair>,
    pad: Option<Padding>,
    ceil: Option<bool>,
    count_include_pad: Option<bool>,
    output: Option<Pair>,
}

impl AvgPoolKeys {
    fn has_no_windows(&self) -> bool {
        self.stride.is_none() && self.pad.is_none() && self.ceil.is_none() && self.count_include_pad.is_none()
    }
}

impl TryFrom<AvgPoolKeys> for AvgPool {
    type Error = &'static str;

    fn try_from(keys: AvgPoolKeys) -> Result<AvgPool, Self::Error> {
        match (keys.kernel, keys.output) {
            (Some(kernel), None) => Ok(AvgPool::Windows {
                kernel,
                stride: keys.stride.unwrap_or(kernel),
                pad: keys.pad.unwrap_or(Padding::NONE),
                ceil: keys.ceil.unwrap_or(false),
                count_include_pad: keys.count_include_pad.unwrap_or(true),
            }),
            (None, Some(output)) if keys.has_no_windows() => Ok(AvgPool::Adaptive { output }),
            (None, Some(_)) => {
                Err("`output` makes the windows itself: leave out stride, pad, ceil and count_include_pad")
            }
            (Some(_), Some(_)) => Err("give either `kernel` or `output` (adaptive), not both"),
            (None, None) => Err("missing field `kernel` (or `output = [h, w]` for adaptive pooling)"),
        }
    }
}
