//! Choosing engines of cuDNN's graph API for a convolution: all that are permitted are timed on filled buffers, and the best few again, so
//! that engines which are nearly as fast as each other do not take turns.

use super::algorithms::{AlgorithmChooser, AlgorithmRequest};
use super::route::Route;
use super::{ConvAddresses, ConvOp, PlannedWay};
use crate::device::cuda::driver::dnn::{ConvGraph, EngineConfig, Target};
use crate::device::cuda::driver::{Buffer, CallError, Cause, Event};
use crate::device::cuda::engines::{ConvQuery, EngineRules, candidates, problem};
use crate::device::cuda::failure::Failure;
use crate::device::options::Search;

/// How many of the best are timed again, and how often: less often where one run is long, and its time well known after a few.
const FINALISTS: usize = 3;
const REPETITIONS: std::ops::RangeInclusive<usize> = 3..=10;
const LONG_US: f64 = 100_000.0;
/// Times this near to the best are no reason to prefer an engine; cuDNN's own order decides among them.
const NEAR: f64 = 1.01;

/// Ways to compute a phase, the most promising first, and why others were passed over.
#[derive(Default)]
struct Offers {
    ways: Vec<PlannedWay>,
    failed: Option<CallError>,
}

impl AlgorithmChooser<'_> {
    /// The engines for a phase on a route; none where cuDNN has no such graph.
    fn configs(&self, conv: &ConvOp, request: &AlgorithmRequest, route: Route) -> Result<Vec<EngineConfig>, CallError> {
        let arithmetic = self.arithmetic;
        let (geometry, layout) = conv.seen_on(route, arithmetic.layout);
        let query = ConvQuery { geometry, phase: request.phase, precision: arithmetic.precision, layout };
        let adds = request.accumulate && route.is_added_by_cudnn(request.phase);
        let rules = EngineRules {
            precision: arithmetic.precision,
            deterministic: arithmetic.deterministic,
            workspace_limit: arithmetic.workspace_limit,
        };
        let graph = match ConvGraph::new(&problem(&query, adds), &Target::of(&self.handles.dnn)) {
            Err(error) if error.cause == Cause::NotSupported => return Ok(Vec::new()),
            graph => graph?,
        };
        candidates(&graph, &rules).map(|(_, configs)| configs)
    }

    /// Scratch that the engines for a phase would take.
    pub(super) fn engine_sizes(&self, conv: &ConvOp, request: &AlgorithmRequest) -> Result<Vec<usize>, CallError> {
        let mut sizes = Vec::new();
        for route in conv.routes() {
            let configs = self.configs(conv, request, route)?;
            sizes.extend(configs.iter().map(|config| conv.scratch_for(config.workspace_bytes as usize, route)));
        }
        Ok(sizes)
    }

    /// Chooses an engine for one phase; `None` where none fits.
    pub(super) fn choose_engine(
        &self,
        conv: &ConvOp,
        request: &AlgorithmRequest,
    ) -> Result<Option<PlannedWay>, Failure> {
        let within = |error: CallError| Failure::within(error, request.layer, request.step_phase);
        let Offers { mut ways, mut failed } = self.offered_ways(conv, request).map_err(within)?;
        let chosen = match self.arithmetic.algorithms {
            Search::Heuristic => ways.pop(),
            Search::Exhaustive => self.fastest(conv, request, ways, &mut failed).map_err(within)?,
        };
        match (chosen, failed) {
            (Some(way), _) => Ok(Some(way.with_kernel_name())),
            (None, Some(error)) => Err(within(error)),
            (None, None) => Ok(None),
        }
    }

    /// Plans of all engines that fit; for a heuristic's choice of the first alone.
    fn offered_ways(&self, conv: &ConvOp, request: &AlgorithmRequest) -> Result<Offers, CallError> {
        let mut offers = Offers::default();
        for route in conv.routes() {
            for config in self.configs(conv, request, route)? {
                self.add(&mut offers, conv, request, &config, route)?;
                if self.arithmetic.algorithms == Search::Heuristic && !offers.ways.is_empty() {
                    return Ok(offers);
                }
            }
        }
        Ok(offers)
    }

    /// Adds a plan, with addresses in the chooser's scratch, unless it cannot be made or does not fit.
    fn add(
        &self,
        offers: &mut Offers,
        conv: &ConvOp,
        request: &AlgorithmRequest,
        config: &EngineConfig,
        route: Route,
    ) -> Result<(), CallError> {
        let fits = |bytes: u64| {
            let scratch = conv.scratch_for(bytes as usize, route) as u64;
            let room = match self.arithmetic.algorithms {
                Search::Exhaustive => self.space.bytes() as u64,
                Search::Heuristic => self.room,
            };
            scratch <= room && self.permits(bytes as usize)
        };
        if !fits(config.workspace_bytes) {
            return Ok(());
        }
        let plan = match config.plan() {
            Ok(plan) if fits(plan.workspace_bytes) => plan,
            Ok(_) => return Ok(()),
            Err(error) if error.cause == Cause::NotSupported => return Ok(()),
            Err(error) => return self.pass_over(error, &mut offers.failed),
        };
        let mut way = PlannedWay { plan, pack: None, name: config.name(), transform: config.notes.transform, route };
        if self.arithmetic.algorithms == Search::Exhaustive {
            conv.pack(&mut way, request.at, &self.space)?;
        }
        offers.ways.push(way);
        Ok(())
    }

    /// Goes on without an engine that failed, such as one whose compiler is missing, where the GPU did not fail with it.
    fn pass_over(&self, error: CallError, failed: &mut Option<CallError>) -> Result<(), CallError> {
        let of_the_engine = error.cause != Cause::OutOfMemory && error.call.starts_with("cudnn");
        if !of_the_engine || self.handles.stream.synchronize().is_err() {
            return Err(error);
        }
        failed.get_or_insert(error);
        Ok(())
    }

    fn fastest(
        &self,
        conv: &ConvOp,
        request: &AlgorithmRequest,
        ways: Vec<PlannedWay>,
        failed: &mut Option<CallError>,
    ) -> Result<Option<PlannedWay>, CallError> {
        let clock = [Event::new()?, Event::new()?];
        let mut timed: Vec<(f64, usize, PlannedWay)> = Vec::new();
        for (rank, way) in ways.into_iter().enumerate() {
            // The first run loads kernels.
            let us = self.time(&clock, conv, request, &way, 1).and_then(|_| self.time(&clock, conv, request, &way, 1));
            match us {
                Ok(us) => timed.push((us, rank, way)),
                Err(error) if error.cause == Cause::NotSupported => {}
                Err(error) => self.pass_over(error, failed)?,
            }
        }
        timed.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
        timed.truncate(FINALISTS);
        for (us, _, way) in &mut timed {
            let repetitions = ((LONG_US / *us) as usize).clamp(*REPETITIONS.start(), *REPETITIONS.end());
            *us = self.time(&clock, conv, request, way, repetitions)?;
        }
        let best = timed.iter().map(|&(us, ..)| us).fold(f64::INFINITY, f64::min);
        let near = timed.into_iter().filter(|&(us, ..)| us <= best * NEAR);
        Ok(near.min_by_key(|&(_, rank, _)| rank).map(|(.., way)| way))
    }

    /// Microseconds of one run, transposes included: the mean of several in a row.
    fn time(
        &self,
        [start, end]: &[Event; 2],
        conv: &ConvOp,
        request: &AlgorithmRequest,
        way: &PlannedWay,
        repetitions: usize,
    ) -> Result<f64, CallError> {
        let stream = &self.handles.stream;
        start.record(stream)?;
        for _ in 0..repetitions {
            conv.run_planned(self.handles, request.phase, way, request.at, &self.space, request.accumulate)?;
        }
        end.record(stream)?;
        stream.synchronize()?;
        Ok(start.us_until(end)? / repetitions as f64)
    }
}

