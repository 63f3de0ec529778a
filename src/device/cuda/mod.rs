//! NVIDIA GPUs: cuDNN for convolution and the kinds that it has a fitting form of, cuBLAS for fully connected layers, own kernels for
//! the rest.
//!
//! `driver` wraps NVIDIA's driver and libraries, and is the only place that names their bindings; `operations` has a file per layer kind;
//! `session`, `steps` and `tensors` make a planned step real, `ranges` shows it to a profiler. NVIDIA's libraries are opened when a device is, never before.

mod ceiling;
mod choosing;
mod clock;
mod device;
mod driver;
pub mod engines;
mod failure;
mod gpu;
pub mod kernels;
mod operations;
mod parameters;
mod ranges;
mod session;
mod steps;
mod stream_gate;
mod tensors;

pub use device::Cuda;
pub use driver::{devices, libraries, nvml};
