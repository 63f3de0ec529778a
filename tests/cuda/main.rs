//! Black-box tests of the CUDA device, on softcuda: no GPU is needed, and none is used.

mod devices;
mod locks;
#[path = "../cli/program.rs"]
mod program;
