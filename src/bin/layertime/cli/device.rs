//! Options of devices, which several commands share.

use clap::Args;

use layertime::device::monitor::{Clock, Clocks};
use layertime::device::options::{Choice, CudnnApi, DeviceOptions, Launch, Layout, Search};
use layertime::plan::Precision;

use super::precision;
use super::values::{self, Algorithms};

/// A GPU's clocks for the time of a run.
#[derive(Clone, Copy, Debug, PartialEq, Args)]
pub struct ClockArgs {
    /// Lock the GPU's SM clock: MHz, base (what it sustains) or max. Needs root; without, the run goes on unlocked and says so.
    #[arg(long, value_name = "MHZ|base|max", value_parser = values::clock)]
    pub lock_clocks: Option<Clock>,
    /// Lock the GPU's memory clock.
    #[arg(long, value_name = "MHZ", value_parser = values::mhz)]
    pub lock_memory_clock: Option<u32>,
}

/// Which device, and how it is to compute.
#[derive(Clone, Debug, PartialEq, Args)]
pub struct DeviceArgs {
    /// auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    pub device: Choice,
    /// Arithmetic; the CPU has f32 alone.
    #[arg(long, default_value = "f32", value_parser = values::precision())]
    pub precision: Precision,
    /// Arithmetic of fully connected layers, where it is not that of convolutions: f32 with tf32 is PyTorch's default.
    #[arg(long, value_parser = values::fc_precision())]
    pub fc_precision: Option<Precision>,
    /// CPU threads, up to one per processor in a run [default: all].
    #[arg(long, value_name = "N", value_parser = values::threads)]
    pub threads: Option<usize>,
    /// Memory order of activations [default: nchw for f32, nhwc for tf32, f16 and bf16; the CPU has nhwc alone].
    #[arg(long, value_parser = values::layout())]
    pub layout: Option<Layout>,
    /// How steps reach the GPU [default: queued].
    #[arg(long, value_parser = values::launch())]
    pub launch: Option<Launch>,
    /// Most memory a convolution algorithm may use, such as 256MiB.
    #[arg(long, value_name = "SIZE", value_parser = values::bytes)]
    pub workspace_limit: Option<u64>,
    /// How convolution algorithms are chosen.
    #[arg(long, default_value = "search", value_parser = values::algorithms())]
    pub algorithms: Algorithms,
    /// The part of cuDNN that convolutions go through [default: graph; legacy where cuDNN is older than 9.2].
    #[arg(long, value_parser = values::cudnn())]
    pub cudnn: Option<CudnnApi>,
    /// Only algorithms that give the same bits every time.
    #[arg(long)]
    pub deterministic: bool,
    /// Name every step, layer and phase on a GPU for Nsight (NVTX); started by it, only the warm-up's are named.
    #[arg(long)]
    pub nvtx: bool,
}

impl DeviceArgs {
    /// Makes one precision of the two.
    pub fn settle_precision(&mut self) -> Result<(), String> {
        precision::settle(&mut self.precision, &mut self.fc_precision)
    }

    pub fn options(&self) -> DeviceOptions {
        DeviceOptions {
            precision: self.precision,
            layout: self.layout,
            launch: self.launch,
            algorithms: match self.algorithms {
                Algorithms::Search(search) => search,
                Algorithms::Direct => Search::default(),
            },
            direct_convolutions: self.algorithms == Algorithms::Direct,
            cudnn: self.cudnn,
            deterministic: self.deterministic,
            nvtx: self.nvtx,
            workspace_limit: self.workspace_limit,
            threads: self.threads,
            ..DeviceOptions::default()
        }
    }
}

impl ClockArgs {
    pub fn wanted(self) -> Clocks {
        Clocks { sm: self.lock_clocks, memory_mhz: self.lock_memory_clock }
    }
}
