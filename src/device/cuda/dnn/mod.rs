//! cuDNN: its handle, its descriptors (`descriptor`), and the operations that layers use, each with a Rust face.
//!
//! An operation computes y = f(x), or y = f(x) + y where `accumulate` says so: cuDNN's alpha is one and its beta zero or one.

mod convolution;
mod descriptor;

pub use convolution::{Direction, Found, Places, Problem};
pub use descriptor::{Activation, Convolution, Filter, Lrn, Pooling, Tensor};

use std::ffi::c_void;
use std::ptr::from_ref;

use cudarc::cudnn::sys::{self, cudnnHandle_t};

use super::call::{Fault, call};
use super::stream::Stream;

/// What cuDNN calls alpha and beta.
const ONE: f32 = 1.0;
const ZERO: f32 = 0.0;

fn alpha() -> *const c_void {
    from_ref(&ONE).cast()
}

fn beta(accumulate: bool) -> *const c_void {
    from_ref(if accumulate { &ONE } else { &ZERO }).cast()
}

/// A handle; its work goes to one stream.
pub struct Dnn {
    handle: cudnnHandle_t,
}

// SAFETY: a handle may be used from any thread, one at a time; whoever owns it uses it alone.
unsafe impl Send for Dnn {}

/// A tensor in device memory.
#[derive(Clone, Copy)]
pub struct At<'a> {
    pub tensor: &'a Tensor,
    pub address: u64,
}

impl At<'_> {
    fn read(self) -> *const c_void {
        self.address as *const c_void
    }

    fn write(self) -> *mut c_void {
        self.address as *mut c_void
    }
}

/// What batch normalisation reads and writes per channel, all f32.
#[derive(Clone, Copy)]
pub struct Statistics {
    pub gamma: u64,
    pub beta: u64,
    pub mean: u64,
    pub inverse: u64,
    pub running_mean: u64,
    pub running_variance: u64,
}

impl Dnn {
    pub fn new(stream: &Stream) -> Result<Dnn, Fault> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: an out-pointer to a local.
        unsafe { call!(cudnn::cudnnCreate(&mut handle)) }?;
        let dnn = Dnn { handle };
        // SAFETY: both are alive; the two libraries' stream types are one.
        unsafe { call!(cudnn::cudnnSetStream(handle, stream.handle().cast())) }?;
        Ok(dnn)
    }

    pub fn activation_forward(&self, activation: &Activation, x: At, y: At) -> Result<(), Fault> {
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::cudnnActivationForward(
                self.handle,
                activation.raw(),
                alpha(),
                x.tensor.raw(),
                x.read(),
                beta(false),
                y.tensor.raw(),
                y.write()
            ))
        }
    }

    /// All four tensors have one shape. A ReLU's x may be its y: they are positive at the same places.
    pub fn activation_backward(
        &self,
        activation: &Activation,
        [y, dy, x, dx]: [At; 4],
        accumulate: bool,
    ) -> Result<(), Fault> {
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::cudnnActivationBackward(
                self.handle,
                activation.raw(),
                alpha(),
                y.tensor.raw(),
                y.read(),
                dy.tensor.raw(),
                dy.read(),
                x.tensor.raw(),
                x.read(),
                beta(accumulate),
                dx.tensor.raw(),
                dx.write()
            ))
        }
    }

    pub fn pooling_forward(&self, pooling: &Pooling, x: At, y: At) -> Result<(), Fault> {
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::cudnnPoolingForward(
                self.handle,
                pooling.raw(),
                alpha(),
                x.tensor.raw(),
                x.read(),
                beta(false),
                y.tensor.raw(),
                y.write()
            ))
        }
    }

    pub fn pooling_backward(&self, pooling: &Pooling, [y, dy, x, dx]: [At; 4], accumulate: bool) -> Result<(), Fault> {
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::cudnnPoolingBackward(
                self.handle,
                pooling.raw(),
                alpha(),
                y.tensor.raw(),
                y.read(),
                dy.tensor.raw(),
                dy.read(),
                x.tensor.raw(),
                x.read(),
                beta(accumulate),
                dx.tensor.raw(),
                dx.write()
            ))
        }
    }

    pub fn lrn_forward(&self, lrn: &Lrn, x: At, y: At) -> Result<(), Fault> {
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::cudnnLRNCrossChannelForward(
                self.handle,
                lrn.raw(),
                sys::cudnnLRNMode_t::CUDNN_LRN_CROSS_CHANNEL_DIM1,
                alpha(),
                x.tensor.raw(),
                x.read(),
                beta(false),
                y.tensor.raw(),
                y.write()
            ))
        }
    }

    pub fn lrn_backward(&self, lrn: &Lrn, [y, dy, x, dx]: [At; 4], accumulate: bool) -> Result<(), Fault> {
        // SAFETY: live handle and descriptors; the addresses are the device's.
        unsafe {
            call!(cudnn::cudnnLRNCrossChannelBackward(
                self.handle,
                lrn.raw(),
                sys::cudnnLRNMode_t::CUDNN_LRN_CROSS_CHANNEL_DIM1,
                alpha(),
                y.tensor.raw(),
                y.read(),
                dy.tensor.raw(),
                dy.read(),
                x.tensor.raw(),
                x.read(),
                beta(accumulate),
                dx.tensor.raw(),
                dx.write()
            ))
        }
    }

    /// Per channel, over images and positions; `momentum` is the share of the new batch in the running statistics.
    pub fn batchnorm_forward(
        &self,
        [x, y]: [At; 2],
        channels: &Tensor,
        of: Statistics,
        eps: f32,
        momentum: f32,
    ) -> Result<(), Fault> {
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
