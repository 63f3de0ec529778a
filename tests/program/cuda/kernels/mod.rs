//! Every kernel of `kernels/`, as the PTX that the product embeds, run by the interpreter and compared with plain f64
//! loops at awkward sizes. The interpreter looks for out-of-bounds accesses, uninitialised reads and shared-memory
//! races in each; `watch` proves that it finds them.

mod activation;
mod batchnorm;
mod bias;
mod channels;
mod elementwise;
mod harness;
mod layernorm;
mod lrn;
mod lrn_within;
mod measure;
mod multiply;
mod pick;
mod pool;
mod random;
mod rows;
mod slopes;
mod training;
mod watch;
