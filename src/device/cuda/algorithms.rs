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
use crate::device::options::{Precision, Search};
use crate::plan::Phase;

/// How often a search times everything; the best decides: an algorithm's first use loads its kernels.
const TRIALS: usize = 3;

/// What is left for the libraries when memory is taken for a search.
const RESERVE: u64 = 64 << 20;

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
    /// Scratch for the algorithms that are timed.
    space: Buffer,
}

impl<'a> Chooser<'a> {
    /// Takes scratch for the most that any algorithm of these convolutions asks for, within the limit and what is free.
    pub fn new<'c>(
        gpu: &'a Gpu,
        queue: &'a Queue,
        convolutions: impl Iterator<Item = (&'c Conv, Wish<'c>)>,
    ) -> Result<Chooser<'a>, DeviceError> {
        let arithmetic = &gpu.arithmetic;
        let mut most = 0;
        if arithmetic.algorithms == Search::Search {
            for (conv, wish) in convolutions {
                let (direction, problem) = conv.problem(wish.phase, false);
                // Only a size is asked for; whoever has no form of this is tried again when it comes to choosing.
                let offers = supported(queue.dnn.guess(direction, &problem))
                    .map_err(|fault| fault.within(wish.layer, wish.phase))?;
                let fitting = offers.iter().filter(|offer| fits(arithmetic, offer.workspace_bytes));
                most = fitting.map(|offer| offer.workspace_bytes).fold(most, usize::max);
            }
        }
        let (free, _) = gpu.context().memory()?;
        let space = scratch(most.min(free.saturating_sub(RESERVE) as usize))?;
        Ok(Chooser { queue, arithmetic, space })
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
            None => Err(self.nothing_fits(wish)),
        }
    }

    /// What cuDNN has for a phase, the best first.
    fn offers(&self, conv: &Conv, wish: &Wish, planar: bool) -> Result<Vec<Found>, Fault> {
        let (direction, problem) = conv.problem(wish.phase, planar);
        match (self.arithmetic.algorithms, conv.planar().filter(|_| planar)) {
            (Search::Heuristic, _) => self.queue.dnn.guess(direction, &problem),
            (Search::Search, None) => self.search(direction, &problem, wish.at),
            (Search::Search, Some(around)) => {
                let scratch = Buffer::new(around.bytes())?;
                self.search(direction, &problem, around.operands(scratch.address()))
            }
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
        for Found { direction, deterministic, math, .. } in offers {
            if self.arithmetic.deterministic && (!deterministic || direction.is_documented_as_nondeterministic()) {
                continue;
            }
            let math = match self.arithmetic.precision {
                // cuDNN may offer its default math for a descriptor that asked for FMA; with f32 that would permit TF32.
                Precision::F32 => dnn_math(Precision::F32),
                Precision::Tf32 | Precision::F16 | Precision::Bf16 => math,
            };
            problem.convolution.set_math(math)?;
            let Ok(workspace_bytes) = self.queue.dnn.workspace_bytes(direction, &problem) else { continue };
            if fits(self.arithmetic, workspace_bytes) {
                let math = format!("{math:?}");
                let around = if planar { " by way of NCHW" } else { "" };
                let name = format!("{} {}{around}", direction.name(), math.trim_start_matches("CUDNN_"));
                return Ok(Some(Chosen { direction, workspace_bytes, name, planar }));
            }
        }
        Ok(None)
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
    fn search(&self, direction: Direction, problem: &Problem, at: Operands) -> Result<Vec<Found>, Fault> {
        let Operands { x, w, y } = at;
        let places = Places { x, w, y, workspace: self.space.address(), workspace_bytes: self.space.bytes() };
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

fn fits(arithmetic: &Arithmetic, bytes: usize) -> bool {
    arithmetic.workspace_limit.is_none_or(|limit| bytes as u64 <= limit)
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
