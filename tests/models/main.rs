//! Networks from files of other programs, and the built-in ones, against counts of PyTorch's.

mod builtin;
mod onnx;
mod plan;
mod prototxt;
