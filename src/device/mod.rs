//! Devices. The step, the measuring and the checks know them by the traits of this module only.

pub mod cpu;
pub mod cuda;
pub mod monitor;
pub mod options;
mod order;

use std::collections::BTreeMap;
use std::time::Duration;

use monitor::Monitor;
use options::{Choice, DeviceOptions, Launch, Layout, Search};

use crate::plan::{Phase, Plan, Precision, Roofline, Share};
use crate::ranks::Ranks;
use crate::step::{Op, Runner, Step};
use crate::units::size;

/// An open device, and the reason where it is not the one that was looked for.
pub struct Opened {
    /// The device.
    pub device: Box<dyn Device>,
    /// Why it is the CPU, where a GPU was looked for.
    pub no_gpu: Option<String>,
}

/// Opens the chosen device.
pub fn open(choice: Choice, options: &DeviceOptions) -> Result<Opened, DeviceError> {
    let device: Box<dyn Device> = match choice {
        // Threads are the CPU's alone.
        Choice::Auto if options.threads.is_none() && options.ranks.is_none() => return auto(options),
        Choice::Auto | Choice::Cpu => Box::new(cpu::Cpu::open(options)?),
        Choice::Cuda(_) if options.ranks.is_some() => return Err(ranks_on_a_gpu()),
        Choice::Cuda(_) if options.direct_convolutions => return Err(direct_on_a_gpu()),
        Choice::Cuda(index) => Box::new(cuda::Cuda::open(index, options)?),
    };
    Ok(Opened { device, no_gpu: None })
}

fn ranks_on_a_gpu() -> DeviceError {
    DeviceError::Usage("more than one rank trains on the CPU alone: give --device cpu".into())
}

fn direct_on_a_gpu() -> DeviceError {
    let message = "a GPU has no direct algorithms of its own: leave --algorithms direct out, or give --device cpu";
    DeviceError::Usage(message.into())
}

/// A GPU where one can be used, else the CPU and why.
fn auto(options: &DeviceOptions) -> Result<Opened, DeviceError> {
    match cuda::Cuda::open(0, options) {
        Ok(_) if options.direct_convolutions => Err(direct_on_a_gpu()),
        Ok(device) => Ok(Opened { device: Box::new(device), no_gpu: None }),
        Err(DeviceError::Usage(mistake)) => Err(DeviceError::Usage(mistake)),
        Err(why) => {
            let mut names = options.of_algorithms();
            names.extend(options.nvtx.then_some("--nvtx"));
            let without_effect = match names {
                names if names.is_empty() => String::new(),
                names => format!(" ({} without effect)", names.join(", ")),
            };
            // The CPU refuses them from those who ask for it.
            let left = DeviceOptions {
                algorithms: Search::default(),
                deterministic: false,
                cudnn: None,
                workspace_limit: None,
                nvtx: false,
                ..options.clone()
            };
            let device = Box::new(cpu::Cpu::open(&left)?);
            Ok(Opened { device, no_gpu: Some(format!("{why}{without_effect}")) })
        }
    }
}

/// The constants of momentum SGD and of everything random.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Training {
    /// Step size: w − learning_rate · v.
    pub learning_rate: f32,
    /// Factor of the velocity: v = momentum · v + g.
    pub momentum: f32,
    /// Factor of the weights in the gradient: g = gradient + weight_decay · w.
    pub weight_decay: f32,
    /// Seed of images, labels, weights, masks and the order of steps.
    pub seed: u64,
    /// `false` makes every dropout mask all ones.
    pub dropout: bool,
}

impl Default for Training {
    /// The constants of AlexNet's training, and seed 1 (Krizhevsky et al. 2012, section 5).
    fn default() -> Training {
        Training { learning_rate: 0.01, momentum: 0.9, weight_decay: 5e-4, seed: 1, dropout: true }
    }
}

