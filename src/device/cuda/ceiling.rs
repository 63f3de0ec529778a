//! The roofs: how fast this GPU multiplies matrices in the run's precision, and how fast it copies what no cache holds.

use std::time::Duration;

use super::driver::{Buffer, CallError, Cause, Element, Event, Gemm, Handles, Matrix, memory};
use super::failure::Failure;
use super::gpu::SharedGpu;
use crate::device::Ceilings;
use crate::philox::{Philox, RandomStream};

/// Repetitions, fewer where the time that there is holds no more, but at least one.
const REPETITIONS: usize = 16;
/// Repetitions before them, which keep the stream busy while the host enqueues.
const LEAD: usize = 3;

/// How long clocks take to rise, and the most products in one go towards that.
const WARM_UP_US: f64 = 100_000.0;
const MOST: usize = 64;

/// Waves of tiles that a product keeps every multiprocessor busy with, and a tile's side.
const WAVES: f64 = 32.0;
const TILE: f64 = 128.0;

/// The side of the matrices: a multiple of 512 that fills the multiprocessors many times over.
fn side(multiprocessors: i32) -> usize {
    let side = TILE * (WAVES * f64::from(multiprocessors.max(1))).sqrt();
    ((side / 512.0) as usize).max(1) * 512
}

/// Measures both roofs, each in about `longest` where that is short, and with less memory where memory is short.
pub fn measure(gpu: &SharedGpu, longest: Duration) -> Result<Ceilings, Failure> {
    gpu.context().bind()?;
    let handles = gpu.take_handles()?;
    let measured = (|| {
        let device = gpu.context().device();
        let bytes = 4 * device.l2_cache_bytes()?.max(8 << 20) as usize;
        Ok(Ceilings {
            gemm_flops_per_s: halving(side(device.multiprocessors()?), |side| {
                gemm_flops_per_s(gpu, &handles, side, longest)
            })?,
            copy_bytes_per_s: halving(bytes, |bytes| copy_bytes_per_s(&handles, bytes, longest))?,
            copied_bytes: Some(bytes as u64),
        })
    })();
    gpu.give_back(handles);
    measured.map_err(|error: CallError| error.into())
}

/// Half the size as often as memory asks for it.
fn halving(mut size: usize, measure: impl Fn(usize) -> Result<f64, CallError>) -> Result<f64, CallError> {
    const LEAST: usize = 256;
    loop {
        match measure(size) {
            Err(error) if error.cause == Cause::OutOfMemory && size > LEAST => size /= 2,
            other => return other,
        }
    }
}

fn gemm_flops_per_s(gpu: &SharedGpu, handles: &Handles, side: usize, longest: Duration) -> Result<f64, CallError> {
    let (precision, element) = (gpu.arithmetic.precision.convolutions(), gpu.arithmetic.element());
    let bytes = side * side * element.bytes();
    let [a, b, c] = [Buffer::new(bytes)?, Buffer::new(bytes)?, Buffer::new(bytes)?];
    fill(handles, element, &[&a, &b], side * side)?;
    let matrix = |buffer: &Buffer| Matrix { address: buffer.address(), leading: side, transposed: false };
    let product = Gemm { m: side, n: side, k: side, a: matrix(&a), b: matrix(&b), c: matrix(&c), accumulate: false };
    let multiply = || handles.blas.multiply(&handles.stream, precision, &product);
    let us = us_each_within(handles, longest, warm_up(handles, longest, multiply)?, multiply)?;
    Ok(2.0 * (side as f64).powi(3) / us * 1e6)
}

fn copy_bytes_per_s(handles: &Handles, bytes: usize, longest: Duration) -> Result<f64, CallError> {
    let [from, to] = [Buffer::new(bytes)?, Buffer::new(bytes)?];
    memory::zero(&handles.stream, from.address(), bytes)?;
    let copy = || memory::copy(&handles.stream, from.address(), to.address(), bytes);
    let us = us_each_within(handles, longest, us_each(handles, 0, 1, copy)?, copy)?;
    Ok(2.0 * bytes as f64 / us * 1e6)
}

/// Random numbers: hardware runs faster on zeros.
fn fill(handles: &Handles, element: Element, buffers: &[&Buffer], elements: usize) -> Result<(), CallError> {
    let philox = Philox::new(1);
    let values: Vec<f32> = (0..elements).map(|index| philox.uniform(RandomStream::Images, index) - 0.5).collect();
    let bytes = element.encode(&values);
    buffers.iter().try_for_each(|buffer| memory::write(&handles.stream, buffer.address(), &bytes))
}

/// Works until the clocks have risen from where an idle GPU has them; how long it took each time at the end.
fn warm_up(handles: &Handles, longest: Duration, work: impl Fn() -> Result<(), CallError>) -> Result<f64, CallError> {
    let (mut each, mut us, mut repetitions) = (0.0, 0.0, 1);
    while us < WARM_UP_US.min(in_us(longest)) && repetitions <= MOST {
        each = us_each(handles, 0, repetitions, &work)?;
        us += each * repetitions as f64;
        repetitions *= 2;
    }
    Ok(each)
}

/// The mean of as many as there is time for, by how long one of them took before.
fn us_each_within(
    handles: &Handles,
    longest: Duration,
    before_us: f64,
    work: impl Fn() -> Result<(), CallError>,
) -> Result<f64, CallError> {
    let repetitions = ((in_us(longest) / before_us) as usize).clamp(1, REPETITIONS);
    us_each(handles, LEAD.min(repetitions - 1), repetitions, work)
}

fn in_us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The mean of several in a row. Behind some that lead, the host's launching is no part of it.
fn us_each(
    handles: &Handles,
    lead: usize,
    repetitions: usize,
    work: impl Fn() -> Result<(), CallError>,
) -> Result<f64, CallError> {
    let [start, end] = [Event::new()?, Event::new()?];
    (0..lead).try_for_each(|_| work())?;
    start.record(&handles.stream)?;
    (0..repetitions).try_for_each(|_| work())?;
    end.record(&handles.stream)?;
    handles.stream.synchronize()?;
    Ok(start.us_until(&end)? / repetitions as f64)
}

#[cfg(test)]
mod tests {
    use super::side;

    /// 128 · √(32 · 132) = 8319 on an H100, 128 · √(32 · 4) = 1448 on four multiprocessors.
    #[test]
    fn matrices_fill_the_device() {
        assert_eq!([side(132), side(4), side(0)], [8192, 1024, 512]);
    }
}
