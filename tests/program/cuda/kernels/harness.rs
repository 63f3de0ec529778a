//! Device buffers, launches and comparisons for the kernel tests.

use half::{bf16, f16};
use softcuda::{Plain, ptx};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The sizes that the tests use: around a warp, around a block, and many blocks.
pub const SIZES: [usize; 7] = [1, 31, 32, 33, 1023, 1025, 70_001];

/// Every committed PTX file, by name.
pub const SOURCES: [(&str, &str); 19] = [
    ("activation", include_str!("../../../../kernels/ptx/activation.ptx")),
    ("batchnorm", include_str!("../../../../kernels/ptx/batchnorm.ptx")),
    ("bias", include_str!("../../../../kernels/ptx/bias.ptx")),
    ("copy", include_str!("../../../../kernels/ptx/copy.ptx")),
    ("dropout", include_str!("../../../../kernels/ptx/dropout.ptx")),
    ("layernorm", include_str!("../../../../kernels/ptx/layernorm.ptx")),
    ("layout", include_str!("../../../../kernels/ptx/layout.ptx")),
    ("loss_scale", include_str!("../../../../kernels/ptx/loss_scale.ptx")),
    ("lrn", include_str!("../../../../kernels/ptx/lrn.ptx")),
    ("lrn_within", include_str!("../../../../kernels/ptx/lrn_within.ptx")),
    ("measure", include_str!("../../../../kernels/ptx/measure.ptx")),
    ("multiply", include_str!("../../../../kernels/ptx/multiply.ptx")),
    ("padding", include_str!("../../../../kernels/ptx/padding.ptx")),
    ("pick", include_str!("../../../../kernels/ptx/pick.ptx")),
    ("pool", include_str!("../../../../kernels/ptx/pool.ptx")),
    ("prelu", include_str!("../../../../kernels/ptx/prelu.ptx")),
    ("scale", include_str!("../../../../kernels/ptx/scale.ptx")),
    ("sgd", include_str!("../../../../kernels/ptx/sgd.ptx")),
    ("softmax_loss", include_str!("../../../../kernels/ptx/softmax_loss.ptx")),
];

pub static KERNELS: LazyLock<HashMap<String, Arc<ptx::Kernel>>> = LazyLock::new(|| {
    let modules = SOURCES.iter().map(|(name, source)| ptx::parse(source).unwrap_or_else(|e| panic!("{name}: {e}")));
    modules.flatten().collect()
});

/// A storage type and the spacing of its numbers.
pub trait Storage: Plain {
    const SUFFIX: &str;
    /// Relative rounding error of one store.
    const EPSILON: f64;
    /// Rounded by way of f32: the half crate's own conversions from f64 drop bits.
    fn narrow(v: f64) -> Self;
    fn wide(self) -> f64;
}
impl Storage for f32 {
    const SUFFIX: &str = "f32";
    const EPSILON: f64 = 6e-8;
    fn narrow(v: f64) -> Self {
        v as f32
    }
    fn wide(self) -> f64 {
        self.into()
    }
}
impl Storage for f16 {
    const SUFFIX: &str = "f16";
    const EPSILON: f64 = 4.9e-4;
    fn narrow(v: f64) -> Self {
        f16::from_f32(v as f32)
    }
    fn wide(self) -> f64 {
        self.into()
    }
}
impl Storage for bf16 {
    const SUFFIX: &str = "bf16";
    const EPSILON: f64 = 3.9e-3;
    fn narrow(v: f64) -> Self {
        bf16::from_f32(v as f32)
    }
    fn wide(self) -> f64 {
        self.into()
    }
}

/// Runs a check with each storage type, and once more with tensors that 16 bytes at a time cannot take.
macro_rules! for_each_type {
    ($check:ident($($argument:expr),*)) => {
        $check::<f32>($($argument),*);
        $check::<half::f16>($($argument),*);
        $check::<half::bf16>($($argument),*);
        skewed(|| $check::<half::f16>($($argument),*));
    };
}
pub(crate) use for_each_type;

thread_local! {
    /// Elements that lie before those of a buffer.
    static SKEW: Cell<usize> = const { Cell::new(0) };
}

/// Runs this with buffers that begin one element behind a multiple of 16 bytes.
pub fn skewed(run: impl FnOnce()) {
    SKEW.set(1);
    run();
    SKEW.set(0);
}

/// A device buffer, and its address as a kernel's argument.
pub struct Buffer<T> {
    pub address: u64,
    skipped: usize,
    memory: softcuda::Buffer<T>,
}

