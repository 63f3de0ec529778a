//! Sharing work among the threads of the current rayon pool, without allocating.

use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A pointer that workers share; each writes a part of its own.
#[derive(Clone, Copy)]
pub struct Shared(*mut f32);

// SAFETY: a pointer by itself does nothing; whoever dereferences it answers for the disjointness of the writes.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(slice: &mut [f32]) -> Self {
        Self(slice.as_mut_ptr())
    }

    pub fn ptr(self) -> *mut f32 {
        self.0
    }

    /// Piece `index` of the pieces of `len` numbers that the slice is made of.
    ///
    /// # Safety
    /// The slice must still be borrowed and hold the piece, and the piece be in nobody else's hands.
    pub unsafe fn part<'a>(self, index: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(index * len), len) }
    }
}

/// Runs `work(state, task)` for tasks `0..tasks`: every worker takes the next free one, in order. A worker begins with
/// `state(worker)`; each `worker` number below `workers` is in use once, so it may name scratch memory.
pub fn share<S>(workers: usize, tasks: usize, state: impl Fn(usize) -> S + Sync, work: impl Fn(&mut S, usize) + Sync) {
    let next = AtomicUsize::new(0);
    each(workers.min(tasks), |worker| {
        let mut state = state(worker);
        loop {
            let task = next.fetch_add(1, Ordering::Relaxed);
            if task >= tasks {
                break;
            }
            work(&mut state, task);
        }
    });
}

/// Runs `work(worker)` for `0..workers`, in parallel.
pub fn each(workers: usize, work: impl Fn(usize) + Sync) {
    if workers <= 1 {
        (0..workers).for_each(work);
    } else {
        spread(workers, &work);
    }
}

/// One copy of rayon's machinery for every kernel: its code would otherwise be compiled for each of them.
fn spread(workers: usize, work: &(dyn Fn(usize) + Sync)) {
    (0..workers).into_par_iter().with_max_len(1).for_each(work);
}

/// The part of `0..total` that falls to `worker` of `workers`: nearly equal parts, in order.
pub fn part(total: usize, worker: usize, workers: usize) -> std::ops::Range<usize> {
    total * worker / workers..total * (worker + 1) / workers
}

/// Scratch memory handed to a phase, cut into pieces that begin on cache lines.
pub struct Scratch<'a>(&'a mut [f32]);

/// f32 in a cache line.
const LINE: usize = 16;

impl<'a> Scratch<'a> {
    pub fn new(floats: &'a mut [f32]) -> Self {
        Self(floats)
    }

    /// The most that [`take`](Self::take) of `floats` uses up.
    pub fn need(floats: usize) -> usize {
        floats.next_multiple_of(LINE) + LINE
    }

    /// The next `floats` numbers, on a cache line.
    pub fn take(&mut self, floats: usize) -> &'a mut [f32] {
        let rest = std::mem::take(&mut self.0);
        let skip = rest.as_ptr().align_offset(LINE * size_of::<f32>());
        let (piece, rest) = rest[skip..].split_at_mut(floats);
        self.0 = rest;
        piece
    }
}
