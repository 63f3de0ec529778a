//! Two-dimensional Winograd transforms of tiles, a vector of channels at a time, for each scheme and instruction set.
//!
//! A transformed tile has t × t elements, a *pitch* apart in memory, each with its channels side by side.

mod scheme;

#[cfg(target_arch = "x86_64")]
use super::simd::x86::{Avx2, Avx512};
use super::simd::{Isa, Vector};
use scheme::{Line, MOST, Scheme, data, evaluated, results};
use std::mem::MaybeUninit;

/// Addresses of a tile's pixels, by row and column; those after the last are not read.
pub type Pixels = [[*mut f32; MOST]; MOST];

/// Pixels to transform.
pub struct PixelTile<'a> {
    pub pixels: &'a Pixels,
    pub channels: usize,
    /// Transformed elements; their channels are written in whole vectors.
    pub to: *mut f32,
    pub pitch: usize,
}

/// Products to turn into outputs.
pub struct OutputTile<'a> {
    pub from: *const f32,
    pub pitch: usize,
    pub pixels: &'a Pixels,
    pub channels: usize,
    /// A vector for every vector of channels, or null for zeros.
    pub biases: *const f32,
    /// Adds to the pixels.
    pub accumulate: bool,
}

/// Filters between taps and transformed elements: in [`Transforms::filters`] from taps, in [`Transforms::taps`] to them.
pub struct FilterTile {
    pub taps: *mut f32,
    /// From one tap to the next, row by row.
    pub tap_pitch: usize,
    pub elements: *mut f32,
    pub pitch: usize,
    /// Filters that follow each other.
    pub steps: usize,
    /// From one filter to the next: in `taps` and in `elements`.
    pub step_pitches: [usize; 2],
    pub channels: usize,
}

/// The schemes, by outputs and taps along one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// F(2×2, 3×3).
    F2x3,
    /// F(4×4, 3×3).
    F4x3,
    /// F(4×4, 5×5).
    F4x5,
}

/// The transforms of one scheme by one instruction set.
pub struct Transforms {
    /// Outputs along a tile's side.
    pub outputs: usize,
    /// Taps along a filter's side.
    pub taps: usize,
    data: unsafe fn(&PixelTile),
    gradients: unsafe fn(&PixelTile),
    outputs_of: unsafe fn(&OutputTile),
    filters: unsafe fn(&FilterTile),
    taps_of: unsafe fn(&FilterTile),
}

impl Transforms {
    /// The transforms by an instruction set that the CPU supports; none by the portable one.
    pub fn of(filtering: Filtering, isa: Isa) -> Option<&'static Transforms> {
        assert!(isa.is_supported(), "this CPU has no {isa:?}");
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Some(&avx512::TABLE[filtering as usize]),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Some(&avx2::TABLE[filtering as usize]),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => None,
            Isa::Portable => None,
        }
    }

    /// Elements of a transformed tile along one side, t.
    pub fn side(&self) -> usize {
        self.outputs + self.taps - 1
    }

    /// Transforms t × t pixels of an input.
    ///
    /// # Safety
    /// All that the tile's fields describe must be valid for reads, its results for writes; here and in the others.
    pub unsafe fn data(&self, tile: &PixelTile) {
        // SAFETY: this table exists only for a supported instruction set; the rest is the caller's promise, here and below.
        unsafe { (self.data)(tile) }
    }

    /// Transforms m × m gradients of outputs.
    ///
    /// # Safety
    /// As for [`data`](Self::data).
    pub unsafe fn gradients(&self, tile: &PixelTile) {
        // SAFETY: see `data`.
        unsafe { (self.gradients)(tile) }
    }

    /// Makes m × m outputs.
    ///
    /// # Safety
    /// As for [`data`](Self::data).
    pub unsafe fn outputs(&self, tile: &OutputTile) {
        // SAFETY: see `data`.
        unsafe { (self.outputs_of)(tile) }
    }

    /// Transforms filters of r × r taps.
    ///
    /// # Safety
    /// As for [`data`](Self::data).
    pub unsafe fn filters(&self, tile: &FilterTile) {
        // SAFETY: see `data`.
        unsafe { (self.filters)(tile) }
    }

    /// Makes the gradients of r × r taps.
    ///
    /// # Safety
    /// As for [`data`](Self::data).
    pub unsafe fn taps(&self, tile: &FilterTile) {
        // SAFETY: see `data`.
        unsafe { (self.taps_of)(tile) }
    }
}

