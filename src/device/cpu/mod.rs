//! The CPU: f32 in NHWC, threads by rayon.
//!
//! One file per layer kind. Operations work on plain slices, inside the thread pool of the caller, and allocate nothing.
//! The memory-bound kinds go over their data once: a chunk per thread and more ([`parallel`]), vectors inside ([`vector`]).

pub mod add;
pub mod avgpool;
pub mod batchnorm;
pub mod ceiling;
pub mod concat;
pub mod dropout;
pub mod lrn;
mod math;
pub mod maxpool;
mod parallel;
mod pool;
pub mod relu;
pub mod sgd;
pub mod softmax_loss;
mod vector;
