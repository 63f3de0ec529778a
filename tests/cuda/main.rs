//! Black-box tests of the CUDA device, on softcuda: no GPU is needed, and none is used.

mod clock;
mod devices;
mod faults;
mod kernels;
mod locks;
mod memory;
#[path = "../cli/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the command line")]
mod program;
mod refusals;
mod run;
mod settings;
mod soft;
mod verify;
