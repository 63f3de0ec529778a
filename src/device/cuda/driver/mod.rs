//! NVIDIA's driver and libraries behind Rust types: the only place that names cudarc and NVML's wrapper.
//!
//! [`Context`], [`Stream`], [`Buffer`] and [`Kernel`] are the driver's; [`blas`] and [`dnn`] are the libraries'. Every call goes
//! through the macro `call!`, which turns a status into a [`CallError`]. NVIDIA's libraries are opened when a device is, never before.

mod blas;
mod call;
mod context;
pub mod devices;
pub mod dnn;
mod element;
mod handles;
pub mod libraries;
pub mod memory;
mod modules;
pub mod nvml;
mod nvtx;
mod stream;
mod symbols;

pub use blas::{Gemm, Matrix};
pub use call::{CallError, Cause};
pub use context::Context;
pub use element::Element;
pub use handles::Handles;
pub use memory::{Buffer, Flag};
pub use modules::{Argument, Grid, Kernel, Modules};
pub use nvtx::Nvtx;
pub use stream::{Event, Stream};
pub use symbols::probe;
