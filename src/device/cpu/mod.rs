//! The CPU: the embedded device, f32 in NHWC, threads by rayon.
//!
//! Convolution weights are \[R, S, C/groups, K\] in memory. Three rooms: the layer kinds' [`operations`], what they
//! [`compute`] with, and the session: its memory (`session`), its steps (`steps`) and its tensors (`tensors`).

mod cache;
mod ceiling;
pub mod compute;
pub mod operations;
mod session;
mod steps;
mod tensors;

use std::time::Duration;

use rayon::{ThreadPool, ThreadPoolBuilder};
use sysinfo::{MemoryRefreshKind, Pid, Process, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

use super::options::{DeviceOptions, Launch, Layout, Reduce};
use super::{Ceilings, Device, DeviceError, DeviceInfo, Training, Work, check_plan};
use crate::plan::Precision;
use crate::ranks::Ranks;
use crate::step::Step;
use compute::simd::Isa;
use operations::conv::AlgorithmChoice;

/// Threads that wait for one another on one processor: more make a step take minutes.
const MOST_PER_PROCESSOR: usize = 8;

/// Names slower instructions than the CPU has, for tests: `avx512`, `avx2` or `portable`. Convolutions and fc obey it.
const INSTRUCTIONS: &str = "LAYERTIME_INSTRUCTIONS";

/// The processor and the threads that a run may use.
pub struct Cpu {
    info: DeviceInfo,
    choice: AlgorithmChoice,
    isa: Isa,
    pool: ThreadPool,
    ranks: Option<Ranks>,
}

impl Cpu {
    /// Starts the threads. Refuses options that only GPUs have, and many times more threads than processors.
    pub fn open(options: &DeviceOptions) -> Result<Cpu, DeviceError> {
        refuse_what_only_gpus_have(options)?;
        let isa = Isa::named(std::env::var(INSTRUCTIONS).ok().as_deref())
            .map_err(|error| DeviceError::Usage(format!("{INSTRUCTIONS}: {error}")))?;
        let processors = processor_threads();
        let threads = options.threads.unwrap_or(processors);
        let most = MOST_PER_PROCESSOR * processors;
        if threads > most {
            return Err(DeviceError::Usage(format!(
                "{threads} threads are too many here: give --threads up to {most}"
            )));
        }
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("cpu-{index}"))
            .start_handler(|_| flush_subnormals())
            .build()
            .map_err(|error| DeviceError::Unusable(format!("cannot start {threads} threads: {error}")))?;
        let choice = if options.direct_convolutions { AlgorithmChoice::Direct } else { AlgorithmChoice::ByRule };
        let (ranks, reduce) = (options.ranks.clone(), options.reduce);
        Ok(Cpu {
            info: info(threads, choice, isa, ranks.as_ref().map(|ranks| (ranks, reduce))),
            choice,
            isa,
            pool,
            ranks,
        })
    }
}

fn info(threads: usize, choice: AlgorithmChoice, isa: Isa, ranks: Option<(&Ranks, Reduce)>) -> DeviceInfo {
    let together = ranks.map(|(ranks, reduce)| [("ranks", ranks.size().to_string()), ("reduce", reduce.to_string())]);
    let together = together.into_iter().flatten().map(|(name, value)| (name.to_owned(), value));
    let direct = (choice == AlgorithmChoice::Direct).then(|| ("algorithms".into(), "direct".into()));
    DeviceInfo {
        name: processor_name(),
        facts: vec![("threads", threads.to_string()), ("instructions", isa.name().into())],
        precision: Precision::F32,
        layout: Layout::Nhwc,
        launch: Launch::Direct,
        threads: Some(threads),
        default_batches: &[1, 2, 4, 8, 16, 32],
        options: direct.into_iter().chain(together).collect(),
        environment: Default::default(),
        first_maximum_wins: true,
    }
}

