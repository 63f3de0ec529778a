//! A PTX interpreter: runs the very kernels that the product embeds, a warp of 32 lanes at a time, and watches each
//! memory access: bounds, use after free, uninitialised reads, alignment, shared-memory races.
//!
//! `lex` and `parse` read a module, `decode` and `lanes` turn mnemonics into functions over lanes, `warp` executes
//! them, `access` and `shared` are its memory, `launch` walks the grid. Only what nvcc and NVRTC make of `kernels/`
//! is understood; anything else is refused at load time, with its line.

mod access;
mod decode;
mod forms;
mod isa;
mod lane_mask;

mod launch;
mod lex;
mod mnemonic;
mod parse;
mod shared;
#[cfg(test)]
mod tests;
mod warp;

pub(crate) use decode::SPECIAL_REGISTERS;
pub(crate) use forms::SECTIONS;
pub use isa::{Kernel, Parameter};
pub use launch::{KernelError, Launch, launch};
pub use parse::{Module, parse};
