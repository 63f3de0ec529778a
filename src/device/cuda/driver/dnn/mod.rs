//! cuDNN: its handle, its descriptors (`descriptor`), and the operations that layers use, each with a Rust face.
//!
//! An operation computes y = f(x), or y = f(x) + y where `accumulate` says so: cuDNN's alpha is one and its beta zero or one.

mod backend;
mod convolution;
mod descriptor;
mod graph;

pub use convolution::{AlgorithmOffer, ConvMemory, Direction, Math, Problem};
pub use descriptor::{
    ActivationDescriptor, ConvolutionDescriptor, FilterDescriptor, LrnDescriptor, PoolingDescriptor, TensorDescriptor,
};
pub use graph::{
    ConvDirection, ConvGraph, ConvPack, ConvPlan, ConvProblem, EngineConfig, EngineNotes, Heuristics, Target,
};

use std::ffi::c_void;
use std::ptr::from_ref;

use cudarc::cudnn::sys::{self, cudnnHandle_t};

use super::call::{CallError, call};
use super::stream::Stream;

/// cuDNN's alpha and beta.
const ONE: f32 = 1.0;
const ZERO: f32 = 0.0;

fn alpha() -> *const c_void {
    from_ref(&ONE).cast()
}

fn beta(accumulate: bool) -> *const c_void {
    from_ref(if accumulate { &ONE } else { &ZERO }).cast()
}

const ACROSS_CHANNELS: sys::cudnnLRNMode_t = sys::cudnnLRNMode_t::CUDNN_LRN_CROSS_CHANNEL_DIM1;

/// Calls a function of cuDNN's that computes y from x: the arguments of its own, then both tensors behind their factors.
macro_rules! forward {
    (cudnn::$name:ident($($own:expr),+), $x:expr, $y:expr) => {
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::$name(
                $($own,)+
                alpha(), $x.tensor.raw(), $x.read(),
                beta(false), $y.tensor.raw(), $y.write()
            ))
        }
    };
}

/// Calls a function of cuDNN's that computes a gradient: the arguments of its own, then y, dy, x and dx.
macro_rules! backward {
    (cudnn::$name:ident($($own:expr),+), $at:expr, $accumulate:expr) => {{
        let GradientRefs { y, dy, x, dx } = $at;
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::$name(
                $($own,)+
                alpha(), y.tensor.raw(), y.read(), dy.tensor.raw(), dy.read(), x.tensor.raw(), x.read(),
                beta($accumulate), dx.tensor.raw(), dx.write()
            ))
        }
    }};
}

/// A handle; its work goes to one stream.
pub struct Dnn {
    handle: cudnnHandle_t,
}

// SAFETY: a handle may be used from any thread, one at a time; whoever owns it uses it alone.
unsafe impl Send for Dnn {}

/// A tensor in device memory.
#[derive(Clone, Copy)]
pub struct TensorRef<'a> {
    /// Shape, type and layout.
    pub tensor: &'a TensorDescriptor,
    /// Device address.
    pub address: u64,
}

impl TensorRef<'_> {
    fn read(self) -> *const c_void {
        self.address as *const c_void
    }

    fn write(self) -> *mut c_void {
        self.address as *mut c_void
    }
}

/// Tensors of a gradient: output, its gradient, input, and the input's gradient, which is computed.
#[derive(Clone, Copy)]
pub struct GradientRefs<'a> {
    /// Output.
    pub y: TensorRef<'a>,
    /// Gradient of the output.
    pub dy: TensorRef<'a>,
    /// Input.
    pub x: TensorRef<'a>,
    /// Gradient of the input.
    pub dx: TensorRef<'a>,
}

/// Device addresses of the numbers that batch normalisation reads and writes per channel, all f32.
#[derive(Clone, Copy)]
pub struct Statistics {
    /// Weights: the outputs' deviations.
    pub gamma: u64,
    /// Biases: the outputs' means.
    pub beta: u64,
    /// The batch's mean, written.
    pub mean: u64,
    /// One over the batch's deviation, written.
    pub inverse: u64,
    /// Running mean, updated.
    pub running_mean: u64,
    /// Running variance, updated.
    pub running_variance: u64,
}

