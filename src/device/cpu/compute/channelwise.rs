//! Convolutions whose groups have few channels, with channels as the vector's lanes: depthwise ones above all.
//!
//! A result needs one vector of the input per tap (and per channel of a group), so such layers are bound by memory, not by
//! arithmetic. Taps that fall on padding are not listed.

#![expect(clippy::needless_range_loop, reason = "loops over constants, which the compiler unrolls into registers")]

#[cfg(target_arch = "x86_64")]
use super::simd::x86::{Avx2, Avx512};
use super::simd::{Isa, Vector, prefetch};
use std::ops::Range;

/// A tap of a run of columns: offsets from `input` and from `weights`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tap {
    pub input: usize,
    pub weights: usize,
}

/// Input that the next row needs: lines to ask for while this row is at work.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead {
    /// From the input of the first column.
    pub offset: usize,
    pub rows: usize,
    pub row_pitch: usize,
}

impl Ahead {
    /// Asks for one vector of channels of all columns from `from` up to `len` numbers later.
    #[inline(always)]
    fn ask(&self, from: *const f32, len: usize, channels: usize) {
        for row in 0..self.rows {
            for column in (0..len).step_by(channels) {
                prefetch(from.wrapping_add(self.offset + row * self.row_pitch + column));
            }
        }
    }
}

/// Columns of a row of results that have the same taps.
pub struct ChannelRun<'a> {
    pub input: *const f32,
    pub taps: &'a [Tap],
    /// \[tap\]\[channel of a group\]\[channel\].
    pub weights: *const f32,
    pub columns: usize,
    /// From one column to the next: in the input and in the output.
    pub steps: [usize; 2],
    pub output: *mut f32,
    /// One per channel, or null for zeros.
    pub biases: *const f32,
    pub channels: usize,
    /// Channels of a group, which divide the lanes.
    pub group: usize,
    /// Adds to the output.
    pub accumulate: bool,
    pub ahead: Ahead,
}

/// Columns of a row of the outputs' gradient, with the inputs that met the same taps.
pub struct ChannelGradient<'a> {
    pub input: *const f32,
    pub taps: &'a [Tap],
    pub output_gradient: *const f32,
    pub columns: usize,
    /// From one column to the next: in the input and in the outputs' gradient.
    pub steps: [usize; 2],
    /// Laid out as the weights; added to.
    pub weight_gradient: *mut f32,
    pub channels: usize,
    /// As in [`ChannelRun`].
    pub group: usize,
    pub ahead: Ahead,
}

/// The kernels of one instruction set.
pub struct ChannelKernels {
    run: unsafe fn(&ChannelRun),
    gradient: unsafe fn(&ChannelGradient),
}

impl ChannelKernels {
    /// The kernels of an instruction set that the CPU supports; none for the portable one.
    pub fn of(isa: Isa) -> Option<&'static ChannelKernels> {
        assert!(isa.is_supported(), "this CPU has no {isa:?}");
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Some(&avx512::TABLE),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Some(&avx2::TABLE),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => None,
            Isa::Portable => None,
        }
    }

    /// # Safety
    /// All that the fields describe must be valid for reads, the output for writes.
    pub unsafe fn run(&self, run: &ChannelRun) {
        // SAFETY: this table exists only for a supported instruction set; the rest is the caller's promise.
        unsafe { (self.run)(run) }
    }

    /// # Safety
    /// As for [`run`](Self::run).
    pub unsafe fn gradient(&self, gradient: &ChannelGradient) {
        // SAFETY: see `run`.
        unsafe { (self.gradient)(gradient) }
    }
}

/// The most lanes of a vector.
const MOST_LANES: usize = 16;

/// Columns at once: as many sums hide the latency of a multiply-add.
const COLUMNS: usize = 8;

/// Columns of a weight gradient whose inputs stay in an L1 cache from tap to tap.
const GRADIENT_COLUMNS: usize = 16;

/// Taps at once of a weight gradient: all of 3 × 3.
const TAPS: usize = 9;

/// For each lane the lane of its group's channel `member`.
fn members(group: usize, member: usize) -> [u32; MOST_LANES] {
    std::array::from_fn(|lane| (lane / group * group + member) as u32)
}

