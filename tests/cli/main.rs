//! Black-box tests of the binary.

mod bad_input;
mod ending;
mod folder;
mod predict;
mod program;
mod verify;
