//! The roof of memory-bound work: how fast this machine copies what no cache holds.

use rayon::prelude::*;
use std::time::Instant;

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
