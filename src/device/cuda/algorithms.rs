//! Choosing convolution algorithms: cuDNN times all of them on the session's own buffers, or guesses; what breaks the user's limits
//! is left out.

use super::call::{Cause, Fault};
use super::conv::{Chosen, Conv, Operands};
use super::dnn::{Direction, Found, Places, Problem};
use super::element::dnn_math;
use super::gpu::{Arithmetic, Gpu};
use super::memory::Buffer;
use super::queue::Queue;
use crate::device::DeviceError;
use crate::device::options::Search;
use crate::plan::Phase;
use crate::plan::Precision;

/// How often a search times everything; the best decides: an algorithm's first use loads its kernels.
const TRIALS: usize = 3;

/// A phase of a convolution layer for which an algorithm is wanted.
pub struct Wish<'a> {
    pub layer: &'a str,
    pub phase: Phase,
    pub at: Operands,
}

/// Chooses for one session.
pub struct Chooser<'a> {
    queue: &'a Queue,
    arithmetic: &'a Arithmetic,
    /// The most bytes that an algorithm may take, with what goes around it.
    room: u64,
    /// Scratch for the algorithms that are timed.
    space: Buffer,
}

impl<'a> Chooser<'a> {
    /// Takes scratch for the most that any algorithm of these convolutions asks for, of those that are within the limits.
    pub fn new<'c>(
        gpu: &'a Gpu,
        queue: &'a Queue,
        convolutions: impl Iterator<Item = (&'c Conv, Wish<'c>)>,
    ) -> Result<Chooser<'a>, DeviceError> {
        let (free, total) = gpu.context().memory()?;
        let room = room(free, total);
        let mut chooser = Chooser { queue, arithmetic: &gpu.arithmetic, room, space: Buffer::new(0)? };
        if gpu.arithmetic.algorithms == Search::Exhaustive {
            let mut most = 0;
            for (conv, wish) in convolutions {
                let sizes = chooser.sizes(conv, &wish).map_err(|fault| fault.within(wish.layer, wish.phase))?;
                most = sizes.into_iter().filter(|&bytes| bytes as u64 <= room).fold(most, usize::max);
            }
            chooser.space = scratch(most)?;
        }
        Ok(chooser)
    }

    /// What the algorithms for a phase would take, in the session's layout and around it. Nothing is chosen yet: a form that cuDNN
    /// lacks is no error.
    fn sizes(&self, conv: &Conv, wish: &Wish) -> Result<Vec<usize>, Fault> {
        let mut sizes = Vec::new();
        for planar in [false, true].into_iter().filter(|&planar| !planar || conv.planar().is_some()) {
            let (direction, problem) = conv.problem(wish.phase, planar);
            let offers = supported(self.queue.dnn.guess(direction, &problem))?;
            let fitting = offers.iter().filter(|offer| self.may_be(offer) && self.permits(offer.workspace_bytes));
            sizes.extend(fitting.map(|offer| offer.workspace_bytes + conv.around_bytes(planar)));
        }
        Ok(sizes)
    }

    /// Chooses for one phase: in the session's layout, or where cuDNN has nothing for that, around it.
    pub fn choose(&self, conv: &mut Conv, wish: &Wish) -> Result<(), DeviceError> {
        let within = |fault: Fault| fault.within(wish.layer, wish.phase);
        let own = self.offers(conv, wish, false);
        let own = if conv.planar().is_some() { supported(own) } else { own };
        let mut chosen = self.first_that_fits(conv, wish, own.map_err(within)?, false).map_err(within)?;
        if chosen.is_none() && conv.planar().is_some() {
            let offers = self.offers(conv, wish, true).map_err(within)?;
            chosen = self.first_that_fits(conv, wish, offers, true).map_err(within)?;
        }
        match chosen {
            Some(chosen) => {
                conv.choose(wish.phase, chosen);
                Ok(())
            }
            None if self.memory_is_short(conv, wish) => Err(DeviceError::OutOfMemory { needed: 0, available: 0 }),
            None => Err(self.nothing_fits(wish)),
        }
    }

    /// What cuDNN has for a phase, the best first.
    fn offers(&self, conv: &Conv, wish: &Wish, planar: bool) -> Result<Vec<Found>, Fault> {
        let (direction, problem) = conv.problem(wish.phase, planar);
        match (self.arithmetic.algorithms, conv.planar().filter(|_| planar)) {
            (Search::Heuristic, _) => self.queue.dnn.guess(direction, &problem),
            (Search::Exhaustive, None) => self.search(direction, &problem, wish.at, 0),
            (Search::Exhaustive, Some(around)) if around.bytes() <= self.space.bytes() => {
                self.search(direction, &problem, around.operands(self.space.address()), around.bytes())
            }
            (Search::Exhaustive, Some(_)) => Ok(Vec::new()),
        }
    }

    fn first_that_fits(
        &self,
        conv: &Conv,
        wish: &Wish,
        offers: Vec<Found>,
        planar: bool,
    ) -> Result<Option<Chosen>, Fault> {
        let (_, problem) = conv.problem(wish.phase, planar);
        for Found { direction, math, .. } in offers.into_iter().filter(|offer| self.may_be(offer)) {
            let math = match self.arithmetic.precision {
                // cuDNN may offer its default math for a descriptor that asked for FMA; with f32 that would permit TF32.
                Precision::F32 => dnn_math(Precision::F32),
                Precision::Tf32 | Precision::F16 | Precision::Bf16 => math,
            };
            problem.convolution.set_math(math)?;
            let Ok(workspace_bytes) = self.queue.dnn.workspace_bytes(direction, &problem) else { continue };
            if self.permits(workspace_bytes) && (workspace_bytes + conv.around_bytes(planar)) as u64 <= self.room {
                let math = format!("{math:?}");
                let around = if planar { " by way of NCHW" } else { "" };
                let name = format!("{} {}{around}", direction.name(), math.trim_start_matches("CUDNN_"));
                return Ok(Some(Chosen { direction, workspace_bytes, name, planar }));
            }
        }
        Ok(None)
    }

    /// Whether an offer is as deterministic as the user wants it.
    fn may_be(&self, Found { direction, deterministic, .. }: &Found) -> bool {
        !self.arithmetic.deterministic || (*deterministic && !direction.is_documented_as_nondeterministic())
    }

    /// Whether the user's limit allows a workspace.
    fn permits(&self, bytes: usize) -> bool {
        self.arithmetic.workspace_limit.is_none_or(|limit| bytes as u64 <= limit)
    }

    /// Whether cuDNN has algorithms for a phase that only the GPU's memory is too small for.
    fn memory_is_short(&self, conv: &Conv, wish: &Wish) -> bool {
        let scratch = self.space.bytes() as u64;
        let most = if self.arithmetic.algorithms == Search::Exhaustive { scratch } else { self.room };
        self.sizes(conv, wish).is_ok_and(|sizes| sizes.iter().any(|&bytes| bytes as u64 > most))
    }

    fn nothing_fits(&self, wish: &Wish) -> DeviceError {
        let Arithmetic { precision, layout, deterministic, workspace_limit, .. } = *self.arithmetic;
        let kind = if deterministic { "deterministic " } else { "" };
        let (within, fix) = match workspace_limit {
            Some(limit) => (format!(" within {limit} bytes"), "raise --workspace-limit"),
            None => (String::new(), "try another --layout"),
        };
        let (layer, phase) = (wish.layer, wish.phase.name());
        DeviceError::Unusable(format!(
            "layer `{layer}`, {phase}: cuDNN offers no {kind}algorithm{within} for it in {precision} and {layout}: {fix}"
        ))
    }

    /// All that work, the fastest first by the best of several trials.
    /// The scratch's first bytes are taken.
    fn search(&self, direction: Direction, problem: &Problem, at: Operands, taken: usize) -> Result<Vec<Found>, Fault> {
        let Operands { x, w, y } = at;
        let (workspace, workspace_bytes) = (self.space.at(taken), self.space.bytes() - taken);
        let places = Places { x, w, y, workspace, workspace_bytes };
        let trials = (0..TRIALS).map(|_| self.queue.dnn.search(direction, problem, places));
        Ok(by_best_time(trials.collect::<Result<Vec<_>, _>>()?))
    }
}

