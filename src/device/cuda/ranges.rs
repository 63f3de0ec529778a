//! NVTX ranges around a step and each of its phases, nested as `batch N`, layer, phase.

use std::ffi::CString;

use super::driver::Nvtx;
use crate::plan::{Phase, Plan};
use crate::step::Op;

/// Which steps have ranges. Beginning one takes the host's time, and steps that are launched live wait for the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those of the warm-up, which nobody's figures are made of.
    WarmUp,
    /// All of them, as `--nvtx` asks.
    EveryStep,
}

/// The library, and the steps that are to have ranges.
#[derive(Clone, Copy)]
pub struct RangeMarking {
    pub nvtx: Nvtx,
    pub extent: Extent,
}

impl RangeMarking {
    /// What to mark where the user asked, or a profiler waits for it; or why it cannot be done, where the user asked.
    pub fn open(asked: bool) -> Result<Option<RangeMarking>, String> {
        let extent = match asked {
            true => Extent::EveryStep,
            false if Nvtx::is_awaited() => Extent::WarmUp,
            false => return Ok(None),
        };
        match Nvtx::open() {
            Ok(nvtx) => Ok(Some(RangeMarking { nvtx, extent })),
            Err(missing) if asked => Err(format!("--nvtx without effect: {missing}")),
            Err(_) => Ok(None),
        }
    }
}

/// The ranges of one session. Names are made before its first step.
pub struct Ranges {
    marking: RangeMarking,
    batch: CString,
    layers: Vec<CString>,
    phases: [CString; Phase::ALL.len()],
    in_step: bool,
}

impl Ranges {
    /// The ranges of a plan's steps.
    pub fn new(marking: RangeMarking, plan: &Plan) -> Ranges {
        Ranges {
            marking,
            batch: name(&format!("batch {}", plan.batch)),
            layers: plan.layers.iter().map(|layer| name(&layer.name)).collect(),
            phases: Phase::ALL.map(|phase| name(phase.name())),
            in_step: false,
        }
    }

    /// Tells if measured steps are to have ranges too.
    pub fn are_in_measured_steps(&self) -> bool {
        self.marking.extent == Extent::EveryStep
    }

    /// Begins the range of a step; that of a step which failed ends.
    pub fn begin_step(&mut self) {
        self.end_step();
        self.marking.nvtx.push(&self.batch);
        self.in_step = true;
    }

    /// Ends the range of the step.
    pub fn end_step(&mut self) {
        if std::mem::take(&mut self.in_step) {
            self.marking.nvtx.pop();
        }
    }

    /// Does a phase inside its range.
    pub fn around<T>(&self, op: Op, phase: impl FnOnce() -> T) -> T {
        let Op { layer, phase: of } = op;
        let place = Phase::ALL.iter().position(|known| *known == of);
        let names = [self.layers.get(layer), place.map(|place| &self.phases[place])];
        names.into_iter().flatten().for_each(|name| self.marking.nvtx.push(name));
        let done = phase();
        names.into_iter().flatten().for_each(|_| self.marking.nvtx.pop());
        done
    }
}

impl Drop for Ranges {
    fn drop(&mut self) {
        self.end_step();
    }
}

/// C's strings end at their first NUL.
fn name(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}
