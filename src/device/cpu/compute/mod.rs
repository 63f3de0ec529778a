//! The means of the operations: memory, threads, vectors, and the kernels of convolution and fully connected layers.
//!
//! The memory-bound kinds go over their data once: a piece per thread and more (`parallel`), vectors inside (`vector`).

pub(super) mod arena;
pub(super) mod buffer;
pub(super) mod channelwise;
pub(super) mod gemm;
pub(super) mod math;
pub(super) mod microkernel;
pub(super) mod parallel;
pub mod simd;
pub(super) mod tasks;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod vector;
pub(super) mod winograd;