/// Name, settings and choices of an open device: the same for all sessions.
#[derive(Clone, Debug)]
pub struct DeviceInfo {
    /// The name that reports carry, such as the processor's own.
    pub name: String,
    /// Facts that reports list, by key.
    pub facts: Vec<(&'static str, String)>,
    /// Arithmetic of its sessions.
    pub precision: Precision,
    /// Memory order of activations.
    pub layout: Layout,
    /// The way in which steps reach the device.
    pub launch: Launch,
    /// Threads that compute, where the user can choose.
    pub threads: Option<usize>,
    /// Batch sizes of a sweep when the user names none.
    pub default_batches: &'static [usize],
    /// Options that change what the device does, with the values that hold, such as the workspace limit: two runs that differ in
    /// them are not one.
    pub options: BTreeMap<String, String>,
    /// Variables that change how the device's libraries compute, where they are set.
    pub environment: BTreeMap<String, String>,
    /// Tells if max pooling gives its gradient to the first of equal maxima, as PyTorch does. A library that chooses otherwise is
    /// not wrong, but cannot be compared there.
    pub first_maximum_wins: bool,
}

/// A machine part that can train: opened once per run.
pub trait Device: Sync {
    /// Name, settings and choices.
    fn info(&self) -> &DeviceInfo;

    /// Opens a session and works with it on the thread where sessions run. [`in_session`] does the same with a result.
    ///
    /// Buffers, descriptors and chosen algorithms are made here; parameters, momentum and inputs are undefined until filled.
    /// Refuses a plan of another precision or of other ranks than the device's.
    fn with_session(&self, step: &Step, training: Training, work: Work) -> Result<(), DeviceError>;

    /// Bytes in use on the device, where it tells: on the CPU by this program, on a GPU by all that run there.
    fn used_bytes(&self) -> Option<u64>;

    /// The highest rates that this device reaches, measured now; where one is repeated, for no longer than this.
    fn ceilings(&self, longest: Duration) -> Result<Ceilings, DeviceError>;

    /// The ranks that train together, this one among them; `None` for one alone.
    fn ranks(&self) -> Option<&Ranks> {
        None
    }

    /// Watches and fixes the device's settings, where something can.
    fn monitor(&self) -> Option<&dyn Monitor> {
        None
    }

    /// Notes for a reader of the run's figures, in sentences; asked at its end.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Work with an open session.
pub type Work<'a> = &'a mut (dyn FnMut(&mut dyn Session) + Send);

/// Opens a session of `device`, works with it, and gives what the work gives.
pub fn in_session<T: Send, E: From<DeviceError> + Send>(
    device: &dyn Device,
    step: &Step,
    training: Training,
    work: impl FnOnce(&mut dyn Session) -> Result<T, E> + Send,
) -> Result<T, E> {
    let (mut work, mut result) = (Some(work), None);
    device.with_session(step, training, &mut |session| result = work.take().map(|work| work(session)))?;
    result.unwrap_or_else(|| Err(DeviceError::Unusable("the device did no work at all".into()).into()))
}

/// Refuses a plan of another precision, or of other ranks, than the device was opened for.
fn check_plan(info: &DeviceInfo, ranks: Option<&Ranks>, plan: &Plan) -> Result<(), DeviceError> {
    let (planned, opened) = (plan.share, ranks.map_or(Share::ALONE, Ranks::share));
    if planned != opened {
        let [planned, opened] = [planned, opened].map(|Share { rank, ranks }| format!("rank {rank} of {ranks}"));
        return Err(DeviceError::Usage(format!(
            "the plan is for {planned}, but the device is {opened}'s: plan for it"
        )));
    }
    if plan.precision == info.precision {
        return Ok(());
    }
    let (planned, opened) = (plan.precision, info.precision);
    Err(DeviceError::Usage(format!(
        "the plan is for {planned}, but the device was opened for {opened}: plan for {opened}"
    )))
}

/// A step made real on a device: it runs, and its tensors can be set and read between steps.
pub trait Session: Runner<Error = DeviceError> + Send {
    /// Sets a tensor; `value` is asked for each element by its canonical index (see [`Tensor`]).
    fn fill(&mut self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), DeviceError>;

    /// A tensor's elements in canonical order. Activations and their gradients share memory: read them before a later operation runs.
    fn read(&mut self, tensor: Tensor) -> Result<Vec<f32>, DeviceError>;

