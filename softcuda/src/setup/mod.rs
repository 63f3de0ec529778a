//! Putting softcuda in the place of NVIDIA's libraries for a program.

mod builder;
mod libraries;

pub use builder::Softcuda;
pub use libraries::{Library, library};
