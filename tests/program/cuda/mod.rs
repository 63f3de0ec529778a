//! Black-box tests of the CUDA device, on softcuda: no GPU is needed, and none is used.

mod clock;
mod devices;
mod faults;
mod graph;
mod kernels;
mod locks;
mod memory;
mod nvtx;
mod planted;
mod refusals;
mod run;
mod settings;
mod soft;
mod verify;
