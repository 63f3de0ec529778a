//! The steps of a session: begin, mark, run and end, on the stream's own time.

use std::sync::atomic::Ordering;

use super::driver::Event;
use super::failure::Failure;
use super::ranges::Ranges;
use super::session::CudaSession;
use crate::device::DeviceError;
use crate::plan::Phase;
use crate::step::{Op, Runner};

/// Operations that a held stream takes, marks counted: drivers make the host wait at about a thousand, and then nobody would
/// let the stream go.
const MOST_HELD: usize = 500;

impl CudaSession {
    /// Lets the stream go when it holds as much as it can.
    fn limit(&self) -> Result<(), DeviceError> {
        if self.handles()?.stream.enqueued() >= MOST_HELD {
            self.gate.release();
        }
        Ok(())
    }

    fn gaps(&mut self) -> Result<Vec<f64>, Failure> {
        let Some(handles) = &self.handles else { return Err(CudaSession::closed().into()) };
        self.clock.end(handles)?;
        self.gate.release();
        handles.stream.synchronize()?;
        self.clock.read(handles)?;
        self.ranges.iter_mut().for_each(Ranges::end_step);
        let marks = &self.events[..self.marks];
        Ok(marks.windows(2).map(|pair| pair[0].us_until(&pair[1])).collect::<Result<Vec<_>, _>>()?)
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.gpu.context().bind()?;
        self.begun += 1;
        self.ranges.iter_mut().for_each(Ranges::begin_step);
        (self.marks, self.decided) = (0, false);
        let handles = self.handles()?;
        handles.stream.reset_count();
        // A machine that needed the watchdog once, under a profiler for one, will need it each time.
        if self.queued && self.gpu.watchdog_releases.load(Ordering::Relaxed) == 0 {
            self.gate.hold(&handles.stream)?;
        }
        let Some(handles) = &self.handles else { return Err(CudaSession::closed().into()) };
        Ok(self.clock.begin(handles)?)
    }

    fn record(&mut self) -> Result<(), Failure> {
        if self.marks == self.events.len() {
            self.events.push(Event::new()?);
        }
        self.events[self.marks].record(&self.handles()?.stream)?;
        self.marks += 1;
        Ok(self.limit()?)
    }
}

impl Runner for CudaSession {
    type Error = DeviceError;

    fn begin(&mut self) -> Result<(), DeviceError> {
        self.start().map_err(|failure| self.sized(failure))
    }

    fn mark(&mut self) -> Result<(), DeviceError> {
        self.record().map_err(|failure| self.sized(failure))
    }

    fn run(&mut self, op: Op) -> Result<(), DeviceError> {
        let done = match &self.ranges {
            Some(ranges) => ranges.around(op, || self.enqueue(op)),
            None => self.enqueue(op),
        };
        done.map_err(|failure| self.sized(failure))?;
        self.decided |= op.phase == Phase::LossScale;
        self.limit()
    }

    fn end(&mut self) -> Result<Vec<f64>, DeviceError> {
        self.gaps().map_err(|failure| self.sized(failure))
    }
}
