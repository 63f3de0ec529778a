//! Choosing convolution algorithms: cuDNN times all of them on the session's own buffers, or guesses; algorithms that break the
//! user's limits are left out.

use super::route::Route;
use super::{Chosen, ConvAddresses, ConvOp};
use crate::device::DeviceError;
use crate::device::cuda::driver::dnn::{AlgorithmOffer, ConvMemory, Direction, Math, Problem};
use crate::device::cuda::driver::{Buffer, CallError, Cause, Handles};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::{Arithmetic, SharedGpu};
use crate::device::options::{CudnnApi, Search};
use crate::plan::Phase;
use crate::plan::Precision;

/// A phase of a convolution layer for which an algorithm is wanted.
#[derive(Clone, Copy)]
pub struct AlgorithmRequest<'a> {
    /// The layer's name.
    pub layer: &'a str,
    /// The phase of the layer.
    pub step_phase: Phase,
    /// The phase of the convolution: another one where it is transposed.
    pub phase: Phase,
    /// The session's own tensors; a search overwrites the result.
    pub at: ConvAddresses,
    /// The phase adds to its result.
    pub accumulate: bool,
}

/// Chooses for one session.
pub struct AlgorithmChooser<'a> {
    pub(super) handles: &'a Handles,
    pub(super) arithmetic: &'a Arithmetic,
    /// The most bytes that an algorithm may take, with what goes around it.
    pub(super) room: u64,
    /// The most scratch that a search takes.
    most: usize,
    /// Scratch for the algorithms that are timed.
    pub(super) space: Buffer,
}

