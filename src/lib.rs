//! `layertime` measures which layers of a CNN take the time in training.

pub mod device;
pub mod plan;
