//! The roofs: how fast this machine multiplies matrices, and how fast it copies what no cache holds.

use rayon::prelude::*;
use std::time::Instant;

use super::fc::Fc;
use super::simd::Isa;

/// Each buffer's size: beyond any last-level cache's share of a thread.
const BYTES: usize = 256 << 20;
const REPETITIONS: usize = 7;

/// Bytes read plus bytes written per second by the threads of the current pool, the best of several copies.
pub fn copy_bytes_per_s() -> f64 {
    let elements = BYTES / size_of::<u64>();
    let source = vec![1u64; elements];
    let mut target = vec![0u64; elements];
    // One long copy per thread: the standard library's memcpy then writes past the caches.
    let piece = elements.div_ceil(rayon::current_num_threads());
    let copy = |target: &mut [u64]| {
        let start = Instant::now();
        (target.par_chunks_mut(piece), source.par_chunks(piece))
            .into_par_iter()
            .for_each(|(target, source)| target.copy_from_slice(source));
        2.0 * BYTES as f64 / start.elapsed().as_secs_f64()
    };
    // The first touches the pages.
    copy(&mut target);
    (0..REPETITIONS).map(|_| copy(&mut target)).fold(0.0, f64::max)
}

/// Rows and columns of the matrices that are multiplied: large enough that packing does not show.
const SIDE: usize = 1536;

/// FLOP per second of a large matrix product on the threads of the current pool, the best of several: a fully connected
/// layer as wide as its batch, by each way that this device has to compute one.
pub fn gemm_flops_per_s() -> f64 {
    let matrix = vec![1f32; SIDE * SIDE];
    let mut product = vec![0f32; SIDE * SIDE];
    let best = |isa| {
        let fc = Fc::new(SIDE, SIDE, SIDE, rayon::current_num_threads(), isa);
        let mut workspace = vec![0f32; fc.workspace().forward];
        let mut flops_per_s = || {
            let start = Instant::now();
            fc.forward(&matrix, &matrix, None, &mut product, &mut workspace);
            2.0 * (SIDE as f64).powi(3) / start.elapsed().as_secs_f64()
        };
        (0..REPETITIONS).map(|_| flops_per_s()).fold(0.0, f64::max)
    };
    [Isa::detect(), Isa::Portable].map(best).into_iter().fold(0.0, f64::max)
}
