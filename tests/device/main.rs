//! Devices from within: sessions, the CPU's kernels, and cuDNN's own shape arithmetic.

mod descriptors;
mod kernels;
mod sessions;
