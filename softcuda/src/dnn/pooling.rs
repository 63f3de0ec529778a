//! Pooling: windows over planes, floor sizes. Among equal maxima the first wins.

use super::descriptor::{descriptor, set};
use super::handle::stream_of;
use super::tensor::{Tensor, tensor};
use super::{Blend, Result, check_buffers, enqueue, refuse};
use crate::export::{export, put};
use cudarc::cudnn::sys::{
    self, cudnnHandle_t, cudnnNanPropagation_t, cudnnPoolingDescriptor_t, cudnnPoolingMode_t, cudnnStatus_t,
    cudnnTensorDescriptor_t,
};
use cudnnStatus_t::*;
use std::ffi::{c_int, c_void};
use std::ops::Range;

#[derive(Clone, Debug)]
struct Pooling {
    mode: cudnnPoolingMode_t,
    window: [usize; 2],
    pad: [usize; 2],
    stride: [usize; 2],
}

descriptor! { POOLINGS: Pooling, "pooling descriptors", cudnnPoolingDescriptor_t, cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor }

impl Pooling {
    fn output(&self, x: &Tensor) -> Result<[usize; 4]> {
        let size = |axis: usize| {
            let room =
                (x.dims[2 + axis] + 2 * self.pad[axis]).checked_sub(self.window[axis]).ok_or(CUDNN_STATUS_BAD_PARAM)?;
            Ok(room / self.stride[axis] + 1)
        };
        Ok([x.dims[0], x.dims[1], size(0)?, size(1)?])
    }

    /// The inputs that output `o` sees along an axis.
    fn range(&self, axis: usize, o: usize, size: usize) -> Range<usize> {
        let begin = o * self.stride[axis];
        begin.saturating_sub(self.pad[axis])..(begin + self.window[axis]).saturating_sub(self.pad[axis]).min(size)
    }

    fn divisor(&self, rows: &Range<usize>, cols: &Range<usize>) -> f32 {
        match self.mode {
            cudnnPoolingMode_t::CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING => (rows.len() * cols.len()) as f32,
            _ => (self.window[0] * self.window[1]) as f32,
        }
    }

    fn is_max(&self) -> bool {
        matches!(self.mode, cudnnPoolingMode_t::CUDNN_POOLING_MAX | cudnnPoolingMode_t::CUDNN_POOLING_MAX_DETERMINISTIC)
    }

    /// Calls `f(output index, input index, weight)` for every input that an output is made of.
    fn contributions(&self, x: &Tensor, y: &Tensor, values: &[f32], mut f: impl FnMut(usize, usize, f32)) {
        let ([n, c, h, w], [_, _, oh, ow]) = (x.dims, y.dims);
        for plane in 0..n * c {
            let base = plane * h * w;
            for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
                let (rows, cols) = (self.range(0, i, h), self.range(1, j, w));
                let output = (plane * oh + i) * ow + j;
                let inputs = rows.clone().flat_map(|r| cols.clone().map(move |q| base + r * w + q));
                if self.is_max() {
                    let first = inputs.reduce(|best, at| if values[at] > values[best] { at } else { best });
                    if let Some(at) = first {
                        f(output, at, 1.0);
                    }
                } else {
                    let weight = 1.0 / self.divisor(&rows, &cols);
                    inputs.for_each(|at| f(output, at, weight));
                }
            }
        }
    }
}

fn pooling(descriptor: cudnnPoolingDescriptor_t) -> Result<Pooling> {
    set(POOLINGS.copy(descriptor))
}

