//! `layertime` measures which layers of a CNN take the time in training: in which phase, and at which batch size.
//!
//! ```
//! use layertime::device::options::Choice;
//! use layertime::{Group, Model, Profiler};
//!
//! # let second = std::time::Duration::from_secs(1);
//! let profiler = Profiler::new(Model::named("tiny")?).batch(8).device(Choice::Cpu);
//! # let profiler = profiler.max_time(second);
//! let profile = profiler.run()?;
//! println!("conv takes {:.1} % of a training step", profile.share(Group::Conv));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Data flows one way:
//! [`model`] (a described network) → [`plan`] (shapes and costs at one batch size) → [`step`] (a training step's order) →
//! [`device`] (a session that runs it) → [`profile`] (samples) → [`stats`] (their statistics) → [`report`] (rows, files, tables).
//! [`ranks`] lets several of them train together.
//! [`predict`] takes a plan to the rows of a GPU that is not here, by arithmetic. [`verify`] checks a device's arithmetic.

#![warn(missing_docs)]

pub mod device;
pub mod init;
pub mod interrupt;
pub mod model;
pub mod philox;
pub mod plan;
pub mod predict;
pub mod profile;
pub mod ranks;
pub mod report;
pub mod stats;
pub mod stderr;
pub mod step;
pub mod units;
pub mod verify;
mod words;

pub use model::Model;
pub use model::kind::Group;
pub use profile::profiler::Profiler;
