//! The CPU's convolution and fully connected kernels against plain loops in f64.

mod common;
mod conv;
mod fc;
