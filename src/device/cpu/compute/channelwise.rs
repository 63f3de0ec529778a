//! Convolutions whose groups have few channels, with channels as the vector's lanes: depthwise ones above all.
//!
//! A result needs one vector of the input per tap (and per channel of a group), so such layers are bound by memory, not by
//! arithmetic. Taps that fall on padding are not listed.

#[cfg(target_arch = "x86_64")]
use super::simd::x86::{Avx2, Avx512};
use super::simd::{Isa, Vector};

/// A tap of a run of columns: offsets from `input` and from `weights`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tap {
    pub input: usize,
    pub weights: usize,
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

/// Taps at once of a weight gradient.
const TAPS: usize = 8;

/// For each lane the lane of its group's channel `member`.
fn members(group: usize, member: usize) -> [u32; MOST_LANES] {
    std::array::from_fn(|lane| (lane / group * group + member) as u32)
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
unsafe fn channel_run<V: Vector>(run: &ChannelRun) {
    // SAFETY: every address is one that the caller of `ChannelKernels::run` vouched for; so below.
    unsafe {
        let mut column = 0;
        while column < run.columns {
            let left = run.columns - column;
            let done = if left >= COLUMNS {
                COLUMNS
            } else if left >= 2 {
                2
            } else {
                1
            };
            for channel in (0..run.channels).step_by(V::LANES) {
                let lanes = V::LANES.min(run.channels - channel);
                match done {
                    COLUMNS => columns::<V, COLUMNS>(run, column, channel, lanes),
                    2 => columns::<V, 2>(run, column, channel, lanes),
                    _ => columns::<V, 1>(run, column, channel, lanes),
                }
            }
            column += done;
        }
    }
}

#[inline(always)]
unsafe fn columns<V: Vector, const N: usize>(run: &ChannelRun, column: usize, channel: usize, lanes: usize) {
    // SAFETY: see `channel_run`.
    unsafe {
        let input = run.input.add(column * run.steps[0] + channel);
        let output = run.output.add(column * run.steps[1] + channel);
        let bias = if run.biases.is_null() { V::zero() } else { load(run.biases.add(channel), lanes) };
        let mut sums = [bias; N];
        if run.accumulate {
            for (n, sum) in sums.iter_mut().enumerate() {
                *sum = load(output.add(n * run.steps[1]), lanes);
            }
        }
        for member in 0..run.group {
            let order = members(run.group, member);
            let weights = run.weights.add(member * run.channels + channel);
            for tap in run.taps {
                let w = load::<V>(weights.add(tap.weights), lanes);
                for (n, sum) in sums.iter_mut().enumerate() {
                    let mut x = load::<V>(input.add(n * run.steps[0] + tap.input), lanes);
                    if run.group > 1 {
                        x = x.permuted(order.as_ptr());
                    }
                    *sum = w.mul_add(x, *sum);
                }
            }
        }
        for (n, sum) in sums.into_iter().enumerate() {
            store(sum, output.add(n * run.steps[1]), lanes);
        }
    }
}

#[inline(always)]
unsafe fn channel_gradient<V: Vector>(gradient: &ChannelGradient) {
    // SAFETY: see `channel_run`.
    unsafe {
        for channel in (0..gradient.channels).step_by(V::LANES) {
            let lanes = V::LANES.min(gradient.channels - channel);
            for member in 0..gradient.group {
                let mut taps = gradient.taps.chunks_exact(TAPS);
                for taps in &mut taps {
                    tap_gradients::<V, TAPS>(gradient, taps, (channel, member), lanes);
                }
                let mut triples = taps.remainder().chunks_exact(3);
                for taps in &mut triples {
                    tap_gradients::<V, 3>(gradient, taps, (channel, member), lanes);
                }
                for tap in triples.remainder().chunks_exact(1) {
                    tap_gradients::<V, 1>(gradient, tap, (channel, member), lanes);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn tap_gradients<V: Vector, const N: usize>(
    gradient: &ChannelGradient,
    taps: &[Tap],
    (channel, member): (usize, usize),
    lanes: usize,
) {
    // SAFETY: see `channel_run`.
    unsafe {
        let order = members(gradient.group, member);
        let mut inputs = [gradient.input; N];
        for n in 0..N {
            inputs[n] = gradient.input.add(taps[n].input + channel);
        }
        let mut sums = [V::zero(); N];
        for column in 0..gradient.columns {
            let dy = load::<V>(gradient.output_gradient.add(column * gradient.steps[1] + channel), lanes);
            for n in 0..N {
                let mut x = load::<V>(inputs[n].add(column * gradient.steps[0]), lanes);
                if gradient.group > 1 {
                    x = x.permuted(order.as_ptr());
                }
                sums[n] = x.mul_add(dy, sums[n]);
            }
        }
        for n in 0..N {
            let to = gradient.weight_gradient.add(taps[n].weights + member * gradient.channels + channel);
            store(sums[n].add(load(to, lanes)), to, lanes);
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
