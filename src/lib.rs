//! `layertime` measures which layers of a CNN take the time in training: in which phase, and at which batch size.
//!
//! Data flows one way:
//! [`model`] (a described network) → [`plan`] (shapes and costs at one batch size) → [`step`] (a training step's order) →
//! [`device`] (a session that runs it) → [`profile`] (samples) → [`stats`] (what they say) → [`report`] (rows, files, tables).
//! [`predict`] takes a plan to the rows of a GPU that is not here, by arithmetic.
//! [`verify`] checks a device's arithmetic.

pub mod device;
pub mod init;
pub mod interrupt;
pub mod model;
pub mod philox;
pub mod plan;
pub mod predict;
pub mod profile;
pub mod report;
pub mod stats;
pub mod step;
pub mod units;
pub mod verify;
mod words;
