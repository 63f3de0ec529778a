//! NVIDIA GPUs.

pub mod devices;
pub mod kernels;
pub mod libraries;
pub mod nvml;