impl PlannedWay {
    /// With the kernel in its name, where the plan tells, and the way around the session's layout. Asked of the chosen one alone: a plan's
    /// text may hold its machine code.
    fn with_kernel_name(mut self) -> PlannedWay {
        if let Some(kernel) = self.plan.kernel_name() {
            self.name += &format!(" {kernel}");
        }
        self.name += &self.route.suffix();
        self
    }
}

impl ConvOp {
    /// Fixes the addresses of a way in its layout's tensors and in scratch.
    fn pack(&self, way: &mut PlannedWay, at: ConvAddresses, space: &Buffer) -> Result<(), CallError> {
        let ends = self.ends(way.route, way.plan.workspace_bytes as usize, at, space);
        let ConvAddresses { x, w, y } = ends.computed;
        way.pack = Some(way.plan.pack([x, w, y], space.address())?);
        Ok(())
    }

    /// Fixes the addresses of a phase's plan, if it has one, now that the session's scratch is there.
    pub fn bind(&mut self, request: &AlgorithmRequest, space: &Buffer) -> Result<(), CallError> {
        let index = super::index(request.phase);
        let Some(mut way) = self.planned[index].take() else { return Ok(()) };
        self.pack(&mut way, request.at, space)?;
        self.planned[index] = Some(way);
        Ok(())
    }
}