    /// The algorithm of an operation, where there is a choice.
    fn algorithm(&self, op: Op) -> Option<Algorithm>;

    /// Chooses the way in which the next steps reach the device: live until this is called.
    fn set_launch(&mut self, _launch: Launch) {}

    /// Bytes held for this session, scratch included.
    fn planned_bytes(&self) -> u64;

    /// Measures the clock that the device computes at across the next step, where it can.
    fn stamp_clock(&mut self) {}

    /// That clock, the mean over the steps since the last question.
    fn sm_clock_mhz(&mut self) -> Option<f64> {
        None
    }
}

/// A session's tensors. Canonical order is NCHW for activations and their gradients, \[K, C/groups, R, S\] for convolution
/// weights, \[out, in\] for fully connected ones, whatever the device's own layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tensor {
    /// The batch of images.
    Input,
    /// One class per image, as a whole number.
    Labels,
    /// Mean cross-entropy, one element.
    Loss,
    /// A layer's output.
    Output(usize),
    /// Gradient of the loss with respect to a layer's output.
    OutputGradient(usize),
    /// Gradient of the loss with respect to the images.
    InputGradient,
    /// A layer's weights.
    Weight(usize),
    /// A layer's biases.
    Bias(usize),
    /// Gradient of a layer's weights.
    WeightGradient(usize),
    /// Gradient of a layer's biases.
    BiasGradient(usize),
    /// Momentum of a layer's weights.
    WeightMomentum(usize),
    /// Momentum of a layer's biases.
    BiasMomentum(usize),
    /// A dropout layer's kept elements as ones, dropped as zeros.
    Mask(usize),
}

/// A way to compute an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithm {
    /// The name that the CSV carries.
    pub name: String,
    /// Scratch memory that it uses.
    pub workspace_bytes: u64,
    /// The transform in which it computes.
    pub transform: Transform,
}

/// A transform of images and filters in which their convolution is a product. Some round more than a sum of products does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transform {
    /// None: sums of products.
    #[default]
    Plain,
    /// Fourier's.
    Fourier,
    /// Winograd's, with the side of its tiles where the library tells.
    Winograd(Option<u8>),
}

/// The highest rates seen on this device, in the run's precision.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Ceilings {
    /// A large GEMM.
    pub gemm_flops_per_s: f64,
    /// A large copy, bytes read plus bytes written.
    pub copy_bytes_per_s: f64,
    /// Bytes that the copy wrote, more than any cache holds; not known of runs of 0.1.0 and of predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_bytes: Option<u64>,
}

impl Ceilings {
    /// The rates that phases are held against.
    pub fn roofline(self) -> Roofline {
        let Ceilings { gemm_flops_per_s: flops_per_s, copy_bytes_per_s: bytes_per_s, copied_bytes } = self;
        Roofline { flops_per_s, bytes_per_s, cached_bytes: copied_bytes.unwrap_or(0) }
    }
}

fn remedy(smaller_helps: bool) -> &'static str {
    match smaller_helps {
        true => "choose a smaller batch",
        false => "no smaller batch would fit, free memory or raise this process's limit (ulimit -v)",
    }
}

/// Why a device cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The batch does not fit.
    #[error("needs {} of memory, but {} are free: {}", size(*.needed), size(*.available), remedy(*.smaller_helps))]
    OutOfMemory {
        /// Bytes that the step holds.
        needed: u64,
        /// Bytes that were free.
        available: u64,
        /// A smaller batch may fit.
        smaller_helps: bool,
    },
    /// An operation of a step failed.
    #[error("{call} failed in layer `{layer}`, {phase}: {status}", phase = phase.name())]
    Call {
        /// Name of the layer.
        layer: String,
        /// Phase of the operation.
        phase: Phase,
        /// The library's function.
        call: &'static str,
        /// The library's status.
        status: String,
    },
    /// The device cannot do what it was asked to: a mistake in usage.
    #[error("{0}")]
    Usage(String),
    /// The device is missing, broken, or lost.
    #[error("{0}")]
    Unusable(String),
}
