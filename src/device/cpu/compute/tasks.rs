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

/// Cuts `values` into pieces of `len`, the last of which may be shorter, and runs `work(index, piece)` in parallel.
pub fn pieces<T: Send>(values: &mut [T], len: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    let values = Cut::new(values, len);
    // SAFETY: each index comes once, and the slice is borrowed until all are done.
    each(values.count(), |index| work(index, unsafe { values.piece(index) }));
}

/// Cuts two slices, each into pieces of its own `len`, and runs `work(index, piece, piece)` while both have pieces.
pub fn pieces_of_two<A: Send, B: Send>(
    (first, first_len): (&mut [A], usize),
    (second, second_len): (&mut [B], usize),
    work: impl Fn(usize, &mut [A], &mut [B]) + Sync,
) {
    let (first, second) = (Cut::new(first, first_len), Cut::new(second, second_len));
    each(first.count().min(second.count()), |index| {
        // SAFETY: as above.
        let (first, second) = unsafe { (first.piece(index), second.piece(index)) };
        work(index, first, second);
    });
}

/// The piece of `values` beside piece `index` of those that [`pieces`] cuts.
pub fn piece_of<T>(values: &[T], len: usize, index: usize) -> &[T] {
    let rest = &values[index * len..];
    &rest[..len.min(rest.len())]
}

/// A slice in pieces, each for one worker.
struct Cut<T> {
    start: *mut T,
    total: usize,
    len: usize,
}

// SAFETY: workers get at the elements by `piece` alone, each at its own.
unsafe impl<T: Send> Sync for Cut<T> {}

impl<T> Cut<T> {
    fn new(values: &mut [T], len: usize) -> Self {
        Cut { start: values.as_mut_ptr(), total: values.len(), len }
    }

    fn count(&self) -> usize {
        self.total.div_ceil(self.len)
    }

    /// # Safety
    /// The slice must still be borrowed, and the piece be in nobody else's hands.
    #[expect(clippy::mut_from_ref)]
    unsafe fn piece(&self, index: usize) -> &mut [T] {
        let start = index * self.len;
        // SAFETY: inside the slice; the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), self.len.min(self.total - start)) }
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
