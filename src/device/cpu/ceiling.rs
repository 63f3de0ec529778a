//! The roofs: how fast this machine multiplies matrices, and how fast it copies what no cache holds.

use std::path::Path;
use std::time::{Duration, Instant};

use super::cache::{PROCESSORS, last_level_bytes};
use super::compute::buffer::ResidentBuffer;
use super::compute::simd::{Isa, end_stream};
use super::compute::tasks::{piece_of, pieces};
use super::operations::fc::FcOp;
use super::operations::{Forward, Operation};
use crate::device::DeviceError;
use crate::plan::{FcGeometry, Phase};

/// Each buffer's size: so many times the last-level caches' (STREAM's rule), where the system tells that, up to a most. Less where
/// memory is short, but no less than the least.
const CACHES: usize = 4;
const MOST_BYTES: usize = 256 << 20;
const LEAST_BYTES: usize = 32 << 20;
/// The fewest products, if there is time. Copies are quick, and on a shared machine the bandwidth comes and goes.
const PRODUCTS: usize = 7;
const COPIES: usize = 25;
/// On a busy machine most repetitions share the processors: the best counts once this many came near it, or time is up.
const NEAR: usize = 3;
const NEARNESS: f64 = 0.95;
pub const LONGEST: Duration = Duration::from_secs(3);
/// Numbers in a cache line.
const LINE: usize = 16;

/// Bytes read plus bytes written per second by the threads of the current pool, the best of several copies. In memory as
/// sessions have it, with huge pages where the system gives them. Repeats for up to `longest`.
/// The second number is the bytes that were written.
pub fn copy_bytes_per_s(longest: Duration) -> Result<(f64, usize), DeviceError> {
    let beyond_caches = last_level_bytes(Path::new(PROCESSORS)).map_or(MOST_BYTES, |caches| CACHES * caches);
    let mut bytes = beyond_caches.clamp(LEAST_BYTES, MOST_BYTES);
    loop {
        match copying(bytes, longest) {
            Err(DeviceError::OutOfMemory { .. }) if bytes > LEAST_BYTES => bytes /= 2,
            other => return other.map(|rate| (rate, bytes)),
        }
    }
}

fn copying(bytes: usize, longest: Duration) -> Result<f64, DeviceError> {
    let elements = bytes / size_of::<f32>();
    let mut source = ResidentBuffer::zeroed(elements)?;
    source.fill(1.0);
    let mut target = ResidentBuffer::zeroed(elements)?;
    let piece = elements.div_ceil(rayon::current_num_threads()).next_multiple_of(LINE);
    let mut copy = || {
        let start = Instant::now();
        pieces(&mut target, piece, |index, target| copy_past_caches(piece_of(&source, piece, index), target));
        2.0 * bytes as f64 / start.elapsed().as_secs_f64()
    };
    Ok(best(COPIES, longest, &mut copy))
}

/// The best of the rates of `longest`, or fewer: of at least `least`, once some of them agree on the best.
fn best(least: usize, longest: Duration, rate: &mut dyn FnMut() -> f64) -> f64 {
    let began = Instant::now();
    let mut rates: Vec<f64> = Vec::new();
    loop {
        rates.push(rate());
        let best = rates.iter().copied().fold(0.0, f64::max);
        let near = rates.iter().filter(|&&rate| rate >= NEARNESS * best).count();
        if began.elapsed() >= longest || (rates.len() >= least && near >= NEAR) {
            return best;
        }
    }
}

/// Copies whole cache lines without reading those that it writes, which the system's memcpy does for far longer ones only.
/// Both slices begin at a line.
#[cfg(target_arch = "x86_64")]
fn copy_past_caches(from: &[f32], to: &mut [f32]) {
    use std::arch::x86_64::{_mm_load_ps, _mm_stream_ps};
    assert!(from.len() == to.len() && from.len().is_multiple_of(LINE));
    assert!(from.as_ptr().align_offset(16) == 0 && to.as_ptr().align_offset(16) == 0);
    for at in (0..from.len()).step_by(4) {
        // SAFETY: four aligned numbers inside both slices; every x86-64 CPU has SSE.
        unsafe { _mm_stream_ps(to.as_mut_ptr().add(at), _mm_load_ps(from.as_ptr().add(at))) }
    }
    end_stream();
}

#[cfg(not(target_arch = "x86_64"))]
fn copy_past_caches(from: &[f32], to: &mut [f32]) {
    to.copy_from_slice(from);
}

/// Rows and columns of the matrices that are multiplied: large enough that packing does not show.
const SIDE: usize = 1536;

/// FLOP per second of a large matrix product on the threads of the current pool, the best of several: a fully connected
/// layer as wide as its batch, by each way that this device has to compute one. Repeats each for up to half of `longest`.
pub fn gemm_flops_per_s(longest: Duration) -> f64 {
    let matrix = vec![1f32; SIDE * SIDE];
    let mut product = vec![0f32; SIDE * SIDE];
    let of = |isa| {
        let geometry = FcGeometry { n: SIDE, inputs: SIDE, outputs: SIDE };
        let mut fc = FcOp::new(geometry, rayon::current_num_threads(), isa);
        let mut workspace = vec![0f32; fc.workspace_floats(Phase::Forward)];
        let mut flops_per_s = || {
            let start = Instant::now();
            fc.forward(Forward {
                inputs: &[&matrix],
                weights: &matrix,
                output: &mut product,
                workspace: &mut workspace,
                ..Forward::default()
            });
            2.0 * (SIDE as f64).powi(3) / start.elapsed().as_secs_f64()
        };
        best(PRODUCTS, longest / 2, &mut flops_per_s)
    };
    [Isa::detect(), Isa::Portable].map(of).into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that is busy for the first ten repetitions: one lucky rate does not end the search, three of them do.
    #[test]
    fn repeats_until_the_best_is_no_stroke_of_luck() {
        let rates = [1.0, 1.1, 0.9, 6.0, 1.0, 1.2, 0.8, 1.0, 1.1, 1.0, 9.8, 10.0, 9.9, 20.0];
        let mut taken = rates.into_iter();
        let mut rate = || taken.next().unwrap();
        assert_eq!(best(7, Duration::MAX, &mut rate), 10.0);
        assert_eq!(best(7, Duration::ZERO, &mut rate), 20.0, "time is up");
    }

    #[test]
    fn copies_are_equal() {
        let mut source = ResidentBuffer::zeroed(5 * LINE).unwrap();
        source.iter_mut().enumerate().for_each(|(index, number)| *number = index as f32);
        let mut target = ResidentBuffer::zeroed(5 * LINE).unwrap();
        copy_past_caches(&source[LINE..], &mut target[LINE..]);
        assert!(target[..LINE].iter().all(|&number| number == 0.0) && target[LINE..] == source[LINE..]);
    }
}