/// The channels of one vector: all its lanes, or with `PART` the first of them. `GROUPED` ones have groups of several channels.
#[derive(Clone, Copy)]
struct Lanes<const PART: bool, const GROUPED: bool> {
    channel: usize,
    lanes: usize,
}

impl<const PART: bool, const GROUPED: bool> Lanes<PART, GROUPED> {
    #[inline(always)]
    unsafe fn load<V: Vector>(self, from: *const f32) -> V {
        // SAFETY: the caller's promise.
        unsafe { if PART { V::load_part(from, self.lanes) } else { V::load(from) } }
    }

    /// Each lane with the number of its group's channel that `order` names.
    #[inline(always)]
    unsafe fn load_member<V: Vector>(self, from: *const f32, order: &[u32; MOST_LANES]) -> V {
        // SAFETY: the caller's promise.
        unsafe { if GROUPED { self.load::<V>(from).permuted(order.as_ptr()) } else { self.load(from) } }
    }

    #[inline(always)]
    unsafe fn store<V: Vector>(self, value: V, to: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { if PART { value.store_part(to, self.lanes) } else { value.store(to) } }
    }
}

/// Calls `$work(lanes)` for each vector of `$channels`, with the type that suits it.
macro_rules! each_vector {
    ($vector:ty, $channels:expr, $group:expr, |$at:ident| $work:expr) => {
        for channel in (0..$channels).step_by(<$vector>::LANES) {
            let lanes = <$vector>::LANES.min($channels - channel);
            match (lanes < <$vector>::LANES, $group > 1) {
                (false, false) => {
                    let $at = Lanes::<false, false> { channel, lanes };
                    $work
                }
                (false, true) => {
                    let $at = Lanes::<false, true> { channel, lanes };
                    $work
                }
                (true, false) => {
                    let $at = Lanes::<true, false> { channel, lanes };
                    $work
                }
                (true, true) => {
                    let $at = Lanes::<true, true> { channel, lanes };
                    $work
                }
            }
        }
    };
}

#[inline(always)]
unsafe fn channel_run<V: Vector>(run: &ChannelRun) {
    let mut column = 0;
    while column < run.columns {
        let left = run.columns - column;
        let done = [COLUMNS, 4, 2, 1].into_iter().find(|&some| some <= left).unwrap_or(1);
        // SAFETY: every address is one that the caller of `ChannelKernels::run` vouched for; so below.
        each_vector!(V, run.channels, run.group, |lanes| unsafe {
            match done {
                COLUMNS => columns::<V, COLUMNS, 1, _, _>(run, column, lanes),
                4 => columns::<V, 4, 2, _, _>(run, column, lanes),
                2 => columns::<V, 2, 4, _, _>(run, column, lanes),
                _ => columns::<V, 1, 4, _, _>(run, column, lanes),
            }
        });
        column += done;
    }
}

/// `N` columns of results. Every `A`-th tap is summed apart: few sums would wait for one another.
#[inline(always)]
unsafe fn columns<V: Vector, const N: usize, const A: usize, const PART: bool, const GROUPED: bool>(
    run: &ChannelRun,
    column: usize,
    lanes: Lanes<PART, GROUPED>,
) {
    // SAFETY: see `channel_run`.
    unsafe {
        let input = run.input.wrapping_add(column * run.steps[0] + lanes.channel);
        let output = run.output.add(column * run.steps[1] + lanes.channel);
        run.ahead.ask(input, N * run.steps[0], run.channels);
        let mut sums = [[V::zero(); N]; A];
        if run.accumulate {
            for n in 0..N {
                sums[0][n] = lanes.load(output.add(n * run.steps[1]));
            }
        } else if !run.biases.is_null() {
            sums[0] = [lanes.load(run.biases.add(lanes.channel)); N];
        }
        for member in 0..run.group {
            let order = if GROUPED { members(run.group, member) } else { [0; MOST_LANES] };
            let weights = run.weights.add(member * run.channels + lanes.channel);
            let add = |tap: &Tap, sums: &mut [V; N]| {
                let w = lanes.load::<V>(weights.add(tap.weights));
                let input = input.wrapping_add(tap.input);
                for n in 0..N {
                    sums[n] = w.mul_add(lanes.load_member(input.wrapping_add(n * run.steps[0]), &order), sums[n]);
                }
            };
            let mut taps = run.taps.chunks_exact(A);
            for taps in &mut taps {
                for a in 0..A {
                    add(&taps[a], &mut sums[a]);
                }
            }
            taps.remainder().iter().for_each(|tap| add(tap, &mut sums[0]));
        }
        for n in 0..N {
            let mut sum = sums[0][n];
            for a in 1..A {
                sum = sum.add(sums[a][n]);
            }
            lanes.store(sum, output.add(n * run.steps[1]));
        }
    }
}

