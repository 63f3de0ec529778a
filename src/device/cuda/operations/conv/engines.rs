//! Choosing engines of cuDNN's graph API for a convolution: all that are permitted are timed on filled buffers, and the best few again, so
//! that engines which are nearly as fast as each other do not take turns.

use super::algorithms::{AlgorithmChooser, AlgorithmRequest};
use super::{ConvAddresses, ConvOp, PlannedWay};
use crate::device::cuda::driver::dnn::{ConvGraph, EngineConfig, Target};
use crate::device::cuda::driver::{Buffer, CallError, Cause, Event};
use crate::device::cuda::engines::{ConvQuery, EngineRules, candidates, problem};
use crate::device::cuda::failure::Failure;
use crate::device::options::{Layout, Search};

/// How many of the best are timed again, and how often.
const FINALISTS: usize = 3;
const REPETITIONS: usize = 10;

impl AlgorithmChooser<'_> {
    /// The engines for a phase in the session's layout, or around it.
    fn configs(&self, conv: &ConvOp, request: &AlgorithmRequest, planar: bool) -> Result<Vec<EngineConfig>, CallError> {
        let arithmetic = self.arithmetic;
        let layout = if planar { Layout::Nchw } else { arithmetic.layout };
        let query =
            ConvQuery { geometry: *conv.geometry(), phase: request.phase, precision: arithmetic.precision, layout };
        let rules = EngineRules {
            precision: arithmetic.precision,
            deterministic: arithmetic.deterministic,
            workspace_limit: arithmetic.workspace_limit,
        };
        let graph = ConvGraph::new(&problem(&query, request.accumulate), &Target::of(&self.handles.dnn))?;
        candidates(&graph, &rules).map(|(_, configs)| configs)
    }

    /// The layouts to look at: the session's, and around it.
    fn layouts(conv: &ConvOp) -> impl Iterator<Item = bool> {
        [false, true].into_iter().take(if conv.planar().is_some() { 2 } else { 1 })
    }

    /// Scratch that the engines for a phase would take.
    pub(super) fn engine_sizes(&self, conv: &ConvOp, request: &AlgorithmRequest) -> Result<Vec<usize>, CallError> {
        let mut sizes = Vec::new();
        for planar in Self::layouts(conv) {
            let configs = self.configs(conv, request, planar)?;
            sizes.extend(configs.iter().map(|config| conv.scratch_for(config.workspace_bytes as usize, planar)));
        }
        Ok(sizes)
    }

    /// Chooses an engine for one phase; `None` where none fits.
    pub(super) fn choose_engine(
        &self,
        conv: &ConvOp,
        request: &AlgorithmRequest,
    ) -> Result<Option<PlannedWay>, Failure> {
        let within = |error: CallError| Failure::within(error, request.layer, request.phase);
        let mut ways = Vec::new();
        for planar in Self::layouts(conv) {
            for config in self.configs(conv, request, planar).map_err(within)? {
                if let Some(way) = self.planned(conv, request, &config, planar).map_err(within)? {
                    ways.push(way);
                }
                // A heuristic's first is its best.
                if self.arithmetic.algorithms == Search::Heuristic && !ways.is_empty() {
                    return Ok(ways.pop());
                }
            }
        }
        self.fastest(conv, request, ways).map_err(within)
    }

    /// Makes a plan, with addresses in the chooser's scratch; `None` for one that cannot be made or does not fit.
    fn planned(
        &self,
        conv: &ConvOp,
        request: &AlgorithmRequest,
        config: &EngineConfig,
        planar: bool,
    ) -> Result<Option<PlannedWay>, CallError> {
        let fits = |bytes: u64| {
            let scratch = conv.scratch_for(bytes as usize, planar) as u64;
            let room = match self.arithmetic.algorithms {
                Search::Exhaustive => self.space.bytes() as u64,
                Search::Heuristic => self.room,
            };
            scratch <= room
        };
        if !fits(config.workspace_bytes) {
            return Ok(None);
        }
        let plan = match config.plan() {
            Ok(plan) if fits(plan.workspace_bytes) => plan,
            Ok(_) => return Ok(None),
            Err(error) if error.cause == Cause::NotSupported => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut name = config.name();
        if let Some(kernel) = plan.kernel_name() {
            name += &format!(" {kernel}");
        }
        if planar {
            name += " by way of NCHW";
        }
        let mut way = PlannedWay { plan, pack: None, name, planar };
        if self.arithmetic.algorithms == Search::Exhaustive {
            conv.pack(&mut way, request.at, &self.space)?;
        }
        Ok(Some(way))
    }

    fn fastest(
        &self,
        conv: &ConvOp,
        request: &AlgorithmRequest,
        ways: Vec<PlannedWay>,
    ) -> Result<Option<PlannedWay>, CallError> {
        let clock = [Event::new()?, Event::new()?];
        let mut timed: Vec<(f64, PlannedWay)> = Vec::new();
        for way in ways {
            // The first run loads kernels.
            let us = self.time(&clock, conv, request, &way, 1).and_then(|_| self.time(&clock, conv, request, &way, 1));
            match us {
                Ok(us) => timed.push((us, way)),
                Err(error) if error.cause == Cause::NotSupported => {}
                Err(error) => return Err(error),
            }
        }
        timed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        timed.truncate(FINALISTS);
        for (us, way) in &mut timed {
            *us = self.time(&clock, conv, request, way, REPETITIONS)?;
        }
        let best = timed.into_iter().min_by(|(a, _), (b, _)| a.total_cmp(b));
        Ok(best.map(|(_, way)| way))
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

impl ConvOp {
    /// Fixes the addresses of a way in its layout's tensors and in scratch.
    fn pack(&self, way: &mut PlannedWay, at: ConvAddresses, space: &Buffer) -> Result<(), CallError> {
        let ConvAddresses { x, w, y } = self.computed_at(way.planar, way.plan.workspace_bytes as usize, at, space);
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
