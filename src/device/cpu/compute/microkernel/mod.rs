//! The inner loops of convolution and fully connected layers: one tile of results held in registers.
//!
//! Both tiles have up to [`MAX_ROWS`](MicroKernels::max_rows) rows of one or two vectors and add up products of a broadcast
//! number and a vector of a *panel*: an array `[step][width]`, width one or two vectors, packed by the caller. They
//! differ in where the broadcast numbers lie:
//!
//! - [`RowTile`]: each row walks along memory of its own: `acc[m] += rows[m][step] · panel[step]`.
//! - [`ColumnTile`]: each step is a short column: `acc[m] += columns[step][m] · panel[step]`.
//!
//! For few images, [`DotTile`] and [`AxpyTile`] read each weight of a fully connected layer once, as it lies in memory.
//!
//! Twenty-eight accumulators, two panel vectors and a broadcast fill the 32 registers of AVX-512; twelve fill the 16 of
//! AVX2.

#![expect(clippy::needless_range_loop, reason = "loops over constants, which the compiler unrolls into registers")]

mod small_batch;
mod transpose;

#[cfg(target_arch = "x86_64")]
use super::simd::x86::{Avx2, Avx512};
use super::simd::{Isa, Vector};
pub use small_batch::{AXPY_ROWS, AxpyTile, DotTile};
use small_batch::{axpy_tile, dot_tile};
use transpose::{Squares, transpose_squares};

/// A tile whose rows walk along memory: pixels of an image against packed weights.
pub struct RowTile<'a> {
    pub input: *const f32,
    /// Offset of each row's beginning from `input`: one number per row of the tile.
    pub rows: &'a [usize],
    /// Contiguous runs of a row.
    pub runs: &'a [Term],
    pub run_len: usize,
    /// `[step][width]`, aligned to vectors.
    pub panel: *const f32,
    /// First values of the accumulators: a vector of the panel's width, or null for zeros.
    pub bias: *const f32,
    pub output: *mut f32,
    /// Offset of each row of results from `output`.
    pub output_rows: &'a [usize],
    /// Columns of results to write; the panel may be wider.
    pub columns: usize,
    /// Add to the output (then `bias` is not read).
    pub accumulate: bool,
}

/// A term of a tile's sums: numbers of the input, times a step of the panel.
#[derive(Clone, Copy, Debug)]
pub struct Term {
    /// Of a run from its row's beginning, of a column from the tile's input.
    pub offset: usize,
    /// The panel's step, of a run its first.
    pub step: usize,
}

/// A tile whose rows lie side by side in each step: a gradient of weights, summed over pixels.
pub struct ColumnTile<'a> {
    pub input: *const f32,
    pub steps: &'a [Term],
    pub rows: usize,
    /// `[step][width]`, aligned to vectors.
    pub panel: *const f32,
    pub output: *mut f32,
    /// From one row of results to the next.
    pub output_pitch: usize,
    /// Columns of results to write; the panel may be wider.
    pub columns: usize,
    pub write: Write,
}

/// The use of a [`ColumnTile`]'s results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Write {
    Store,
    Add,
    /// Store past the caches; whole, aligned vectors only.
    Stream,
}

type RowKernel = unsafe fn(&RowTile);
type ColumnKernel = unsafe fn(&ColumnTile);
type DotKernel = unsafe fn(&DotTile);
type AxpyKernel = unsafe fn(&AxpyTile);
type TransposeKernel = unsafe fn(&Squares);

