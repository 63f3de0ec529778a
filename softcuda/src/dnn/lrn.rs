//! Local response normalisation across channels: y = x * (k + alpha / n * sum of x² over the window)^-beta. The window of
//! channel c is [c - (n - 1) / 2, c + n / 2], as cuDNN has it: for even n not Caffe's.

use super::descriptor::{descriptor, set};
use super::handle::stream_of;
use super::tensor::{Tensor, tensor};
use super::{Blend, check_buffers, enqueue, refuse};
use crate::export::export;
use cudarc::cudnn::sys::{
    self, cudnnHandle_t, cudnnLRNDescriptor_t, cudnnLRNMode_t, cudnnStatus_t, cudnnTensorDescriptor_t,
};
use cudnnStatus_t::*;
use rayon::prelude::*;
use std::ffi::{c_uint, c_void};
use std::ops::Range;

#[derive(Clone, Debug)]
struct Lrn {
    n: usize,
    alpha: f64,
    beta: f64,
    k: f64,
}

descriptor! { LRNS: Lrn, "LRN descriptors", cudnnLRNDescriptor_t, cudnnCreateLRNDescriptor, cudnnDestroyLRNDescriptor }

impl Lrn {
    fn window(&self, c: usize, channels: usize) -> Range<usize> {
        c.saturating_sub((self.n - 1) / 2)..(c + self.n / 2 + 1).min(channels)
    }
    /// The windows that channel `c` belongs to.
    fn windows_of(&self, c: usize, channels: usize) -> Range<usize> {
        c.saturating_sub(self.n / 2)..(c + (self.n - 1) / 2 + 1).min(channels)
    }
    fn scale(&self, x: &[f32], base: usize, c: usize, [channels, pixels]: [usize; 2]) -> f64 {
        let squares: f64 = self.window(c, channels).map(|j| f64::from(x[base + j * pixels]).powi(2)).sum();
        self.k + self.alpha / self.n as f64 * squares
    }
}

/// Fills an image at a time; `f(values of the image's start, channel, pixel)` gives one element.
fn by_image(t: &Tensor, f: impl Fn(usize, usize, usize) -> f64 + Sync) -> Vec<f32> {
    let [_, channels, h, w] = t.dims;
    let (mut out, pixels) = (vec![0.0; t.count()], h * w);
    out.par_chunks_mut(channels * pixels).enumerate().for_each(|(image, out)| {
        for (i, slot) in out.iter_mut().enumerate() {
            *slot = f(image * channels * pixels + i % pixels, i / pixels, pixels) as f32;
        }
    });
    out
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnSetLRNDescriptor(descriptor: cudnnLRNDescriptor_t, n: c_uint, alpha: f64, beta: f64, k: f64) {
    if !(1..=16).contains(&n) || k < 1e-5 || beta < 0.01 {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let lrn = Lrn { n: n as usize, alpha, beta, k };
    if LRNS.change(descriptor, |slot| *slot = Some(lrn)) { Ok(()) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}
fn cudnnLRNCrossChannelForward(
    handle: cudnnHandle_t, descriptor: cudnnLRNDescriptor_t, _mode: cudnnLRNMode_t, alpha: *const c_void, xd: cudnnTensorDescriptor_t,
    x: *const c_void, beta: *const c_void, yd: cudnnTensorDescriptor_t, y: *mut c_void,
) {
    let (stream, lrn, blend) = (stream_of(handle)?, set(LRNS.copy(descriptor))?, Blend::new(alpha, beta)?);
    let (xt, yt, x, y) = (tensor(xd)?, tensor(yd)?, x as u64, y as u64);
    if xt.dims != yt.dims || xt.element != yt.element {
        return refuse(CUDNN_STATUS_BAD_PARAM, "tensors of different shape or type");
    }
    check_buffers(&[(x, xt.bytes()), (y, yt.bytes())])?;
    enqueue(stream, move || {
        let (xs, channels) = (xt.read(x)?, xt.dims[1]);
        let out = by_image(&xt, |base, c, pixels| {
            f64::from(xs[base + c * pixels]) * lrn.scale(&xs, base, c, [channels, pixels]).powf(-lrn.beta)
        });
        yt.write(y, &out, blend)
    })
}
fn cudnnLRNCrossChannelBackward(
    handle: cudnnHandle_t, descriptor: cudnnLRNDescriptor_t, _mode: cudnnLRNMode_t, alpha: *const c_void, yd: cudnnTensorDescriptor_t,
    y: *const c_void, dyd: cudnnTensorDescriptor_t, dy: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void,
    beta: *const c_void, dxd: cudnnTensorDescriptor_t, dx: *mut c_void,
) {
    let (stream, lrn, blend) = (stream_of(handle)?, set(LRNS.copy(descriptor))?, Blend::new(alpha, beta)?);
    let (yt, dyt, xt, dxt) = (tensor(yd)?, tensor(dyd)?, tensor(xd)?, tensor(dxd)?);
    if [&yt, &dyt, &dxt].iter().any(|t| t.dims != xt.dims || t.element != xt.element) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "tensors of different shape or type");
    }
    let (y, dy, x, dx) = (y as u64, dy as u64, x as u64, dx as u64);
    check_buffers(&[(y, yt.bytes()), (dy, dyt.bytes()), (x, xt.bytes()), (dx, dxt.bytes())])?;
    enqueue(stream, move || {
        let (ys, dys, xs, channels) = (yt.read(y)?, dyt.read(dy)?, xt.read(x)?, xt.dims[1]);
        let scales = by_image(&xt, |base, c, pixels| lrn.scale(&xs, base, c, [channels, pixels]));
        let factor = 2.0 * lrn.alpha * lrn.beta / lrn.n as f64;
        let out = by_image(&xt, |base, c, pixels| {
            let at = |j: usize| base + j * pixels;
            let shared: f64 = lrn.windows_of(c, channels)
                .map(|j| f64::from(dys[at(j)]) * f64::from(ys[at(j)]) / f64::from(scales[at(j)]))
                .sum();
            let own = f64::from(dys[at(c)]) * f64::from(scales[at(c)]).powf(-lrn.beta);
            own - factor * f64::from(xs[at(c)]) * shared
        });
        dxt.write(dx, &out, blend)
    })
}
}
