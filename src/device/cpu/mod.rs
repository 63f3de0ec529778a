//! The CPU: the embedded device, f32 in NHWC, threads by rayon.
//!
//! One file per layer kind. Operations work on plain slices, inside the thread pool of the caller, and allocate nothing.
//! The memory-bound kinds go over their data once: a chunk per thread and more ([`parallel`]), vectors inside ([`vector`]).

mod add;
mod avgpool;
mod batchnorm;
mod ceiling;
mod concat;
mod dropout;
mod lrn;
mod math;
mod maxpool;
mod parallel;
mod pool;
mod relu;
mod sgd;
mod softmax_loss;
mod vector;
