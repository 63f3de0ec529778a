//! A PTX interpreter. It runs kernels a warp of 32 lanes at a time, and watches each memory access: bounds, use after free,
//! uninitialised reads, alignment, shared-memory races.
//!
//! The driver runs every launch of a program on it. A test may also run single kernels in its own process:
//!
//! ```
//! use softcuda::{Buffer, FindingKind, ptx};
//!
//! let module = ptx::parse(
//!     ".version 6.0
//!     .target sm_60
//!     .address_size 64
//!     .visible .entry double(.param .u64 values)
//!     {
//!         .reg .b32 %r<3>;
//!         .reg .b64 %rd<3>;
//!         mov.u32 %r1, %tid.x;
//!         ld.param.u64 %rd1, [values];
//!         mad.wide.u32 %rd2, %r1, 4, %rd1;
//!         ld.global.u32 %r2, [%rd2];
//!         add.s32 %r2, %r2, %r2;
//!         st.global.u32 [%rd2], %r2;
//!     }",
//! )?;
//! let values = Buffer::of(&[1u32, 2, 3]);
//! let parameters = values.address().to_le_bytes();
//! let launch = |threads| ptx::Launch { grid: [1, 1, 1], block: [threads, 1, 1], dynamic_shared: 0, parameters: &parameters };
//! ptx::launch(&module["double"], &launch(3))?;
//! assert_eq!(values.read()?, [2, 4, 6]);
//!
//! let error = ptx::launch(&module["double"], &launch(4)).unwrap_err();
//! assert_eq!((error.kind, error.thread), (FindingKind::OutOfBounds, Some(3)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// `lex` and `parse` read a module, `decode` turns mnemonics and operands into instructions by the table in `forms`, `warp`
// executes them, `access` and `shared` are its memory, `launch` walks the grid.
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

use crate::finding::{Finding, FindingKind};

pub(crate) use decode::SPECIAL_REGISTERS;
pub(crate) use forms::SECTIONS;
pub use isa::{Kernel, Parameter};
pub use launch::{KernelError, Launch, launch};
pub use parse::Module;

/// Reads a module.
///
/// # Errors
/// Something that the interpreter does not know, or that is no PTX, with its line.
pub fn parse(source: &str) -> Result<Module, Finding> {
    parse::parse(source).map_err(|what| Finding::new(FindingKind::UnsupportedPtx, what))
}
