//! Activations and softmax.

use super::descriptor::{descriptor, set};
use super::handle::stream_of;
use super::tensor::{Tensor, tensor};
use super::{Blend, Result, check_buffers, enqueue, refuse};
use crate::export::export;
use cudarc::cudnn::sys::{
    self, cudnnActivationDescriptor_t, cudnnActivationMode_t, cudnnHandle_t, cudnnNanPropagation_t,
    cudnnSoftmaxAlgorithm_t, cudnnSoftmaxMode_t, cudnnStatus_t, cudnnTensorDescriptor_t,
};
use cudnnStatus_t::*;
use std::ffi::c_void;

descriptor! { ACTIVATIONS: cudnnActivationMode_t, "activation descriptors", cudnnActivationDescriptor_t, cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor }

/// The function and its derivative by x, given x and y.
type Function = (fn(f32) -> f32, fn(f32, f32) -> f32);

fn function(descriptor: cudnnActivationDescriptor_t) -> Result<Function> {
    match set(ACTIVATIONS.copy(descriptor))? {
        cudnnActivationMode_t::CUDNN_ACTIVATION_RELU => {
            Ok((|x| if x > 0.0 || x.is_nan() { x } else { 0.0 }, |_, y| if y > 0.0 { 1.0 } else { 0.0 }))
        }
        cudnnActivationMode_t::CUDNN_ACTIVATION_SIGMOID => Ok((|x| 1.0 / (1.0 + (-x).exp()), |_, y| y * (1.0 - y))),
        cudnnActivationMode_t::CUDNN_ACTIVATION_TANH => Ok((f32::tanh, |_, y| 1.0 - y * y)),
        other => refuse(CUDNN_STATUS_NOT_SUPPORTED, format!("{other:?} is not modelled")),
    }
}

fn check_same(tensors: &[&Tensor]) -> Result<()> {
    match tensors.iter().find(|t| t.dims != tensors[0].dims || t.element != tensors[0].element) {
        Some(other) => refuse(CUDNN_STATUS_BAD_PARAM, format!("tensors of {:?} and {:?}", tensors[0].dims, other.dims)),
        None => Ok(()),
    }
}