fn assign(
    descriptor: cudnnPoolingDescriptor_t,
    mode: cudnnPoolingMode_t,
    [window, pad, stride]: [[c_int; 2]; 3],
) -> Result<()> {
    if window.iter().chain(&stride).any(|&v| v < 1) || pad.iter().any(|&v| v < 0) {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let [window, pad, stride] = [window, pad, stride].map(|pair| pair.map(|v| v as usize));
    let pooling = Pooling { mode, window, pad, stride };
    if POOLINGS.change(descriptor, |slot| *slot = Some(pooling)) { Ok(()) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}

fn check_shapes(p: &Pooling, x: &Tensor, y: &Tensor) -> Result<()> {
    let expected = p.output(x)?;
    if y.dims != expected || x.element != y.element {
        return refuse(
            CUDNN_STATUS_BAD_PARAM,
            format!("the output is {:?} instead of {expected:?}, or of another type", y.dims),
        );
    }
    Ok(())
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnSetPooling2dDescriptor(
    descriptor: cudnnPoolingDescriptor_t, mode: cudnnPoolingMode_t, _nan: cudnnNanPropagation_t, h: c_int, w: c_int, pad_h: c_int,
    pad_w: c_int, stride_h: c_int, stride_w: c_int,
) {
    assign(descriptor, mode, [[h, w], [pad_h, pad_w], [stride_h, stride_w]])
}
fn cudnnSetPoolingNdDescriptor(
    descriptor: cudnnPoolingDescriptor_t, mode: cudnnPoolingMode_t, _nan: cudnnNanPropagation_t, count: c_int, window: *const c_int,
    pad: *const c_int, stride: *const c_int,
) {
    if count != 2 {
        return Err(CUDNN_STATUS_NOT_SUPPORTED);
    }
    assign(descriptor, mode, [window, pad, stride].map(|p| p.cast::<[c_int; 2]>().read()))
}
fn cudnnGetPooling2dForwardOutputDim(
    descriptor: cudnnPoolingDescriptor_t, x: cudnnTensorDescriptor_t, n: *mut c_int, c: *mut c_int, h: *mut c_int, w: *mut c_int,
) {
    let dims = pooling(descriptor)?.output(&tensor(x)?)?;
    for (to, value) in [n, c, h, w].into_iter().zip(dims) {
        put(to, value as c_int)?;
    }
    Ok(())
}
fn cudnnPoolingForward(
    handle: cudnnHandle_t, descriptor: cudnnPoolingDescriptor_t, alpha: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void,
    beta: *const c_void, yd: cudnnTensorDescriptor_t, y: *mut c_void,
) {
    let (stream, p, blend) = (stream_of(handle)?, pooling(descriptor)?, Blend::new(alpha, beta)?);
    let (xt, yt, x, y) = (tensor(xd)?, tensor(yd)?, x as u64, y as u64);
    check_shapes(&p, &xt, &yt)?;
    check_buffers(&[(x, xt.bytes()), (y, yt.bytes())])?;
    enqueue(stream, move || {
        let (values, mut out) = (xt.read(x)?, vec![0.0; yt.count()]);
        p.contributions(&xt, &yt, &values, |o, i, weight| out[o] += values[i] * weight);
        yt.write(y, &out, blend)
    })
}
fn cudnnPoolingBackward(
    handle: cudnnHandle_t, descriptor: cudnnPoolingDescriptor_t, alpha: *const c_void, yd: cudnnTensorDescriptor_t, y: *const c_void,
    dyd: cudnnTensorDescriptor_t, dy: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void, beta: *const c_void,
    dxd: cudnnTensorDescriptor_t, dx: *mut c_void,
) {
    let (stream, p, blend) = (stream_of(handle)?, pooling(descriptor)?, Blend::new(alpha, beta)?);
    let (yt, dyt, xt, dxt) = (tensor(yd)?, tensor(dyd)?, tensor(xd)?, tensor(dxd)?);
    check_shapes(&p, &xt, &yt)?;
    check_shapes(&p, &dxt, &dyt)?;
    let (y, dy, x, dx) = (y as u64, dy as u64, x as u64, dx as u64);
    check_buffers(&[(y, yt.bytes()), (dy, dyt.bytes()), (x, xt.bytes()), (dx, dxt.bytes())])?;
    enqueue(stream, move || {
        yt.read(y)?;
        let (values, gradient, mut out) = (xt.read(x)?, dyt.read(dy)?, vec![0.0; dxt.count()]);
        p.contributions(&xt, &yt, &values, |o, i, weight| out[i] += gradient[o] * weight);
        dxt.write(dx, &out, blend)
    })
}
}