/// No offers from a library that has no form of what was asked.
fn supported(offers: Result<Vec<Found>, Fault>) -> Result<Vec<Found>, Fault> {
    match offers {
        Err(fault) if fault.cause == Cause::NotSupported => Ok(Vec::new()),
        other => other,
    }
}

/// What algorithms may take of the free memory: libraries load kernels when they first use them, and cuDNN has algorithms that
/// take all they can get. A tenth of the GPU's memory stays, 512 MiB at least, but no more than a quarter of what is free.
fn room(free: u64, total: u64) -> u64 {
    const LEAST: u64 = 512 << 20;
    free - (total / 10).max(LEAST).min(free / 4)
}

/// As much as can be had: half as often as need be.
fn scratch(mut bytes: usize) -> Result<Buffer, Fault> {
    loop {
        match Buffer::new(bytes) {
            Err(fault) if fault.cause == Cause::OutOfMemory && bytes > 0 => bytes /= 2,
            other => return other,
        }
    }
}

/// What every trial offered, by its best time. A trial may list an algorithm more than once.
fn by_best_time(trials: Vec<Vec<Found>>) -> Vec<Found> {
    let same = |a: &Found, b: &Found| a.direction == b.direction && a.math == b.math;
    let in_all = |found: &Found| trials.iter().all(|trial| trial.iter().any(|other| same(other, found)));
    let mut all: Vec<Found> = trials.iter().flatten().copied().filter(in_all).collect();
    all.sort_by(|a, b| a.ms.total_cmp(&b.ms));
    let mut offers: Vec<Found> = Vec::new();
    for found in all {
        if !offers.iter().any(|better| same(better, &found)) {
            offers.push(found);
        }
    }
    offers
}

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::cudnn::sys::{cudnnConvolutionFwdAlgo_t, cudnnMathType_t};

    fn offer(algorithm: cudnnConvolutionFwdAlgo_t, ms: f32) -> Found {
        let direction = Direction::Forward(algorithm);
        let math = cudnnMathType_t::CUDNN_FMA_MATH;
        Found { direction, ms, workspace_bytes: 0, deterministic: true, math }
    }

    #[test]
    fn memory_is_left_for_the_libraries() {
        const MIB: u64 = 1 << 20;
        let rooms =
            [(80_000, 81_920), (3000, 4096), (40, 64), (0, 64)].map(|(free, total)| room(free * MIB, total * MIB));
        assert_eq!(rooms, [71_808, 2488, 30, 0].map(|mib| mib * MIB));
    }

    /// A's first time is a cold one; B is listed twice in a trial; C did not always work.
    #[test]
    fn the_best_of_the_trials_decides() {
        use cudnnConvolutionFwdAlgo_t::{
            CUDNN_CONVOLUTION_FWD_ALGO_FFT as C, CUDNN_CONVOLUTION_FWD_ALGO_GEMM as A,
            CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD as B,
        };
        let trials = vec![
            vec![offer(C, 0.1), offer(B, 2.0), offer(A, 90.0)],
            vec![offer(A, 1.0), offer(B, 2.0), offer(B, 3.0)],
            vec![offer(A, 1.1), offer(B, 1.9)],
        ];
        let order: Vec<(Direction, f32)> =
            by_best_time(trials).iter().map(|found| (found.direction, found.ms)).collect();
        assert_eq!(order, [(Direction::Forward(A), 1.0), (Direction::Forward(B), 1.9)]);
    }
}