impl<'a> AlgorithmChooser<'a> {
    /// A chooser that has no scratch yet.
    pub fn new(gpu: &'a SharedGpu, handles: &'a Handles) -> Result<AlgorithmChooser<'a>, Failure> {
        let (free, total) = gpu.context().memory()?;
        Ok(AlgorithmChooser {
            handles,
            arithmetic: &gpu.arithmetic,
            room: room(free, total),
            most: 0,
            space: Buffer::new(0)?,
        })
    }

    /// Looks at the scratch that a search for one phase would take.
    pub fn measure(&mut self, conv: &ConvOp, request: &AlgorithmRequest) -> Result<(), Failure> {
        if self.arithmetic.algorithms == Search::Exhaustive {
            let sizes = self.sizes(conv, request);
            let sizes = sizes.map_err(|error| Failure::within(error, request.layer, request.step_phase))?;
            self.most = sizes.into_iter().filter(|&bytes| bytes as u64 <= self.room).fold(self.most, usize::max);
        }
        Ok(())
    }

    /// Takes scratch for the most that any measured algorithm asks for, of those that are within the limits.
    pub fn take_scratch(&mut self) -> Result<(), Failure> {
        self.space = scratch(self.most)?;
        Ok(())
    }

    /// Scratch that the algorithms for a phase would take, in the session's layout and around it. Nothing is chosen yet: a form that cuDNN
    /// lacks is no error.
    fn sizes(&self, conv: &ConvOp, request: &AlgorithmRequest) -> Result<Vec<usize>, CallError> {
        if self.arithmetic.cudnn == CudnnApi::Graph {
            return self.engine_sizes(conv, request);
        }
        let mut sizes = Vec::new();
        for planar in [false, true].into_iter().filter(|&planar| !planar || conv.planar().is_some()) {
            let (direction, problem) = conv.problem(request.phase, planar);
            let offers = supported(self.handles.dnn.guess(direction, &problem))?;
            let fitting = offers.iter().filter(|offer| self.may_be(offer) && self.permits(offer.workspace_bytes));
            sizes.extend(fitting.map(|offer| offer.workspace_bytes + conv.around_bytes(Route::planar_if(planar))));
        }
        Ok(sizes)
    }

    /// Chooses for one phase: in the session's layout, or where cuDNN has nothing for that, around it.
    pub fn choose(&self, conv: &mut ConvOp, request: &AlgorithmRequest) -> Result<(), Failure> {
        let chosen = match self.arithmetic.cudnn {
            CudnnApi::Graph => self.choose_engine(conv, request)?.map(|way| conv.choose_plan(request.phase, way)),
            CudnnApi::Legacy => self.choose_algorithm(conv, request)?.map(|chosen| conv.choose(request.phase, chosen)),
        };
        match chosen {
            Some(()) => Ok(()),
            None if self.memory_is_short(conv, request) => Err(Failure::OutOfMemory),
            None => Err(self.nothing_fits(request).into()),
        }
    }

    fn choose_algorithm(&self, conv: &ConvOp, request: &AlgorithmRequest) -> Result<Option<Chosen>, Failure> {
        let within = |error: CallError| Failure::within(error, request.layer, request.step_phase);
        let own = self.offers(conv, request, false);
        let own = if conv.planar().is_some() { supported(own) } else { own };
        let mut chosen = self.first_that_fits(conv, request, own.map_err(within)?, false).map_err(within)?;
        if chosen.is_none() && conv.planar().is_some() {
            let offers = self.offers(conv, request, true).map_err(within)?;
            chosen = self.first_that_fits(conv, request, offers, true).map_err(within)?;
        }
        Ok(chosen)
    }

    /// cuDNN's offers for a phase, the best first.
    fn offers(
        &self,
        conv: &ConvOp,
        request: &AlgorithmRequest,
        planar: bool,
    ) -> Result<Vec<AlgorithmOffer>, CallError> {
        let (direction, problem) = conv.problem(request.phase, planar);
        match (self.arithmetic.algorithms, conv.planar().filter(|_| planar)) {
            (Search::Heuristic, _) => self.handles.dnn.guess(direction, &problem),
            (Search::Exhaustive, None) => self.search(direction, &problem, request.at, 0),
            (Search::Exhaustive, Some(around)) if around.bytes() <= self.space.bytes() => {
                self.search(direction, &problem, around.addresses(self.space.address()), around.bytes())
            }
            (Search::Exhaustive, Some(_)) => Ok(Vec::new()),
        }
    }

    fn first_that_fits(
        &self,
        conv: &ConvOp,
        request: &AlgorithmRequest,
        offers: Vec<AlgorithmOffer>,
        planar: bool,
    ) -> Result<Option<Chosen>, CallError> {
        let (_, problem) = conv.problem(request.phase, planar);
        for AlgorithmOffer { direction, math, .. } in offers.into_iter().filter(|offer| self.may_be(offer)) {
            let math = match self.arithmetic.precision.convolutions() {
                // cuDNN may offer its default math for a descriptor that asked for FMA; with f32 that would permit TF32.
                Precision::F32 | Precision::F32Tf32 => Math::of(Precision::F32),
                Precision::Tf32 | Precision::Tf32F32 | Precision::F16 | Precision::Bf16 => math,
            };
            problem.convolution.set_math(math)?;
            let Ok(workspace_bytes) = self.handles.dnn.workspace_bytes(direction, &problem) else { continue };
            if self.permits(workspace_bytes)
                && (workspace_bytes + conv.around_bytes(Route::planar_if(planar))) as u64 <= self.room
            {
                let around = Route::planar_if(planar).suffix();
                let name = format!("{} {}{around}", direction.name(), math.name());
                return Ok(Some(Chosen { direction, workspace_bytes, name, planar }));
            }
        }
        Ok(None)
    }

    /// Tells if an offer is as deterministic as the user wants it.
    fn may_be(&self, AlgorithmOffer { direction, deterministic, .. }: &AlgorithmOffer) -> bool {
        !self.arithmetic.deterministic || (*deterministic && !direction.is_documented_as_nondeterministic())
    }

    /// Tells if the user's limit allows a workspace.
    pub(super) fn permits(&self, bytes: usize) -> bool {
        self.arithmetic.workspace_limit.is_none_or(|limit| bytes as u64 <= limit)
    }

    /// Tells if cuDNN has algorithms for a phase that only the GPU's memory is too small for.
    fn memory_is_short(&self, conv: &ConvOp, request: &AlgorithmRequest) -> bool {
        let scratch = self.space.bytes() as u64;
        let most = if self.arithmetic.algorithms == Search::Exhaustive { scratch } else { self.room };
        self.sizes(conv, request).is_ok_and(|sizes| sizes.iter().any(|&bytes| bytes as u64 > most))
    }

    fn nothing_fits(&self, request: &AlgorithmRequest) -> DeviceError {
        let Arithmetic { precision, layout, deterministic, workspace_limit, .. } = *self.arithmetic;
        let kind = if deterministic { "deterministic " } else { "" };
        let (within, fix) = match workspace_limit {
            Some(limit) => (format!(" within {limit} bytes"), "raise --workspace-limit"),
            None => (String::new(), "try another --layout"),
        };
        let (layer, phase) = (request.layer, request.step_phase.name());
        DeviceError::Unusable(format!(
            "layer `{layer}`, {phase}: cuDNN offers no {kind}algorithm{within} for it in {precision} and {layout}: {fix}"
        ))
    }

    /// Times all that work; the scratch's first bytes are taken.
    fn search(
        &self,
        direction: Direction,
        problem: &Problem,
        at: ConvAddresses,
        taken: usize,
    ) -> Result<Vec<AlgorithmOffer>, CallError> {
        let ConvAddresses { x, w, y } = at;
        let (workspace, workspace_bytes) = (self.space.at(taken), self.space.bytes() - taken);
        self.handles.dnn.search(direction, problem, ConvMemory { x, w, y, workspace, workspace_bytes })
    }
}

/// No offers from a library that has no form of what was asked.
fn supported(offers: Result<Vec<AlgorithmOffer>, CallError>) -> Result<Vec<AlgorithmOffer>, CallError> {
    match offers {
        Err(error) if error.cause == Cause::NotSupported => Ok(Vec::new()),
        other => other,
    }
}

/// The part of the free memory that algorithms may take: libraries load kernels when they first use them, and cuDNN has algorithms that
/// take all they can get. A tenth of the GPU's memory stays, 512 MiB at least, but no more than a quarter of what is free.
fn room(free: u64, total: u64) -> u64 {
    const LEAST: u64 = 512 << 20;
    free - (total / 10).max(LEAST).min(free / 4)
}

/// As much as can be had: half as often as need be.
fn scratch(mut bytes: usize) -> Result<Buffer, CallError> {
    loop {
        match Buffer::new(bytes) {
            Err(error) if error.cause == Cause::OutOfMemory && bytes > 0 => bytes /= 2,
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_left_for_the_libraries() {
        const MIB: u64 = 1 << 20;
        let rooms =
            [(80_000, 81_920), (3000, 4096), (40, 64), (0, 64)].map(|(free, total)| room(free * MIB, total * MIB));
        assert_eq!(rooms, [71_808, 2488, 30, 0].map(|mib| mib * MIB));
    }
}
