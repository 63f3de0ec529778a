//! A kernel over its grid: blocks run in parallel, the warps of a block in turn from barrier to barrier.

use super::isa::Kernel;
use super::shared::Shared;
use super::warp::{Context, Stop, Warp};
use crate::finding::{Finding, FindingKind};
use crate::memory::Region;
use rayon::prelude::*;

/// A launch's geometry and arguments.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y and z.
    pub block: [u32; 3],
    /// Bytes of shared memory beside what the kernel declares.
    pub dynamic_shared: usize,
    /// The parameter block: each argument at its parameter's offset, in the machine's byte order.
    pub parameters: &'a [u8],
}

/// A mistake of a kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelError {
    /// The kernel's name.
    pub kernel: String,
    /// The line of the PTX, from 1; 0 where the launch itself is wrong.
    pub line: u32,
    /// The block, by its place in the grid.
    pub block: [u32; 3],
    /// The thread, by its number in the block (x fastest), where it is known which one it was.
    pub thread: Option<u32>,
    /// The kind of mistake.
    pub kind: FindingKind,
    /// The mistake in words.
    pub what: String,
}

impl KernelError {
    /// As a finding: the kind, and everything else as text.
    pub fn finding(&self) -> Finding {
        Finding::new(self.kind, self.to_string())
    }
}

impl std::error::Error for KernelError {}

impl std::fmt::Display for KernelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [x, y, z] = self.block;
        write!(f, "{}: PTX line {}, block ({x},{y},{z})", self.kernel, self.line)?;
        if let Some(thread) = self.thread {
            write!(f, ", thread {thread}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Runs a kernel in this process, and waits for its end.
///
/// # Errors
/// The first mistake ends the kernel: in memory, at a barrier, in arithmetic, or a launch that does not fit it.
pub fn launch(kernel: &Kernel, launch: &Launch) -> Result<(), KernelError> {
    check(kernel, launch)?;
    let blocks = launch.grid.iter().map(|&n| u64::from(n)).product::<u64>();
    let run = |range: std::ops::Range<u64>| -> Result<(), KernelError> {
        let mut runner = BlockRunner::new(kernel, launch);
        for index in range {
            let [gx, gy, _] = launch.grid.map(u64::from);
            runner.run([(index % gx) as u32, (index / gx % gy) as u32, (index / (gx * gy)) as u32])?;
        }
        Ok(())
    };
    let chunk = (blocks / (8 * rayon::current_num_threads() as u64)).max(4);
    if blocks <= chunk {
        return run(0..blocks);
    }
    (0..blocks.div_ceil(chunk)).into_par_iter().try_for_each(|i| run(i * chunk..((i + 1) * chunk).min(blocks)))
}

/// The block has threads, no more than the kernel allows, and the parameters are all there.
fn check(kernel: &Kernel, launch: &Launch) -> Result<(), KernelError> {
    let threads = launch.block.iter().map(|&n| u64::from(n)).product::<u64>();
    let (given, needed) = (launch.parameters.len(), kernel.parameter_bytes());
    let what = match (threads, given) {
        (0, _) => "a block without threads".to_string(),
        _ if threads > kernel.max_threads.into() => {
            format!("a block of {threads} threads, above {}", kernel.max_threads)
        }
        _ if given < needed => format!("{given} bytes of parameters in place of {needed}"),
        _ => return Ok(()),
    };
    let kind = FindingKind::InvalidArgument;
    Err(KernelError { kernel: kernel.name.clone(), line: 0, block: [0; 3], thread: None, kind, what })
}

/// What one worker keeps from block to block.
struct BlockRunner<'a> {
    kernel: &'a Kernel,
    launch: &'a Launch<'a>,
    warps: Vec<Warp>,
    shared: Shared,
    /// The region that each instruction last touched.
    cache: Vec<Region>,
}

impl<'a> BlockRunner<'a> {
    fn new(kernel: &'a Kernel, launch: &'a Launch<'a>) -> Self {
        let threads = launch.block.iter().product::<u32>();
        BlockRunner {
            kernel,
            launch,
            warps: (0..threads.div_ceil(32)).map(|w| Warp::new(kernel, w, launch.block)).collect(),
            shared: Shared::new(kernel.shared_bytes + launch.dynamic_shared),
            cache: vec![Region::EMPTY; kernel.code.len()],
        }
    }

    fn run(&mut self, block: [u32; 3]) -> Result<(), KernelError> {
        self.shared.reset();
        self.warps.iter_mut().for_each(Warp::start);
        let BlockRunner { kernel, launch, warps, shared, cache } = self;
        loop {
            let mut waiting = false;
            for warp in warps.iter_mut() {
                let context = &mut Context { kernel, launch, block, shared, cache };
                waiting |= warp.run(context)? == Stop::Barrier;
            }
            if !waiting {
                return Ok(());
            }
            shared.barrier();
        }
    }
}
