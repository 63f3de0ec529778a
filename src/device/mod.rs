//! Devices that can run a training step.

pub mod cpu;
