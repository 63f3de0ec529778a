//! Black-box tests of the binary.

mod bad_input;
mod compare;
mod ending;
mod folder;
mod old_runs;
mod plot;
mod predict;
mod program;
mod verify;
