//! The CPU.

pub mod conv;
pub mod simd;

mod gemm;
mod microkernel;
mod parallel;
