//! The command line.

mod architectures;
mod bad_input;
mod compare;
mod documents;
mod ending;
mod folder;
mod manual;
mod old_runs;
mod plot;
mod predict;
mod ranks;
mod results;
mod show;
mod trace;
mod verify;