/// Applies a transform to columns, then to rows: `$inputs` × `$inputs` numbers become `$outputs` × `$outputs`. A macro, since
/// closures would not be compiled for the instruction set.
macro_rules! in_two_dimensions {
    ([$inputs:expr, $outputs:expr], |$i:ident, $j:ident| $load:expr, |$x:ident| $transform:expr, |$y:ident| $store:expr) => {{
        let mut half = [[const { MaybeUninit::uninit() }; MOST]; MOST];
        for $j in 0..$inputs {
            let mut column = [V::zero(); MOST];
            for $i in 0..$inputs {
                column[$i] = $load;
            }
            let $x = &column;
            let column: Line<V> = $transform;
            for i in 0..$outputs {
                half[i][$j].write(column[i]);
            }
        }
        for $i in 0..$outputs {
            let mut row = [V::zero(); MOST];
            for j in 0..$inputs {
                row[j] = half[$i][j].assume_init();
            }
            let $x = &row;
            let row: Line<V> = $transform;
            for $j in 0..$outputs {
                let $y = row[$j];
                $store
            }
        }
    }};
}

/// Calls `$body` with the first channel of each vector and its lanes: a whole vector's, fewer for the last.
macro_rules! vectors {
    ($vector:ty, $channels:expr, |$at:ident, $lanes:ident| $body:expr) => {
        for $at in (0..$channels).step_by(<$vector>::LANES) {
            let $lanes = <$vector>::LANES.min($channels - $at);
            $body
        }
    };
}

#[inline(always)]
unsafe fn load<V: Vector>(from: *const f32, lanes: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if lanes == V::LANES { V::load(from) } else { V::load_part(from, lanes) } }
}

#[inline(always)]
unsafe fn store<V: Vector>(value: V, to: *mut f32, lanes: usize) {
    // SAFETY: the caller's promise.
    unsafe { if lanes == V::LANES { value.store(to) } else { value.store_part(to, lanes) } }
}

#[inline(always)]
unsafe fn transform_data<V: Vector, S: Scheme>(tile: &PixelTile) {
    // SAFETY: every address is one that the caller of `Transforms::data` vouched for; so below.
    unsafe {
        vectors!(V, tile.channels, |c, lanes| in_two_dimensions!(
            [S::PRODUCTS, S::PRODUCTS],
            |i, j| load(tile.pixels[i][j].add(c), lanes),
            |x| data::<V, S>(x),
            |y| y.store(tile.to.add((i * S::PRODUCTS + j) * tile.pitch + c))
        ))
    }
}

#[inline(always)]
unsafe fn transform_gradients<V: Vector, S: Scheme>(tile: &PixelTile) {
    // SAFETY: see `transform_data`.
    unsafe {
        vectors!(V, tile.channels, |c, lanes| in_two_dimensions!(
            [S::OUTPUTS, S::PRODUCTS],
            |i, j| load(tile.pixels[i][j].add(c), lanes),
            |x| evaluated::<V, S>(x, S::OUTPUTS),
            |y| y.store(tile.to.add((i * S::PRODUCTS + j) * tile.pitch + c))
        ))
    }
}