fn refuse_what_only_gpus_have(options: &DeviceOptions) -> Result<(), DeviceError> {
    let refuse = |what: String, instead: &str| Err(DeviceError::Usage(format!("the CPU has no {what}: {instead}")));
    if options.precision != Precision::F32 {
        return refuse(format!("{} arithmetic", options.precision), "it computes in f32 alone, leave --precision out");
    }
    if options.layout == Some(Layout::Nchw) {
        return refuse("nchw layout".into(), "it keeps activations nhwc, leave --layout out");
    }
    if let Some(launch @ (Launch::Queued | Launch::Live)) = options.launch {
        return refuse(format!("{launch} launch"), "it runs steps directly, leave --launch out");
    }
    if options.nvtx {
        return refuse("NVTX ranges".into(), "leave --nvtx out");
    }
    if let [first, ..] = *options.of_algorithms() {
        return refuse("convolution algorithms to choose from".into(), &format!("leave {first} out"));
    }
    Ok(())
}

/// As the processor calls itself.
pub fn processor_name() -> String {
    let system = System::new_with_specifics(RefreshKind::nothing().with_cpu(Default::default()));
    let brand = system.cpus().first().map(|cpu| cpu.brand().trim().to_owned());
    brand.filter(|brand| !brand.is_empty()).unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// Hardware threads that this process may use.
pub fn processor_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Subnormal numbers take a hundred times longer on some processors, and a net that has learnt its batch makes many.
fn flush_subnormals() {
    #[cfg(target_arch = "x86_64")]
    {
        // Flush-to-zero is bit 15 of MXCSR, denormals-are-zero bit 6 (Intel SDM, vol. 1, 10.2.3).
        const FTZ_DAZ: u32 = 1 << 15 | 1 << 6;
        let mut control = 0u32;
        // SAFETY: reads and writes this thread's own control register; the thread runs nothing but our arithmetic.
        unsafe {
            std::arch::asm!("stmxcsr [{0}]", in(reg) &mut control, options(nostack));
            control |= FTZ_DAZ;
            std::arch::asm!("ldmxcsr [{0}]", in(reg) &control, options(nostack, readonly));
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        // Flush-to-zero is bit 24 of FPCR (Arm ARM, C5.2.8).
        const FZ: u64 = 1 << 24;
        // SAFETY: as above.
        unsafe {
            let mut control: u64;
            std::arch::asm!("mrs {0}, fpcr", out(reg) control);
            control |= FZ;
            std::arch::asm!("msr fpcr, {0}", in(reg) control);
        }
    }
}

/// Free memory without swap, within the limits of this process's control group and address space (`ulimit -v`).
pub(crate) fn available_bytes() -> u64 {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(memory);
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(group).min(free_addresses())
}

/// Addresses that this process may still take; no limit where there is none, or none is told.
#[cfg(unix)]
fn free_addresses() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: writes a struct of ours.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) } == 0;
    if !told || limit.rlim_cur == libc::RLIM_INFINITY {
        return u64::MAX;
    }
    own_process(|process| process.virtual_memory()).map_or(u64::MAX, |used| limit.rlim_cur.saturating_sub(used))
}

#[cfg(not(unix))]
fn free_addresses() -> u64 {
    u64::MAX
}

/// A figure of this process's memory.
fn own_process(figure: fn(&Process) -> u64) -> Option<u64> {
    let pid = Pid::from_u32(std::process::id());
    let mut system = System::new();
    let memory = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, memory);
    system.process(pid).map(figure)
}

impl Device for Cpu {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn with_session(&self, step: &Step, training: Training, work: Work) -> Result<(), DeviceError> {
        check_plan(&self.info, self.ranks.as_ref(), &step.plan)?;
        self.pool.install(|| {
            let (isa, choice) = (self.isa, self.choice);
            let ranks = self.ranks.clone();
            work(&mut session::CpuSession::open(step, training, (isa, choice), ranks, available_bytes())?);
            Ok(())
        })
    }

    fn ranks(&self) -> Option<&Ranks> {
        self.ranks.as_ref()
    }

    fn used_bytes(&self) -> Option<u64> {
        own_process(|process| process.memory())
    }

    fn ceilings(&self, longest: Duration) -> Result<Ceilings, DeviceError> {
        let longest = longest.min(ceiling::LONGEST);
        self.pool.install(|| {
            let (copy_bytes_per_s, copied) = ceiling::copy_bytes_per_s(longest)?;
            let gemm_flops_per_s = ceiling::gemm_flops_per_s(longest);
            Ok(Ceilings { gemm_flops_per_s, copy_bytes_per_s, copied_bytes: Some(copied as u64) })
        })
    }
}
