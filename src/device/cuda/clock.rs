//! The SM clock that the GPU really runs at, from a small kernel: its cycles over its own wall time.

use super::driver::{Buffer, CallError, Grid, Stream, memory};
use super::failure::Failure;
use super::gpu::SharedGpu;

/// How long the kernel counts: its timer may advance in steps of a microsecond, and a GPU that has so little to do soon raises a
/// clock that its power limit held down.
const NANOSECONDS: u64 = 300_000;

/// Measures the clock on a stream of its own, between steps.
pub fn sm_clock_mhz(gpu: &SharedGpu) -> Result<f64, Failure> {
    let kernel = gpu.kernel_named("clock_rate")?;
    let measure = || -> Result<f64, CallError> {
        gpu.context().bind()?;
        let (stream, result) = (Stream::new()?, Buffer::new(2 * size_of::<u64>())?);
        kernel.launch(&stream, Grid::ONE, &[&result.address(), &NANOSECONDS])?;
        let bytes = memory::read(&stream, result.address(), result.bytes())?;
        let [cycles, nanoseconds] = [0, 8].map(|at| word(&bytes[at..]) as f64);
        Ok(cycles / nanoseconds * 1e3)
    };
    Ok(measure()?)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |word, &byte| word << 8 | u64::from(byte))
}
