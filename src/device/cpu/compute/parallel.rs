//! How slices are cut for the threads of the current pool: into a few near-equal pieces per thread, at cache lines. What is
//! too small to be worth waking a thread stays in one piece.
//!
//! Sizes of pieces depend on the number of threads. Sums that pieces share would then too, so what sums over rows cuts them into
//! segments, which depend on the shape alone.

/// More pieces than threads, so that a thread that is held up leaves its last pieces to the others.
const PIECES_PER_THREAD: usize = 4;
/// Elements that one thread handles in about the time that waking another takes.
const LEAST: usize = 8192;
/// Pieces are multiples of this many elements: whole cache lines, for the byte-sized masks too.
const LINE: usize = 64;

fn pieces() -> usize {
    match rayon::current_num_threads() {
        1 => 1,
        threads => threads * PIECES_PER_THREAD,
    }
}

/// Elements per piece.
pub fn piece(elements: usize) -> usize {
    elements.div_ceil(pieces()).max(LEAST).next_multiple_of(LINE)
}

/// Rows per piece, for work on whole rows of `row` elements each.
pub fn rows(rows: usize, row: usize) -> usize {
    rows.div_ceil(pieces()).max(LEAST.div_ceil(row.max(1)))
}

/// Rows per piece when every piece needs one of `scratches` work areas.
pub fn rows_with_scratch(count: usize, row: usize, scratches: usize) -> usize {
    rows(count, row).max(count.div_ceil(scratches))
}

/// Work areas that are enough for all pieces of a pool of so many threads.
pub fn scratches(threads: usize) -> usize {
    threads * PIECES_PER_THREAD
}

/// The most segments of a sum.
const SEGMENTS: usize = 64;
/// Elements of a segment at least: its sums are added to the others' in a small part of the time.
const SEGMENT: usize = 65536;

/// Rows of `row` elements in each segment of a sum over `count` rows, whatever the number of threads.
pub fn segment_rows(count: usize, row: usize) -> usize {
    count.div_ceil((count * row / SEGMENT).clamp(1, SEGMENTS)).max(1)
}
