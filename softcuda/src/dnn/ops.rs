//! Sums of tensors with broadcasting, layout changes, fills.

use super::descriptor::{descriptor, set};
use super::handle::stream_of;
use super::tensor::{Tensor, tensor};
use super::{Blend, Result, check_buffers, enqueue, refuse};
use crate::export::export;
use cudarc::cudnn::sys::{
    self, cudnnDataType_t, cudnnHandle_t, cudnnNanPropagation_t, cudnnOpTensorDescriptor_t, cudnnOpTensorOp_t,
    cudnnStatus_t, cudnnTensorDescriptor_t,
};
use cudnnStatus_t::*;
use std::ffi::c_void;

descriptor! { OPERATIONS: cudnnOpTensorOp_t, "tensor operation descriptors", cudnnOpTensorDescriptor_t, cudnnCreateOpTensorDescriptor, cudnnDestroyOpTensorDescriptor }

/// `values` of `from`, repeated along its dimensions of 1 to the shape of `to`.
fn broadcast(values: &[f32], from: &Tensor, to: &Tensor) -> Vec<f32> {
    let [_, c, h, w] = to.dims;
    let index = |i: usize| {
        let at = [i / (c * h * w), i / (h * w) % c, i / w % h, i % w];
        at.iter().zip(from.dims).fold(0, |index, (&at, d)| index * d + if d == 1 { 0 } else { at })
    };
    (0..to.count()).map(|i| values[index(i)]).collect()
}

fn check_broadcast(from: &Tensor, to: &Tensor) -> Result<()> {
    if from.dims.iter().zip(to.dims).all(|(&a, b)| a == b || a == 1) && from.element == to.element {
        return Ok(());
    }
    refuse(
        CUDNN_STATUS_BAD_PARAM,
        format!("{:?} does not broadcast to {:?}, or is of another type", from.dims, to.dims),
    )
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnAddTensor(
    handle: cudnnHandle_t, alpha: *const c_void, ad: cudnnTensorDescriptor_t, a: *const c_void, beta: *const c_void,
    cd: cudnnTensorDescriptor_t, c: *mut c_void,
) {
    let (stream, blend, at, ct) = (stream_of(handle)?, Blend::new(alpha, beta)?, tensor(ad)?, tensor(cd)?);
    check_broadcast(&at, &ct)?;
    let (a, c) = (a as u64, c as u64);
    check_buffers(&[(a, at.bytes()), (c, ct.bytes())])?;
    enqueue(stream, move || ct.write(c, &broadcast(&at.read(a)?, &at, &ct), blend))
}
fn cudnnSetOpTensorDescriptor(
    descriptor: cudnnOpTensorDescriptor_t, op: cudnnOpTensorOp_t, _ty: cudnnDataType_t, _nan: cudnnNanPropagation_t,
) {
    if OPERATIONS.change(descriptor, |slot| *slot = Some(op)) { Ok(()) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}
fn cudnnOpTensor(
    handle: cudnnHandle_t, descriptor: cudnnOpTensorDescriptor_t, alpha1: *const c_void, ad: cudnnTensorDescriptor_t, a: *const c_void,
    alpha2: *const c_void, bd: cudnnTensorDescriptor_t, b: *const c_void, beta: *const c_void, cd: cudnnTensorDescriptor_t,
    c: *mut c_void,
) {
    let f: fn(f32, f32) -> f32 = match set(OPERATIONS.copy(descriptor))? {
        cudnnOpTensorOp_t::CUDNN_OP_TENSOR_ADD => |a, b| a + b,
        cudnnOpTensorOp_t::CUDNN_OP_TENSOR_MUL => |a, b| a * b,
        cudnnOpTensorOp_t::CUDNN_OP_TENSOR_MIN => f32::min,
        cudnnOpTensorOp_t::CUDNN_OP_TENSOR_MAX => f32::max,
        other => return refuse(CUDNN_STATUS_NOT_SUPPORTED, format!("{other:?} is not modelled")),
    };
    let (stream, first, second) = (stream_of(handle)?, Blend::new(alpha1, beta)?, Blend::new(alpha2, beta)?);
    let (at, bt, ct) = (tensor(ad)?, tensor(bd)?, tensor(cd)?);
    check_broadcast(&at, &ct)?;
    check_broadcast(&bt, &ct)?;
    let (a, b, c) = (a as u64, b as u64, c as u64);
    check_buffers(&[(a, at.bytes()), (b, bt.bytes()), (c, ct.bytes())])?;
    enqueue(stream, move || {
        let (left, right) = (broadcast(&at.read(a)?, &at, &ct), broadcast(&bt.read(b)?, &bt, &ct));
        let out: Vec<f32> = left.iter().zip(&right).map(|(l, r)| f(first.alpha * l, second.alpha * r)).collect();
        ct.write(c, &out, Blend { alpha: 1.0, beta: first.beta })
    })
}
fn cudnnTransformTensor(
    handle: cudnnHandle_t, alpha: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void, beta: *const c_void,
    yd: cudnnTensorDescriptor_t, y: *mut c_void,
) {
    let (stream, blend, xt, yt) = (stream_of(handle)?, Blend::new(alpha, beta)?, tensor(xd)?, tensor(yd)?);
    if xt.dims != yt.dims {
        return refuse(CUDNN_STATUS_BAD_PARAM, format!("tensors of {:?} and {:?}", xt.dims, yt.dims));
    }
    let (x, y) = (x as u64, y as u64);
    check_buffers(&[(x, xt.bytes()), (y, yt.bytes())])?;
    enqueue(stream, move || yt.write(y, &xt.read(x)?, blend))
}
fn cudnnSetTensor(handle: cudnnHandle_t, yd: cudnnTensorDescriptor_t, y: *mut c_void, value: *const c_void) {
    let (stream, yt, y) = (stream_of(handle)?, tensor(yd)?, y as u64);
    if value.is_null() {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let value = yt.element.load(value.cast(), 0);
    check_buffers(&[(y, yt.bytes())])?;
    enqueue(stream, move || yt.write(y, &vec![value; yt.count()], Blend::PLAIN))
}
fn cudnnScaleTensor(handle: cudnnHandle_t, yd: cudnnTensorDescriptor_t, y: *mut c_void, alpha: *const c_void) {
    let (stream, blend, yt, y) = (stream_of(handle)?, Blend::new(alpha, alpha)?, tensor(yd)?, y as u64);
    check_buffers(&[(y, yt.bytes())])?;
    enqueue(stream, move || yt.write(y, &yt.read(y)?, Blend { beta: 0.0, ..blend }))
}
}