impl Dnn {
    /// A handle for a stream.
    pub fn new(stream: &Stream) -> Result<Dnn, CallError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: an out-pointer to a local.
        unsafe { call!(cudnn::cudnnCreate(&mut handle)) }?;
        let dnn = Dnn { handle };
        // SAFETY: both are alive; the two libraries' stream types are one.
        unsafe { call!(cudnn::cudnnSetStream(handle, stream.handle().cast())) }?;
        Ok(dnn)
    }

    /// y = f(x).
    pub fn activation_forward(
        &self,
        activation: &ActivationDescriptor,
        x: TensorRef,
        y: TensorRef,
    ) -> Result<(), CallError> {
        forward!(cudnn::cudnnActivationForward(self.handle, activation.raw()), x, y)
    }

    /// All four tensors have one shape. A ReLU's x may be its y: they are positive at the same places.
    pub fn activation_backward(
        &self,
        activation: &ActivationDescriptor,
        at: GradientRefs,
        accumulate: bool,
    ) -> Result<(), CallError> {
        backward!(cudnn::cudnnActivationBackward(self.handle, activation.raw()), at, accumulate)
    }

    /// Pools x into y.
    pub fn pooling_forward(&self, pooling: &PoolingDescriptor, x: TensorRef, y: TensorRef) -> Result<(), CallError> {
        forward!(cudnn::cudnnPoolingForward(self.handle, pooling.raw()), x, y)
    }

    /// The gradient of pooling.
    pub fn pooling_backward(
        &self,
        pooling: &PoolingDescriptor,
        at: GradientRefs,
        accumulate: bool,
    ) -> Result<(), CallError> {
        backward!(cudnn::cudnnPoolingBackward(self.handle, pooling.raw()), at, accumulate)
    }

    /// Normalises across channels.
    pub fn lrn_forward(&self, lrn: &LrnDescriptor, x: TensorRef, y: TensorRef) -> Result<(), CallError> {
        forward!(cudnn::cudnnLRNCrossChannelForward(self.handle, lrn.raw(), ACROSS_CHANNELS), x, y)
    }

    /// The gradient of the normalisation.
    pub fn lrn_backward(&self, lrn: &LrnDescriptor, at: GradientRefs, accumulate: bool) -> Result<(), CallError> {
        backward!(cudnn::cudnnLRNCrossChannelBackward(self.handle, lrn.raw(), ACROSS_CHANNELS), at, accumulate)
    }

    /// Per channel, over images and positions; `momentum` is the share of the new batch in the running statistics.
    pub fn batchnorm_forward(
        &self,
        x: TensorRef,
        y: TensorRef,
        channels: &TensorDescriptor,
        of: Statistics,
        eps: f32,
        momentum: f32,
    ) -> Result<(), CallError> {
        let eps = f64::from(eps);
        let momentum = f64::from(momentum);
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::cudnnBatchNormalizationForwardTraining(
                self.handle,
                sys::cudnnBatchNormMode_t::CUDNN_BATCHNORM_SPATIAL,
                alpha(),
                beta(false),
                x.tensor.raw(),
                x.read(),
                y.tensor.raw(),
                y.write(),
                channels.raw(),
                of.gamma as *const c_void,
                of.beta as *const c_void,
                momentum,
                of.running_mean as *mut c_void,
                of.running_variance as *mut c_void,
                eps,
                of.mean as *mut c_void,
                of.inverse as *mut c_void
            ))
        }
    }
}

impl Drop for Dnn {
    fn drop(&mut self) {
        // SAFETY: created in `new`, destroyed nowhere else. Nothing can be done about a failure.
        let _ = unsafe { call!(cudnn::cudnnDestroy(self.handle)) };
    }
}
