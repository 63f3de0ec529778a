//! Devices from within: sessions, the CPU's kernels, cuDNN's own shape arithmetic, and its plans for GPUs that are not here.

mod descriptors;
mod deviceless;
mod gpus;
mod kernels;
mod sessions;
