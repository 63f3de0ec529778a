//! NVIDIA GPUs.

pub mod kernels;
pub mod libraries;
pub mod nvml;