/// Index lists that each sum to 1: an image's elements, or a pixel's channels.
fn softmax_groups(t: &Tensor, mode: cudnnSoftmaxMode_t) -> Vec<Vec<usize>> {
    let [n, c, h, w] = t.dims;
    match mode {
        cudnnSoftmaxMode_t::CUDNN_SOFTMAX_MODE_INSTANCE => {
            (0..n).map(|i| (i * c * h * w..(i + 1) * c * h * w).collect()).collect()
        }
        cudnnSoftmaxMode_t::CUDNN_SOFTMAX_MODE_CHANNEL => {
            (0..n * h * w).map(|p| (0..c).map(|j| (p / (h * w) * c + j) * h * w + p % (h * w)).collect()).collect()
        }
    }
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnSetActivationDescriptor(
    descriptor: cudnnActivationDescriptor_t, mode: cudnnActivationMode_t, _nan: cudnnNanPropagation_t, _coefficient: f64,
) {
    if ACTIVATIONS.change(descriptor, |slot| *slot = Some(mode)) { Ok(()) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}
fn cudnnActivationForward(
    handle: cudnnHandle_t, descriptor: cudnnActivationDescriptor_t, alpha: *const c_void, xd: cudnnTensorDescriptor_t,
    x: *const c_void, beta: *const c_void, yd: cudnnTensorDescriptor_t, y: *mut c_void,
) {
    let (stream, (f, _), blend) = (stream_of(handle)?, function(descriptor)?, Blend::new(alpha, beta)?);
    let (xt, yt, x, y) = (tensor(xd)?, tensor(yd)?, x as u64, y as u64);
    check_same(&[&xt, &yt])?;
    check_buffers(&[(x, xt.bytes()), (y, yt.bytes())])?;
    enqueue(stream, move || {
        let out: Vec<f32> = xt.read(x)?.into_iter().map(f).collect();
        yt.write(y, &out, blend)
    })
}
fn cudnnActivationBackward(
    handle: cudnnHandle_t, descriptor: cudnnActivationDescriptor_t, alpha: *const c_void, yd: cudnnTensorDescriptor_t,
    y: *const c_void, dyd: cudnnTensorDescriptor_t, dy: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void,
    beta: *const c_void, dxd: cudnnTensorDescriptor_t, dx: *mut c_void,
) {
    let (stream, (_, derivative), blend) = (stream_of(handle)?, function(descriptor)?, Blend::new(alpha, beta)?);
    let (yt, dyt, xt, dxt) = (tensor(yd)?, tensor(dyd)?, tensor(xd)?, tensor(dxd)?);
    check_same(&[&yt, &dyt, &xt, &dxt])?;
    let (y, dy, x, dx) = (y as u64, dy as u64, x as u64, dx as u64);
    check_buffers(&[(y, yt.bytes()), (dy, dyt.bytes()), (x, xt.bytes()), (dx, dxt.bytes())])?;
    enqueue(stream, move || {
        let (ys, dys, xs) = (yt.read(y)?, dyt.read(dy)?, xt.read(x)?);
        // chosen, not multiplied by 0: an infinite gradient of a closed unit is 0
        let gradient = |i: usize| match derivative(xs[i], ys[i]) {
            0.0 => 0.0,
            slope => dys[i] * slope,
        };
        let out: Vec<f32> = (0..ys.len()).map(gradient).collect();
        dxt.write(dx, &out, blend)
    })
}
fn cudnnSoftmaxForward(
    handle: cudnnHandle_t, algorithm: cudnnSoftmaxAlgorithm_t, mode: cudnnSoftmaxMode_t, alpha: *const c_void,
    xd: cudnnTensorDescriptor_t, x: *const c_void, beta: *const c_void, yd: cudnnTensorDescriptor_t, y: *mut c_void,
) {
    let (stream, blend) = (stream_of(handle)?, Blend::new(alpha, beta)?);
    let (xt, yt, x, y) = (tensor(xd)?, tensor(yd)?, x as u64, y as u64);
    check_same(&[&xt, &yt])?;
    check_buffers(&[(x, xt.bytes()), (y, yt.bytes())])?;
    enqueue(stream, move || {
        let (values, mut out) = (xt.read(x)?, vec![0.0; xt.count()]);
        for group in softmax_groups(&xt, mode) {
            let top = group.iter().map(|&i| values[i]).fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = group.iter().map(|&i| (values[i] - top).exp()).sum();
            let log = algorithm == cudnnSoftmaxAlgorithm_t::CUDNN_SOFTMAX_LOG;
            for i in group {
                out[i] = if log { values[i] - top - sum.ln() } else { (values[i] - top).exp() / sum };
            }
        }
        yt.write(y, &out, blend)
    })
}
fn cudnnSoftmaxBackward(
    handle: cudnnHandle_t, algorithm: cudnnSoftmaxAlgorithm_t, mode: cudnnSoftmaxMode_t, alpha: *const c_void,
    yd: cudnnTensorDescriptor_t, y: *const c_void, dyd: cudnnTensorDescriptor_t, dy: *const c_void, beta: *const c_void,
    dxd: cudnnTensorDescriptor_t, dx: *mut c_void,
) {
    let (stream, blend) = (stream_of(handle)?, Blend::new(alpha, beta)?);
    let (yt, dyt, dxt, y, dy, dx) = (tensor(yd)?, tensor(dyd)?, tensor(dxd)?, y as u64, dy as u64, dx as u64);
    check_same(&[&yt, &dyt, &dxt])?;
    check_buffers(&[(y, yt.bytes()), (dy, dyt.bytes()), (dx, dxt.bytes())])?;
    enqueue(stream, move || {
        let (ys, dys, mut out) = (yt.read(y)?, dyt.read(dy)?, vec![0.0; yt.count()]);
        for group in softmax_groups(&yt, mode) {
            let log = algorithm == cudnnSoftmaxAlgorithm_t::CUDNN_SOFTMAX_LOG;
            let sum: f32 = group.iter().map(|&i| if log { dys[i] } else { ys[i] * dys[i] }).sum();
            for i in group {
                out[i] = if log { dys[i] - ys[i].exp() * sum } else { ys[i] * (dys[i] - sum) };
            }
        }
        dxt.write(dx, &out, blend)
    })
}
}
