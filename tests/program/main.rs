//! Black-box tests of the binary: the command line, and the CUDA device on softcuda.

mod cli;
mod cuda;
mod program;
