//! softcuda: a CUDA device in software, for tests.
//!
//! The library exports the C functions of libcuda, libcublas, libcudnn and libnvidia-ml that a CNN training program
//! calls; under the libraries' names in the loader's path it takes their place, and an unmodified program runs its
//! whole CUDA path on the CPU. The device computes right, slowly, and watches its caller. README.md says how to use it.

#![warn(missing_docs)]

mod blas;
mod buffer;
mod clock;
mod coverage;
mod dnn;
mod driver;
mod element;
mod export;
mod fault;
mod finding;
mod handle;
mod host_clock;
mod math;
mod memory;
mod nvml;
pub mod ptx;
mod report;
mod settings;
mod setup;
mod stream;
mod trace;

pub use buffer::{Buffer, Plain};
pub use coverage::coverage;
pub use finding::{Finding, FindingKind, Findings};
pub use settings::{Clock, Fault, FaultyCall, InvalidSetting, Script, ThrottleReason};
pub use setup::{Library, Softcuda, library};