/// The kernels of one instruction set.
pub struct MicroKernels {
    /// Lanes of a vector.
    pub lanes: usize,
    /// By vectors of width − 1, then rows − 1.
    rows: [&'static [RowKernel]; 2],
    columns: [&'static [ColumnKernel]; 2],
    /// The most images whose products with weights go by [`DotTile`]s.
    pub small_batch: usize,
    /// By images − 1: the weight rows that it takes at once, and the kernel.
    dots: &'static [(usize, DotKernel)],
    /// By images − 1.
    axpys: &'static [AxpyKernel],
    transpose: TransposeKernel,
}

impl Term {
    /// The only run of a row that is contiguous.
    pub const WHOLE: [Term; 1] = [Term { offset: 0, step: 0 }];

    /// Columns that lie `pitch` numbers apart, each times a step of its own.
    pub fn columns(count: usize, pitch: usize) -> Vec<Term> {
        (0..count).map(|step| Term { offset: step * pitch, step }).collect()
    }
}

impl MicroKernels {
    /// The kernels of an instruction set that the CPU supports; none for the portable one.
    pub fn of(isa: Isa) -> Option<&'static MicroKernels> {
        assert!(isa.is_supported(), "this CPU has no {isa:?}");
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Some(&AVX512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Some(&AVX2),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => None,
            Isa::Portable => None,
        }
    }

    /// The most rows of a tile.
    pub fn max_rows(&self) -> usize {
        self.rows[0].len()
    }

    /// The widest panel: two vectors.
    pub fn max_width(&self) -> usize {
        2 * self.lanes
    }

    /// The width of a panel that holds `columns` columns, at most [`max_width`](Self::max_width).
    pub fn width(&self, columns: usize) -> usize {
        if columns > self.lanes { 2 * self.lanes } else { self.lanes }
    }

    /// # Safety
    /// All that the tile's fields describe must be valid for reads, its results for writes; `panel` is as wide as
    /// [`width`](Self::width)`(columns)` says; rows number 1 to `max_rows`.
    #[inline]
    pub unsafe fn row_tile(&self, tile: &RowTile) {
        let vectors = self.width(tile.columns) / self.lanes;
        // SAFETY: this table exists only for a supported instruction set; the rest is the caller's promise.
        unsafe { self.rows[vectors - 1][tile.rows.len() - 1](tile) }
    }

    /// # Safety
    /// As for [`row_tile`](Self::row_tile).
    #[inline]
    pub unsafe fn column_tile(&self, tile: &ColumnTile) {
        let vectors = self.width(tile.columns) / self.lanes;
        // SAFETY: this table exists only for a supported instruction set; the rest is the caller's promise.
        unsafe { self.columns[vectors - 1][tile.rows - 1](tile) }
    }
}

impl MicroKernels {
    /// The most images of a [`DotTile`] or [`AxpyTile`].
    pub fn max_images(&self) -> usize {
        self.dots.len()
    }

    /// The most weight rows of a [`DotTile`] for so many images.
    pub fn dot_rows(&self, images: usize) -> usize {
        self.dots[images - 1].0
    }

    /// # Safety
    /// All that the tile's fields describe must be valid for reads, its results for writes; images number 1 to
    /// `max_images`, rows 1 to `dot_rows`.
    #[inline]
    pub unsafe fn dot_tile(&self, tile: &DotTile) {
        // SAFETY: this table exists only for a supported instruction set; the rest is the caller's promise.
        unsafe { self.dots[tile.images - 1].1(tile) }
    }

    /// # Safety
    /// As for [`dot_tile`](Self::dot_tile), rows 1 to [`AXPY_ROWS`].
    #[inline]
    pub unsafe fn axpy_tile(&self, tile: &AxpyTile) {
        // SAFETY: this table exists only for a supported instruction set; the rest is the caller's promise.
        unsafe { self.axpys[tile.images - 1](tile) }
    }
}

/// Splits `total` rows into the fewest tiles of at most `max`, of nearly equal size: `(first row, rows)` of each.
pub fn tiles(total: usize, max: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = total.div_ceil(max);
    (0..count).map(move |i| {
        let first = total * i / count;
        (first, total * (i + 1) / count - first)
    })
}

#[inline(always)]
unsafe fn row_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &RowTile) {
    // SAFETY: every address is one that the caller of `MicroKernels::row_tile` vouched for.
    unsafe {
        let mut rows = [tile.input; ROWS];
        let mut acc = [[V::zero(); VECTORS]; ROWS];
        for m in 0..ROWS {
            rows[m] = tile.input.add(*tile.rows.get_unchecked(m));
        }
        if !tile.accumulate && !tile.bias.is_null() {
            for v in 0..VECTORS {
                let bias = V::load(tile.bias.add(v * V::LANES));
                for row in &mut acc {
                    row[v] = bias;
                }
            }
        }
        for run in tile.runs {
            let mut panel = tile.panel.add(run.step * VECTORS * V::LANES);
            for step in run.offset..run.offset + tile.run_len {
                let mut b = [V::zero(); VECTORS];
                for v in 0..VECTORS {
                    b[v] = V::load(panel.add(v * V::LANES));
                }
                for m in 0..ROWS {
                    let a = V::splat(rows[m].add(step));
                    for v in 0..VECTORS {
                        acc[m][v] = a.mul_add(b[v], acc[m][v]);
                    }
                }
                panel = panel.add(VECTORS * V::LANES);
            }
        }
        let write = if tile.accumulate { Write::Add } else { Write::Store };
        let results = settled(&acc);
        for m in 0..ROWS {
            let to = tile.output.add(*tile.output_rows.get_unchecked(m));
            write_row(&results[m], to, tile.columns, write);
        }
    }
}

