//! A small CUDA program that adds vectors, rightly or with a mistake, as its argument says: `good`, `wrong-stream`,
//! `swapped`, `out-of-bounds`, `use-after-free`, `leak`, `early-read`, `timed`, `held`, `stuck`. It knows nothing of
//! softcuda and would run on a GPU; `tests/behaviour.rs` runs it on softcuda. By hand:
//!
//! ```text
//! cargo build --examples
//! cargo run -- target/debug/examples/vector_add out-of-bounds
//! ```

mod program;

fn main() {
    std::process::exit(program::start(&std::env::args().nth(1).unwrap_or_default()))
}
