//! What work is given to: the stream, with the library handles whose work goes through it.

use super::blas::Blas;
use super::call::{Fault, call};
use super::dnn::Dnn;
use super::stream::Stream;

/// Used by one session at a time. The handles go before their stream.
pub struct Queue {
    pub dnn: Dnn,
    pub blas: Blas,
    pub stream: Stream,
}

impl Queue {
    pub fn new() -> Result<Queue, Fault> {
        let stream = Stream::new()?;
        Ok(Queue { dnn: Dnn::new(&stream)?, blas: Blas::new(&stream)?, stream })
    }

    /// Enqueues a copy within the device's memory.
    pub fn copy(&self, from: u64, to: u64, bytes: usize) -> Result<(), Fault> {
        self.stream.count(1);
        // SAFETY: names memory of the device, none of the host's.
        unsafe { call!(driver::cuMemcpyDtoDAsync_v2(to, from, bytes, self.stream.handle())) }
    }
}
