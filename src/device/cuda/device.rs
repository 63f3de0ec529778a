//! The device: opened for one precision and layout, refusing what it cannot do as asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ceiling;
use super::driver::libraries::Libraries;
use super::driver::nvml::NvmlGpu;
use super::driver::{self, Context};
use super::failure::Failure;
use super::gpu::{Arithmetic, SharedGpu};
use super::kernels::Kernels;
use super::ranges::{Extent, RangeMarking};
use super::session::CudaSession;
use crate::device::monitor::Monitor;
use crate::device::options::{CudnnApi, DeviceOptions, Launch, Layout};
use crate::device::{Ceilings, Device, DeviceError, DeviceInfo, Training, Work, check_plan};
use crate::plan::Precision;
use crate::step::Step;

/// An NVIDIA GPU.
pub struct Cuda {
    gpu: Arc<SharedGpu>,
    info: DeviceInfo,
    nvml: NvmlGpu,
}

/// Variables by which cuBLAS and cuDNN compute other than asked: TF32 for all or none, f32 emulated with bf16 products.
pub const OVERRIDES: [&str; 4] = [
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_EMULATE_SINGLE_PRECISION",
    "CUBLAS_EMULATION_STRATEGY",
    "CUBLAS_FIXEDPOINT_EMULATION_MANTISSA_BIT_COUNT",
];
/// 0 switches TF32 off, whoever asks for it.
const TF32: &str = OVERRIDES[0];
/// Another that may change how they compute, not what.
const WORKSPACE: &str = "CUBLAS_WORKSPACE_CONFIG";
/// Makes every launch wait for its kernel: a held one would wait for ever.
const BLOCKING: &str = "CUDA_LAUNCH_BLOCKING";

impl Cuda {
    /// Opens the GPU with this index. Refuses what the GPU or the libraries cannot do as asked.
    pub fn open(index: usize, options: &DeviceOptions) -> Result<Cuda, DeviceError> {
        Cuda::open_gpu(index, options).map_err(Failure::unsized_error)
    }

    fn open_gpu(index: usize, options: &DeviceOptions) -> Result<Cuda, Failure> {
        if options.threads.is_some() {
            return Err(DeviceError::Usage("a GPU has no threads to choose: leave --threads out".into()).into());
        }
        let libraries = Libraries::load()?;
        driver::probe()?;
        let context = Context::open(index)?;
        // After what may be missing: without a GPU the environment is nobody's concern.
        refuse_overrides(options.precision)?;
        let device = context.device();
        let (name, capability) = (device.name()?, device.capability()?);
        let (cudnn, older) = cudnn_api(options.cudnn, &libraries)?;
        let arithmetic = arithmetic(options, cudnn);
        let kernels = Kernels::choose(capability)?.ok_or_else(|| {
            let (major, minor) = capability;
            DeviceError::Unusable(format!(
                "{name} has compute capability {major}.{minor}: a P100 (6.0) is the oldest that serves"
            ))
        })?;
        libraries.serve(&name, capability).map_err(DeviceError::Unusable)?;
        refuse_by_capability(&name, capability, arithmetic.precision)?;
        let (_, memory) = context.memory()?;
        let nvml = NvmlGpu::open(device.uuid()?);
        let mut gpu = SharedGpu::open(context, kernels, arithmetic)?;
        older.into_iter().for_each(|why| gpu.note(why));
        match RangeMarking::open(options.nvtx) {
            Ok(ranges) => gpu.ranges = ranges,
            Err(why) => gpu.note(why),
        }
        let mut facts = vec![
            ("compute capability", format!("{}.{}", capability.0, capability.1)),
            ("multiprocessors", device.multiprocessors()?.to_string()),
            ("memory bytes", memory.to_string()),
            ("kernels", gpu.kernels_origin().to_owned()),
        ];
        facts.extend(libraries.facts().into_iter().chain(nvml.facts()));
        let launch = launch(options, &gpu);
        let info = DeviceInfo {
            name,
            facts,
            precision: arithmetic.precision,
            layout: arithmetic.layout,
            launch,
            threads: None,
            default_batches: &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
            options: choices(&arithmetic, gpu.ranges),
            environment: environment(),
            first_maximum_wins: false,
        };
        Ok(Cuda { gpu: Arc::new(gpu), info, nvml })
    }
}

/// The part of cuDNN to use, and a note where it is not the usual one.
fn cudnn_api(wanted: Option<CudnnApi>, libraries: &Libraries) -> Result<(CudnnApi, Option<String>), DeviceError> {
    match (wanted, libraries.plan_graphs()) {
        (Some(CudnnApi::Legacy), _) => Ok((CudnnApi::Legacy, None)),
        (_, Ok(())) => Ok((CudnnApi::Graph, None)),
        (Some(CudnnApi::Graph), Err(why)) => Err(DeviceError::Usage(format!("{why}, or give --cudnn legacy"))),
        (None, Err(why)) => Ok((
            CudnnApi::Legacy,
            Some(format!("convolutions went through cuDNN's older functions, as --cudnn legacy: {why}")),
        )),
    }
}

