//! Choosing convolution algorithms: cuDNN times all of them on the session's own buffers, or guesses; what breaks the user's limits
//! is left out.

use std::collections::HashMap;

use super::call::Fault;
use super::conv::{Conv, Operands};
use super::dnn::{Direction, Found, Places, Problem};
use super::element::dnn_math;
use super::gpu::{Arithmetic, Gpu};
use super::memory::Buffer;
use super::queue::Queue;
use crate::device::DeviceError;
use crate::device::options::{Precision, Search};
use crate::plan::Phase;

/// How often a search times everything; the mean decides.
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
                let (direction, problem) = conv.problem(wish.phase);
                let offers =
                    queue.dnn.guess(direction, &problem).map_err(|fault| fault.within(wish.layer, wish.phase))?;
                let fitting = offers.iter().filter(|offer| fits(arithmetic, offer.workspace_bytes));
                most = fitting.map(|offer| offer.workspace_bytes).fold(most, usize::max);
            }
        }
        let (free, _) = gpu.context().memory()?;
        let space = scratch(most.min(free.saturating_sub(RESERVE) as usize))?;
        Ok(Chooser { queue, arithmetic, space })
    }

    /// Chooses for one phase.
    pub fn choose(&self, conv: &mut Conv, wish: &Wish) -> Result<(), DeviceError> {
        let (direction, problem) = conv.problem(wish.phase);
        let within = |fault: Fault| fault.within(wish.layer, wish.phase);
        let offers = match self.arithmetic.algorithms {
            Search::Search => self.search(direction, &problem, wish.at).map_err(within)?,
            Search::Heuristic => self.queue.dnn.guess(direction, &problem).map_err(within)?,
        };
        for offer in offers {
            if self.arithmetic.deterministic
                && (!offer.deterministic || offer.direction.is_documented_as_nondeterministic())
            {
                continue;
            }
            let math = match self.arithmetic.precision {
                // cuDNN may offer its default math for a descriptor that asked for FMA; with f32 that would permit TF32.
                Precision::F32 => dnn_math(Precision::F32),
                Precision::Tf32 | Precision::F16 | Precision::Bf16 => offer.math,
            };
            problem.convolution.set_math(math).map_err(within)?;
            let Ok(bytes) = self.queue.dnn.workspace_bytes(offer.direction, &problem) else { continue };
            if fits(self.arithmetic, bytes) {
                let math = format!("{math:?}");
                let name = format!("{} {}", offer.direction.name(), math.trim_start_matches("CUDNN_"));
                conv.set_way(wish.phase, offer.direction, bytes, name);
                return Ok(());
            }
        }
        Err(DeviceError::Unusable(format!(
            "layer `{}`, {}: cuDNN offers no {}algorithm{} for it in {} and {}{}",
            wish.layer,
            wish.phase.name(),
            if self.arithmetic.deterministic { "deterministic " } else { "" },
            self.arithmetic.workspace_limit.map(|limit| format!(" within {limit} bytes")).unwrap_or_default(),
            self.arithmetic.precision,
            self.arithmetic.layout,
            if self.arithmetic.workspace_limit.is_some() {
                ": raise --workspace-limit"
            } else {
                ": try another --layout"
            },
        )))
    }

    /// All that work, the fastest first by the mean of several trials.
    fn search(&self, direction: Direction, problem: &Problem, at: Operands) -> Result<Vec<Found>, Fault> {
        let Operands { x, w, y } = at;
        let places = Places { x, w, y, workspace: self.space.address(), workspace_bytes: self.space.bytes() };
        let trials = (0..TRIALS).map(|_| self.queue.dnn.search(direction, problem, places));
        Ok(by_mean_time(trials.collect::<Result<Vec<_>, _>>()?))
    }
}

fn fits(arithmetic: &Arithmetic, bytes: usize) -> bool {
    arithmetic.workspace_limit.is_none_or(|limit| bytes as u64 <= limit)
}

/// As much as can be had: half as often as need be.
fn scratch(mut bytes: usize) -> Result<Buffer, Fault> {
    loop {
        match Buffer::new(bytes) {
            Err(fault) if fault.cause == super::call::Cause::OutOfMemory && bytes > 0 => bytes /= 2,
            other => return other,
        }
    }
}

/// What every trial offered, by its mean time.
fn by_mean_time(trials: Vec<Vec<Found>>) -> Vec<Found> {
    let key = |found: &Found| (found.direction.name(), found.math as u32);
    let count = trials.len();
    let mut times: HashMap<(String, u32), Vec<f32>> = HashMap::new();
    for found in trials.iter().flatten() {
        times.entry(key(found)).or_default().push(found.ms);
    }
    let mean = |found: &Found| times[&key(found)].iter().sum::<f32>() / count as f32;
    let mut offers: Vec<Found> = trials.into_iter().next().unwrap_or_default();
    offers.retain(|found| times[&key(found)].len() == count);
    offers.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
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

    /// A is the fastest once, B on the average; C did not always work.
    #[test]
    fn the_mean_of_the_trials_decides() {
        use cudnnConvolutionFwdAlgo_t::{
            CUDNN_CONVOLUTION_FWD_ALGO_FFT as C, CUDNN_CONVOLUTION_FWD_ALGO_GEMM as A,
            CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD as B,
        };
        let trials = vec![
            vec![offer(C, 0.1), offer(A, 1.0), offer(B, 2.0)],
            vec![offer(B, 2.0), offer(A, 6.0)],
            vec![offer(B, 2.0), offer(A, 3.0)],
        ];
        let order: Vec<Direction> = by_mean_time(trials).iter().map(|found| found.direction).collect();
        assert_eq!(order, [Direction::Forward(B), Direction::Forward(A)]);
    }
}
