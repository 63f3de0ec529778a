//! The SM clock that the GPU runs at while a step does: each multiprocessor's cycles and time, stamped by a small kernel at both ends of the
//! step, in its stream. Between steps a GPU idles, and soon has another clock.

use super::driver::{Buffer, CallError, Grid, Handles, Kernel, memory};
use super::failure::Failure;
use super::gpu::SharedGpu;

/// Cycles and nanoseconds.
const STAMP_BYTES: usize = 2 * size_of::<u64>();

/// Stamps the ends of steps, outside of their marks.
pub struct StepClock {
    kernel: Kernel,
    multiprocessors: u32,
    /// Of the start, then of the end, by multiprocessor.
    stamps: Buffer,
    /// The next step is to be stamped.
    wanted: bool,
    /// This step was, at its start.
    begun: bool,
    mhz: Vec<f64>,
}

impl StepClock {
    /// One without stamps.
    pub fn new(gpu: &SharedGpu) -> Result<StepClock, Failure> {
        let multiprocessors = gpu.context().device().multiprocessors()?;
        Ok(StepClock {
            kernel: gpu.kernel_named("clock_stamp")?,
            multiprocessors: multiprocessors as u32,
            stamps: Buffer::new(2 * STAMP_BYTES * multiprocessors as usize)?,
            wanted: false,
            begun: false,
            mhz: Vec::new(),
        })
    }

    /// The next step is to be stamped.
    pub fn want(&mut self) {
        self.wanted = true;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.stamps.bytes()
    }

    /// Enqueues the stamp of a step's start, if it is wanted. A multiprocessor that gets no block leaves none.
    pub fn begin(&mut self, handles: &Handles) -> Result<(), CallError> {
        self.begun = std::mem::take(&mut self.wanted);
        if self.begun {
            memory::zero(&handles.stream, self.stamps.address(), self.stamps.bytes())?;
            self.stamp(handles, 0)?;
        }
        Ok(())
    }

    /// Enqueues the stamp of its end.
    pub fn end(&mut self, handles: &Handles) -> Result<(), CallError> {
        if self.begun { self.stamp(handles, self.stamps.bytes() / 2) } else { Ok(()) }
    }

    fn stamp(&self, handles: &Handles, at: usize) -> Result<(), CallError> {
        let grid = Grid { blocks: [self.multiprocessors, 1, 1], threads: [1, 1] };
        self.kernel.launch(&handles.stream, grid, &[&self.stamps.at(at), &self.multiprocessors])
    }

    /// Reads the stamps of a step that is over.
    pub fn read(&mut self, handles: &Handles) -> Result<(), CallError> {
        if std::mem::take(&mut self.begun) {
            let bytes = memory::read(&handles.stream, self.stamps.address(), self.stamps.bytes())?;
            let words: Vec<u64> = bytes.chunks_exact(size_of::<u64>()).map(word).collect();
            let (start, end) = words.split_at(words.len() / 2);
            self.mhz.extend(mean_mhz(start, end));
        }
        Ok(())
    }

    /// The mean clock of the stamped steps since the last question.
    pub fn take_mhz(&mut self) -> Option<f64> {
        let mhz = std::mem::take(&mut self.mhz);
        (!mhz.is_empty()).then(|| mhz.iter().sum::<f64>() / mhz.len() as f64)
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}

/// The mean clock over the multiprocessors that have both stamps, each \[cycles, ns\].
fn mean_mhz(start: &[u64], end: &[u64]) -> Option<f64> {
    let pairs = start.chunks_exact(2).zip(end.chunks_exact(2));
    let rates: Vec<f64> = pairs
        .filter(|(from, to)| from[1] > 0 && to[1] > from[1] && to[0] > from[0])
        .map(|(from, to)| (to[0] - from[0]) as f64 / (to[1] - from[1]) as f64 * 1e3)
        .collect();
    (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1400 and 1500 cycles in a microsecond; the third multiprocessor has no stamp at its start, the fourth none at its end.
    #[test]
    fn multiprocessors_with_both_stamps_count() {
        let start = [100, 1000, 200, 1000, 0, 0, 300, 1000];
        let end = [1500, 2000, 1700, 2000, 5000, 2000, 0, 0];
        assert_eq!(mean_mhz(&start, &end), Some(1450.0));
        assert_eq!(mean_mhz(&[0, 0], &[10, 10]), None);
        assert_eq!(word(&[0x34, 0x12, 0, 0, 0, 0, 0, 0]), 0x1234);
    }
}