/// The choices that change what takes time: among convolution algorithms, and ranges in measured steps.
fn choices(arithmetic: &Arithmetic, ranges: Option<RangeMarking>) -> BTreeMap<String, String> {
    let &Arithmetic { cudnn, algorithms, deterministic, workspace_limit, .. } = arithmetic;
    let limit = workspace_limit.map(|limit| ("workspace_limit".to_owned(), format!("{limit} bytes")));
    let chosen = [("algorithms", algorithms.to_string()), ("deterministic", deterministic.to_string())];
    // Runs from before there was a choice have no such entry.
    let graph = (cudnn == CudnnApi::Graph).then(|| ("cudnn".to_owned(), cudnn.to_string()));
    let ranges =
        ranges.filter(|ranges| ranges.extent == Extent::EveryStep).map(|_| ("nvtx".to_owned(), "true".to_owned()));
    chosen.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(limit).chain(graph).chain(ranges).collect()
}

/// The variables that change how the libraries compute, where they are set.
fn environment() -> BTreeMap<String, String> {
    let names = OVERRIDES.into_iter().chain([WORKSPACE, BLOCKING]);
    let set = names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)));
    set.filter(|(_, value)| !value.is_empty()).collect()
}

fn launch(options: &DeviceOptions, gpu: &SharedGpu) -> Launch {
    let wanted = options.launch.unwrap_or(Launch::Queued);
    let blocks = std::env::var_os(BLOCKING).is_some_and(|value| !value.is_empty() && value != "0");
    if blocks && wanted == Launch::Queued {
        gpu.note(format!("{BLOCKING} is set: steps were launched live, and hold the gaps between launches"));
        return Launch::Live;
    }
    wanted
}

fn arithmetic(options: &DeviceOptions, cudnn: CudnnApi) -> Arithmetic {
    Arithmetic {
        precision: options.precision,
        layout: options.layout.unwrap_or_else(|| Layout::of(options.precision)),
        cudnn,
        algorithms: options.algorithms,
        deterministic: options.deterministic,
        workspace_limit: options.workspace_limit,
    }
}

fn refuse_overrides(precision: Precision) -> Result<(), DeviceError> {
    let no_tf32 = std::env::var_os(TF32).is_some_and(|value| value == "0");
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let harmful = OVERRIDES.into_iter().find(|&name| set(name) && !(no_tf32 && name == TF32));
    let uses = |arithmetic| precision.convolutions() == arithmetic || precision.products() == arithmetic;
    match (uses(Precision::F32), harmful) {
        _ if no_tf32 && uses(Precision::Tf32) => {
            Err(DeviceError::Usage(format!("tf32 would be f32 with {TF32}=0: unset it, or choose f32")))
        }
        (true, Some(name)) => {
            Err(DeviceError::Usage(format!("f32 would not be IEEE f32 with {name} set: unset it, or choose tf32")))
        }
        _ => Ok(()),
    }
}

fn refuse_by_capability(name: &str, (major, minor): (i32, i32), precision: Precision) -> Result<(), DeviceError> {
    let instead = match precision {
        Precision::Tf32 | Precision::Tf32F32 | Precision::F32Tf32 if major < 8 => "f32 or f16",
        Precision::Bf16 if major < 8 => "f16",
        Precision::F32
        | Precision::Tf32
        | Precision::F16
        | Precision::Bf16
        | Precision::Tf32F32
        | Precision::F32Tf32 => return Ok(()),
    };
    Err(DeviceError::Usage(format!(
        "{name} has no {precision} (compute capability {major}.{minor}, it came with 8.0): choose {instead}"
    )))
}

impl Device for Cuda {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn with_session(&self, step: &Step, training: Training, work: Work) -> Result<(), DeviceError> {
        check_plan(&self.info, None, &step.plan)?;
        work(&mut CudaSession::open(step, training, &self.gpu)?);
        Ok(())
    }

    fn used_bytes(&self) -> Option<u64> {
        self.gpu.context().memory().ok().map(|(free, total)| total - free)
    }

    fn monitor(&self) -> Option<&dyn Monitor> {
        Some(&self.nvml)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.gpu.notes();
        if self.gpu.watchdog_releases.load(Ordering::Relaxed) > 0 {
            let then = "its phases may hold launch gaps, and all steps after it were launched live";
            notes.push(format!("a held step was let go before everything was enqueued: {then}"));
        }
        notes
    }

    fn ceilings(&self, longest: Duration) -> Result<Ceilings, DeviceError> {
        ceiling::measure(&self.gpu, longest).map_err(Failure::unsized_error)
    }
}
