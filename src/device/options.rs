//! Choices about a device, in the words of the command line, `run.json` and the CSV.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::plan::Precision;
use crate::ranks::Ranks;
use crate::words::words;

/// Which device to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// A GPU when one is usable, else the CPU, saying why.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The GPU with this index.
    Cuda(usize),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Choice, String> {
        let expected = || format!("`{text}` is no device: give auto, cpu, cuda or cuda:N");
        match text.split_once(':') {
            None if text == "auto" => Ok(Choice::Auto),
            None if text == "cpu" => Ok(Choice::Cpu),
            None if text == "cuda" => Ok(Choice::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Choice::Cuda).map_err(|_| expected()),
            _ => Err(expected()),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Choice::Auto => f.write_str("auto"),
            Choice::Cpu => f.write_str("cpu"),
            Choice::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// The memory order of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Images, channels, height, width.
    Nchw,
    /// Images, height, width, channels: the channels of a pixel lie together.
    Nhwc,
}

impl Layout {
    /// The layout where nothing else is said: tensor cores take the channels of a pixel together.
    pub fn of(precision: Precision) -> Layout {
        match precision.convolutions() {
            Precision::F32 | Precision::F32Tf32 => Layout::Nchw,
            Precision::Tf32 | Precision::Tf32F32 | Precision::F16 | Precision::Bf16 => Layout::Nhwc,
        }
    }
}

/// The way in which a step reaches the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Launch {
    /// The stream is held until the step is enqueued: no launch gaps inside phases.
    #[default]
    Queued,
    /// The device runs while the host enqueues.
    Live,
    /// The host is the device.
    Direct,
}

/// The choice of convolution algorithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Search {
    /// Time them all.
    #[default]
    #[serde(rename = "search")]
    Exhaustive,
    /// Ask the library.
    Heuristic,
}

/// The part of cuDNN that convolutions go through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CudnnApi {
    /// Operation graphs, which all engines serve.
    #[default]
    Graph,
    /// A function per direction and an enumeration of algorithms, which cuDNN deprecates.
    Legacy,
}

/// When ranks average their gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduce {
    /// Each layer's behind its backward pass, on the device's own time: what it costs alone.
    #[default]
    Serial,
}

/// Everything that opening a device can be told.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Arithmetic.
    pub precision: Precision,
    /// `None` leaves it to the device and precision.
    pub layout: Option<Layout>,
    /// `None` leaves it to the device.
    pub launch: Option<Launch>,
    /// The part of cuDNN that convolutions go through; `None` means graphs, where the library is new enough for them.
    pub cudnn: Option<CudnnApi>,
    /// The choice of a GPU's convolution algorithms.
    pub algorithms: Search,
    /// Only algorithms that give the same bits every time.
    pub deterministic: bool,
    /// The most bytes of scratch that a convolution may use.
    pub workspace_limit: Option<u64>,
    /// The CPU's direct convolution kernels alone, without Winograd. A GPU refuses it.
    pub direct_convolutions: bool,
    /// CPU threads; `None` means all.
    pub threads: Option<usize>,
    /// NVTX ranges in every step of a GPU, for a profiler. Where one waits for them, those of the warm-up have them anyway.
    pub nvtx: bool,
    /// The ranks that train together; `None` for one alone. A GPU refuses them.
    pub ranks: Option<Ranks>,
    /// When they average their gradients.
    pub reduce: Reduce,
}

impl DeviceOptions {
    /// Those given that choose among a GPU's convolution algorithms.
    pub fn of_algorithms(&self) -> Vec<&'static str> {
        let given = [
            (self.workspace_limit.is_some(), "--workspace-limit"),
            (self.algorithms != Search::default(), "--algorithms"),
            (self.deterministic, "--deterministic"),
            (self.cudnn.is_some(), "--cudnn"),
        ];
        given.into_iter().filter(|(given, _)| *given).map(|(_, name)| name).collect()
    }
}

words!(Layout { Nchw = "nchw", Nhwc = "nhwc" });
words!(Launch { Queued = "queued", Live = "live", Direct = "direct" });
words!(CudnnApi { Graph = "graph", Legacy = "legacy" });
words!(Reduce { Serial = "serial" });
words!(Search { Exhaustive = "search", Heuristic = "heuristic" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names() {
        assert_eq!("cuda:3".parse(), Ok(Choice::Cuda(3)));
        assert_eq!("cuda".parse(), Ok(Choice::Cuda(0)));
        for bad in ["gpu", "cuda:", "cuda:-1", "cpu:0", ""] {
            assert!(bad.parse::<Choice>().is_err(), "{bad}");
        }
    }
}
