#![doc = include_str!("../README.md")]
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
mod nvtx;
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
