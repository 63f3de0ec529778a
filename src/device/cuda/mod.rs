//! NVIDIA GPUs: cuDNN for convolution and what it has a fitting form of, cuBLAS for fully connected layers, own kernels for the rest.
//!
//! The only place that names cudarc. One file per layer kind; operations are enqueued on one stream, allocate nothing and wait for
//! nothing. NVIDIA's libraries are opened when a device is, never before.

mod add;
mod algorithms;
mod avgpool;
mod batchnorm;
mod bias;
mod blas;
mod call;
mod ceiling;
mod channels;
mod clock;
mod concat;
mod context;
mod conv;
mod device;
pub mod devices;
mod dnn;
mod dropout;
mod element;
mod fc;
mod gpu;
mod hold;
pub mod kernels;
mod layer;
pub mod libraries;
mod loss_scale;
mod lrn;
mod maxpool;
mod memory;
mod modules;
pub mod nvml;
mod parameters;
mod pool;
mod queue;
mod relu;
mod session;
mod sgd;
mod softmax_loss;
mod stream;
mod symbols;
mod tensors;

pub use device::Cuda;