#[inline(always)]
unsafe fn column_tile<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &ColumnTile) {
    // SAFETY: every address is one that the caller of `MicroKernels::column_tile` vouched for.
    unsafe {
        let mut acc = [[V::zero(); VECTORS]; ROWS];
        for term in tile.steps {
            let column = tile.input.add(term.offset);
            let panel = tile.panel.add(term.step * VECTORS * V::LANES);
            let mut b = [V::zero(); VECTORS];
            for v in 0..VECTORS {
                b[v] = V::load(panel.add(v * V::LANES));
            }
            for m in 0..ROWS {
                let a = V::splat(column.add(m));
                for v in 0..VECTORS {
                    acc[m][v] = a.mul_add(b[v], acc[m][v]);
                }
            }
        }
        let results = settled(&acc);
        for m in 0..ROWS {
            let to = tile.output.add(m * tile.output_pitch);
            write_row(&results[m], to, tile.columns, tile.write);
        }
    }
}

/// A copy of the accumulators to write out in a loop: one that is not unrolled indexes memory, and would keep the
/// accumulators there all along.
#[inline(always)]
fn settled<V: Vector, const ROWS: usize, const VECTORS: usize>(acc: &[[V; VECTORS]; ROWS]) -> [[V; VECTORS]; ROWS] {
    *acc
}

#[inline(always)]
unsafe fn write_row<V: Vector, const VECTORS: usize>(acc: &[V; VECTORS], to: *mut f32, columns: usize, write: Write) {
    // SAFETY: `columns` numbers from `to` are the caller's to write.
    unsafe {
        for (v, &value) in acc.iter().enumerate() {
            let to = to.add(v * V::LANES);
            let lanes = columns.saturating_sub(v * V::LANES);
            match write {
                Write::Stream => value.stream(to),
                Write::Store if lanes >= V::LANES => value.store(to),
                Write::Store => value.store_part(to, lanes),
                Write::Add if lanes >= V::LANES => value.add(V::load(to)).store(to),
                Write::Add => value.add(V::load_part(to, lanes)).store_part(to, lanes),
            }
        }
    }
}

/// The table of an instruction set's kernels, compiled for its features.
#[cfg(target_arch = "x86_64")]
macro_rules! kernels {
    ($table:ident, $module:ident, $vector:ty, $features:literal, [$($rows:literal)*],
     $small_batch:literal, [$($images:literal x $dot_rows:literal)*]) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            unsafe fn row<const ROWS: usize, const VECTORS: usize>(tile: &RowTile) {
                // SAFETY: the caller's promise.
                unsafe { row_tile::<$vector, ROWS, VECTORS>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn column<const ROWS: usize, const VECTORS: usize>(tile: &ColumnTile) {
                // SAFETY: the caller's promise.
                unsafe { column_tile::<$vector, ROWS, VECTORS>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn dot<const IMAGES: usize, const ROWS: usize>(tile: &DotTile) {
                // SAFETY: the caller's promise.
                unsafe { dot_tile::<$vector, IMAGES, ROWS>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn axpy<const IMAGES: usize>(tile: &AxpyTile) {
                // SAFETY: the caller's promise.
                unsafe { axpy_tile::<$vector, IMAGES>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn transpose(squares: &Squares) {
                // SAFETY: the caller's promise.
                unsafe { transpose_squares::<$vector>(squares) }
            }

            pub(super) static TABLE: MicroKernels = MicroKernels {
                lanes: <$vector>::LANES,
                rows: [&[$(row::<$rows, 1>),*], &[$(row::<$rows, 2>),*]],
                columns: [&[$(column::<$rows, 1>),*], &[$(column::<$rows, 2>),*]],
                small_batch: $small_batch,
                dots: &[$(($dot_rows, dot::<$images, $dot_rows>)),*],
                axpys: &[$(axpy::<$images>),*],
                transpose,
            };
        }
        use $module::TABLE as $table;
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(AVX512, avx512, Avx512, "avx512f", [1 2 3 4 5 6 7 8 9 10 11 12 13 14],
    32, [1 x 8 2 x 8 3 x 7 4 x 6 5 x 5 6 x 4 7 x 3 8 x 3 9 x 3 10 x 2 11 x 2 12 x 2]);
#[cfg(target_arch = "x86_64")]
kernels!(AVX2, avx2, Avx2, "avx2,fma", [1 2 3 4 5 6],
    12, [1 x 6 2 x 4 3 x 3 4 x 2 5 x 2 6 x 2 7 x 1 8 x 1 9 x 1 10 x 1 11 x 1 12 x 1]);
