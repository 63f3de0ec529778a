//! The command line.

mod bad_input;
mod compare;
mod documents;
mod ending;
mod folder;
mod plot;
mod predict;
mod verify;