impl<T: Plain> Buffer<T> {
    pub fn fresh(length: usize) -> Self {
        Self::behind(SKEW.get(), softcuda::Buffer::uninitialised(SKEW.get() + length))
    }
    pub fn of(values: &[T]) -> Self {
        let before = &values[..SKEW.get().min(values.len())];
        Self::behind(before.len(), softcuda::Buffer::of(&[before, values].concat()))
    }
    fn behind(skipped: usize, memory: softcuda::Buffer<T>) -> Self {
        Buffer { address: memory.address() + (skipped * size_of::<T>()) as u64, skipped, memory }
    }
    /// The contents; panics where anything was never written.
    pub fn read(&self) -> Vec<T> {
        self.memory.read_from(self.skipped).unwrap()
    }
}
impl<T: Storage> Buffer<T> {
    pub fn narrowed(values: &[f64]) -> Self {
        Self::of(&values.iter().map(|&v| T::narrow(v)).collect::<Vec<_>>())
    }
    pub fn wide(&self) -> Vec<f64> {
        self.read().into_iter().map(T::wide).collect()
    }
}

/// A kernel argument as bytes.
pub trait Argument {
    fn bytes(&self) -> Vec<u8>;
}
impl<T> Argument for Buffer<T> {
    fn bytes(&self) -> Vec<u8> {
        self.address.to_le_bytes().into()
    }
}
macro_rules! plain_arguments {
    ($($t:ty),*) => {$(impl Argument for $t {
        fn bytes(&self) -> Vec<u8> {
            self.to_le_bytes().into()
        }
    })*};
}
plain_arguments!(u32, u64, f32);
/// A struct of 4-byte fields.
impl<const N: usize> Argument for [u32; N] {
    fn bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|v| v.to_le_bytes()).collect()
    }
}

/// A divisor as the kernels take it: the number, ⌈2^(32 + shift) / number⌉ − 2³², and the smallest shift with 2^shift ≥ number.
pub fn divisor(number: usize) -> [u32; 3] {
    let shift = (0..32).find(|shift| 1 << shift >= number).expect("below 2^31");
    let multiplier = (1u128 << (32 + shift)).div_ceil(number.max(1) as u128) - (1 << 32);
    [number as u32, multiplier as u32, shift]
}

/// Launches `kernel` of `kernels`; panics where the arguments do not fit its signature.
pub fn launch_of(
    kernels: &HashMap<String, Arc<ptx::Kernel>>,
    name: &str,
    grid: [u32; 3],
    block: [u32; 3],
    arguments: &[&dyn Argument],
) -> Result<(), ptx::KernelError> {
    let kernel = kernels.get(name).unwrap_or_else(|| panic!("no kernel {name}"));
    assert_eq!(kernel.parameters.len(), arguments.len(), "{name}");
    let mut parameters = Vec::new();
    for (parameter, argument) in kernel.parameters.iter().zip(arguments) {
        let bytes = argument.bytes();
        assert_eq!(parameter.size, bytes.len(), "{name}");
        parameters.resize(parameter.offset, 0);
        parameters.extend(bytes);
    }
    ptx::launch(kernel, &ptx::Launch { grid, block, dynamic_shared: 0, parameters: &parameters })
}

pub fn launch(name: &str, grid: [u32; 3], block: [u32; 3], arguments: &[&dyn Argument]) {
    launch_of(&KERNELS, name, grid, block, arguments).unwrap_or_else(|fault| panic!("{fault}"));
}

/// A grid-stride launch over `n` elements. Two blocks fewer than elements need, so that the stride is walked.
pub fn launch_over(name: &str, n: usize, arguments: &[&dyn Argument]) {
    let blocks = n.div_ceil(256).saturating_sub(2).max(1) as u32;
    launch(name, [blocks, 1, 1], [256, 1, 1], arguments);
}

/// Numbers in [-1, 1), different for each seed, rounded to what `T` can hold.
pub fn numbers<T: Storage>(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        T::narrow((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0).wide()
    };
    (0..n).map(|_| next()).collect()
}

/// Element by element: |got − expected| ≤ tolerance · (|expected| + scale).
#[track_caller]
pub fn assert_close(got: &[f64], expected: &[f64], tolerance: f64, scale: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * (e.abs() + scale), "element {i}: {g} instead of {e}");
    }
}

/// Bit for bit the same, without a dump of thousands of numbers where they are not.
#[track_caller]
pub fn assert_same(got: &[f64], expected: &[f64]) {
    assert_close(got, expected, 0.0, 0.0);
}