#[inline(always)]
unsafe fn channel_gradient<V: Vector>(gradient: &ChannelGradient) {
    for first in (0..gradient.columns).step_by(GRADIENT_COLUMNS) {
        let columns = first..gradient.columns.min(first + GRADIENT_COLUMNS);
        // SAFETY: see `channel_run`.
        each_vector!(V, gradient.channels, gradient.group, |lanes| unsafe {
            let input = gradient.input.wrapping_add(first * gradient.steps[0] + lanes.channel);
            gradient.ahead.ask(input, columns.len() * gradient.steps[0], gradient.channels);
            for member in 0..gradient.group {
                let mut taps = gradient.taps.chunks_exact(TAPS);
                for taps in &mut taps {
                    tap_gradients::<V, TAPS, _, _>(gradient, taps, columns.clone(), member, lanes);
                }
                let mut sixes = taps.remainder().chunks_exact(6);
                for taps in &mut sixes {
                    tap_gradients::<V, 6, _, _>(gradient, taps, columns.clone(), member, lanes);
                }
                let mut triples = sixes.remainder().chunks_exact(3);
                for taps in &mut triples {
                    tap_gradients::<V, 3, _, _>(gradient, taps, columns.clone(), member, lanes);
                }
                for tap in triples.remainder().chunks_exact(1) {
                    tap_gradients::<V, 1, _, _>(gradient, tap, columns.clone(), member, lanes);
                }
            }
        });
    }
}

#[inline(always)]
unsafe fn tap_gradients<V: Vector, const N: usize, const PART: bool, const GROUPED: bool>(
    gradient: &ChannelGradient,
    taps: &[Tap],
    columns: Range<usize>,
    member: usize,
    lanes: Lanes<PART, GROUPED>,
) {
    // SAFETY: see `channel_run`.
    unsafe {
        let order = if GROUPED { members(gradient.group, member) } else { [0; MOST_LANES] };
        let output_gradient = gradient.output_gradient.add(lanes.channel);
        let mut inputs = [gradient.input; N];
        for n in 0..N {
            inputs[n] = gradient.input.add(taps[n].input + lanes.channel);
        }
        let mut sums = [V::zero(); N];
        for column in columns {
            let dy = lanes.load::<V>(output_gradient.add(column * gradient.steps[1]));
            for n in 0..N {
                let x = lanes.load_member::<V>(inputs[n].add(column * gradient.steps[0]), &order);
                sums[n] = x.mul_add(dy, sums[n]);
            }
        }
        for n in 0..N {
            let to = gradient.weight_gradient.add(taps[n].weights + member * gradient.channels + lanes.channel);
            lanes.store(sums[n].add(lanes.load(to)), to);
        }
    }
}

/// The table of an instruction set's kernels, compiled for its features.
#[cfg(target_arch = "x86_64")]
macro_rules! channel_kernels {
    ($module:ident, $vector:ty, $features:literal) => {
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            unsafe fn run(run: &ChannelRun) {
                // SAFETY: the caller's promise.
                unsafe { channel_run::<$vector>(run) }
            }

            #[target_feature(enable = $features)]
            unsafe fn gradient(gradient: &ChannelGradient) {
                // SAFETY: the caller's promise.
                unsafe { channel_gradient::<$vector>(gradient) }
            }

            pub(super) static TABLE: ChannelKernels = ChannelKernels { run, gradient };
        }
    };
}

#[cfg(target_arch = "x86_64")]
channel_kernels!(avx512, Avx512, "avx512f");
#[cfg(target_arch = "x86_64")]
channel_kernels!(avx2, Avx2, "avx2,fma");