#[inline(always)]
unsafe fn make_outputs<V: Vector, S: Scheme>(tile: &OutputTile) {
    // SAFETY: see `transform_data`.
    unsafe {
        vectors!(V, tile.channels, |c, lanes| {
            let bias = if tile.biases.is_null() { V::zero() } else { V::load(tile.biases.add(c)) };
            in_two_dimensions!(
                [S::PRODUCTS, S::OUTPUTS],
                |i, j| V::load(tile.from.add((i * S::PRODUCTS + j) * tile.pitch + c)),
                |x| results::<V, S>(x, S::OUTPUTS),
                |y| {
                    let to = tile.pixels[i][j].add(c);
                    let y = if tile.accumulate { y.add(load(to, lanes)) } else { y.add(bias) };
                    store(y, to, lanes);
                }
            );
        })
    }
}

#[inline(always)]
unsafe fn transform_filters<V: Vector, S: Scheme>(tile: &FilterTile) {
    // SAFETY: see `transform_data`.
    unsafe {
        for step in 0..tile.steps {
            let taps = tile.taps.add(step * tile.step_pitches[0]);
            let elements = tile.elements.add(step * tile.step_pitches[1]);
            vectors!(V, tile.channels, |c, lanes| in_two_dimensions!(
                [S::TAPS, S::PRODUCTS],
                |i, j| load(taps.add((i * S::TAPS + j) * tile.tap_pitch + c), lanes),
                |x| evaluated::<V, S>(x, S::TAPS),
                |y| y.store(elements.add((i * S::PRODUCTS + j) * tile.pitch + c))
            ))
        }
    }
}

#[inline(always)]
unsafe fn make_taps<V: Vector, S: Scheme>(tile: &FilterTile) {
    // SAFETY: see `transform_data`.
    unsafe {
        for step in 0..tile.steps {
            let taps = tile.taps.add(step * tile.step_pitches[0]);
            let elements = tile.elements.add(step * tile.step_pitches[1]);
            vectors!(V, tile.channels, |c, lanes| in_two_dimensions!(
                [S::PRODUCTS, S::TAPS],
                |i, j| V::load(elements.add((i * S::PRODUCTS + j) * tile.pitch + c)),
                |x| results::<V, S>(x, S::TAPS),
                |y| store(y, taps.add((i * S::TAPS + j) * tile.tap_pitch + c), lanes)
            ))
        }
    }
}

/// The tables of an instruction set's transforms, compiled for its features.
#[cfg(target_arch = "x86_64")]
macro_rules! transforms {
    ($module:ident, $vector:ty, $features:literal) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            unsafe fn data<S: Scheme>(tile: &PixelTile) {
                // SAFETY: the caller's promise, here and below.
                unsafe { transform_data::<$vector, S>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn gradients<S: Scheme>(tile: &PixelTile) {
                // SAFETY: see `data`.
                unsafe { transform_gradients::<$vector, S>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn outputs<S: Scheme>(tile: &OutputTile) {
                // SAFETY: see `data`.
                unsafe { make_outputs::<$vector, S>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn filters<S: Scheme>(tile: &FilterTile) {
                // SAFETY: see `data`.
                unsafe { transform_filters::<$vector, S>(tile) }
            }

            #[target_feature(enable = $features)]
            unsafe fn taps<S: Scheme>(tile: &FilterTile) {
                // SAFETY: see `data`.
                unsafe { make_taps::<$vector, S>(tile) }
            }

            const fn table<S: Scheme>() -> Transforms {
                Transforms {
                    outputs: S::OUTPUTS,
                    taps: S::TAPS,
                    data: data::<S>,
                    gradients: gradients::<S>,
                    outputs_of: outputs::<S>,
                    filters: filters::<S>,
                    taps_of: taps::<S>,
                }
            }

            /// In the order of [`Filtering`].
            pub(super) static TABLE: [Transforms; 3] =
                [table::<scheme::F2x3>(), table::<scheme::F4x3>(), table::<scheme::F4x5>()];
        }
    };
}

#[cfg(target_arch = "x86_64")]
transforms!(avx512, Avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
transforms!(avx2, Avx2, "avx2,fma");
