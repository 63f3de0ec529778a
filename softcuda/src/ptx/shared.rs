//! A block's shared memory, byte by byte: contents, whether written yet, and who touched it since the last barrier.

use crate::finding::{Finding, FindingKind};

/// The last accesses to one byte. Threads are counted from 1; `MANY` readers cannot all be the writer.
#[derive(Clone, Copy, Default)]
struct Trace {
    written: bool,
    writer: u16,
    reader: u16,
    write_epoch: u32,
    read_epoch: u32,
}
const MANY: u16 = u16::MAX;

fn race(at: u64, what: std::fmt::Arguments) -> Finding {
    Finding::new(FindingKind::SharedMemoryRace, format!("shared-memory race: byte {at} {what}"))
}

/// Epochs count barriers. Two accesses to a byte in one epoch by different threads, one of them a write, are a race.
pub struct Shared {
    bytes: Vec<u8>,
    traces: Vec<Trace>,
    epoch: u32,
}

impl Shared {
    pub fn new(size: usize) -> Self {
        Shared { bytes: vec![0; size], traces: vec![Trace::default(); size], epoch: 0 }
    }
    /// A new block begins.
    pub fn reset(&mut self) {
        self.bytes.fill(0xff);
        self.traces.fill(Trace::default());
        self.epoch = 1;
    }
    pub fn barrier(&mut self) {
        self.epoch += 1;
    }

    fn range(&self, at: u64, size: u64) -> Result<std::ops::Range<usize>, Finding> {
        match at.checked_add(size) {
            Some(end) if end <= self.bytes.len() as u64 => Ok(at as usize..end as usize),
            _ => {
                let text = format!("shared memory out of bounds: byte {at} of {}", self.bytes.len());
                Err(Finding::new(FindingKind::OutOfBounds, text))
            }
        }
    }

    /// Reads `size` ≤ 8 bytes at `at` for `thread`.
    pub fn load(&mut self, at: u64, size: u64, thread: u32) -> Result<u64, Finding> {
        let me = thread as u16 + 1;
        let range = self.range(at, size)?;
        for trace in &mut self.traces[range.clone()] {
            if !trace.written {
                let text = format!("shared memory read before anything was written to it: byte {at}");
                return Err(Finding::new(FindingKind::UninitialisedRead, text));
            }
            if trace.write_epoch == self.epoch && trace.writer != me {
                return Err(race(
                    at,
                    format_args!("was written by thread {} without a barrier since", trace.writer - 1),
                ));
            }
            let alone = trace.read_epoch != self.epoch || trace.reader == me;
            trace.reader = if alone { me } else { MANY };
            trace.read_epoch = self.epoch;
        }
        let mut value = [0; 8];
        value[..size as usize].copy_from_slice(&self.bytes[range]);
        Ok(u64::from_le_bytes(value))
    }

    pub fn store(&mut self, at: u64, size: u64, value: u64, thread: u32) -> Result<(), Finding> {
        let me = thread as u16 + 1;
        let range = self.range(at, size)?;
        for trace in &mut self.traces[range.clone()] {
            if trace.write_epoch == self.epoch && trace.writer != me {
                return Err(race(at, format_args!("was also written by thread {}", trace.writer - 1)));
            }
            if trace.read_epoch == self.epoch && trace.reader != me {
                return Err(race(at, format_args!("was read by another thread without a barrier since")));
            }
            *trace = Trace { written: true, writer: me, write_epoch: self.epoch, ..*trace };
        }
        self.bytes[range].copy_from_slice(&value.to_le_bytes()[..size as usize]);
        Ok(())
    }
}
