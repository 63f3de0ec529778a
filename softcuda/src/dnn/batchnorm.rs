//! Batch normalisation with training statistics, per channel (the spatial modes).

use super::handle::stream_of;
use super::tensor::{Tensor, tensor};
use super::{Blend, Result, check_buffers, enqueue, refuse};
use crate::element::Element;
use crate::export::export;
use cudarc::cudnn::sys::{
    self, cudnnBatchNormMode_t, cudnnHandle_t, cudnnStatus_t, cudnnTensorDescriptor_t, cudnnTensorFormat_t,
};
use cudnnStatus_t::*;
use std::ffi::{c_int, c_void};

/// The values of one channel: indices in N,C,H,W order.
fn channel(t: &Tensor, c: usize) -> impl Iterator<Item = usize> {
    let ([n, channels, h, w], pixels) = (t.dims, t.dims[2] * t.dims[3]);
    (0..n * h * w).map(move |i| (i / pixels * channels + c) * pixels + i % pixels)
}

/// Mean and biased variance of one channel.
fn moments(t: &Tensor, x: &[f32], c: usize) -> (f64, f64) {
    let n = (t.count() / t.dims[1]) as f64;
    let mean = channel(t, c).map(|i| f64::from(x[i])).sum::<f64>() / n;
    (mean, channel(t, c).map(|i| (f64::from(x[i]) - mean).powi(2)).sum::<f64>() / n)
}

/// The parameters' tensor: [1, C, 1, 1] in f32.
fn check(mode: cudnnBatchNormMode_t, parameters: &Tensor, tensors: &[&Tensor]) -> Result<()> {
    if mode == cudnnBatchNormMode_t::CUDNN_BATCHNORM_PER_ACTIVATION {
        return refuse(CUDNN_STATUS_NOT_SUPPORTED, "batch normalisation per activation is not modelled");
    }
    let x = tensors[0];
    if parameters.dims != [1, x.dims[1], 1, 1] || parameters.element != Element::F32 {
        return refuse(CUDNN_STATUS_BAD_PARAM, format!("parameters of {:?} for {:?}", parameters.dims, x.dims));
    }
    if tensors.iter().any(|t| t.dims != x.dims || t.element != x.element) {
        return refuse(CUDNN_STATUS_BAD_PARAM, "tensors of different shape or type");
    }
    Ok(())
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnDeriveBNTensorDescriptor(derived: cudnnTensorDescriptor_t, x: cudnnTensorDescriptor_t, _mode: cudnnBatchNormMode_t) {
    let c = tensor(x)?.dims[1] as c_int;
    let format = cudnnTensorFormat_t::CUDNN_TENSOR_NCHW;
    match super::tensor::cudnnSetTensor4dDescriptor(derived, format, sys::cudnnDataType_t::CUDNN_DATA_FLOAT, 1, c, 1, 1) {
        CUDNN_STATUS_SUCCESS => Ok(()),
        status => Err(status),
    }
}
fn cudnnBatchNormalizationForwardTraining(
    handle: cudnnHandle_t, mode: cudnnBatchNormMode_t, alpha: *const c_void, beta: *const c_void, xd: cudnnTensorDescriptor_t,
    x: *const c_void, yd: cudnnTensorDescriptor_t, y: *mut c_void, pd: cudnnTensorDescriptor_t, gamma: *const c_void,
    offset: *const c_void, factor: f64, running_mean: *mut c_void, running_variance: *mut c_void, epsilon: f64,
    saved_mean: *mut c_void, saved_inverse: *mut c_void,
) {
    let (stream, blend) = (stream_of(handle)?, Blend::new(alpha, beta)?);
    let (xt, yt, pt) = (tensor(xd)?, tensor(yd)?, tensor(pd)?);
    check(mode, &pt, &[&xt, &yt])?;
    let [x, y, gamma, offset] = [x as u64, y as u64, gamma as u64, offset as u64];
    let [running_mean, running_variance, saved_mean, saved_inverse] =
        [running_mean, running_variance, saved_mean, saved_inverse].map(|p| p as u64);
    check_buffers(&[(x, xt.bytes()), (y, yt.bytes()), (gamma, pt.bytes()), (offset, pt.bytes())])?;
    if (running_mean == 0) != (running_variance == 0) || (saved_mean == 0) != (saved_inverse == 0) {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    enqueue(stream, move || {
        let (xs, gammas, offsets, channels) = (xt.read(x)?, pt.read(gamma)?, pt.read(offset)?, xt.dims[1]);
        let count = (xt.count() / channels) as f64;
        let stats: Vec<(f64, f64)> = (0..channels).map(|c| moments(&xt, &xs, c)).collect();
        let inverses: Vec<f64> = stats.iter().map(|(_, variance)| 1.0 / (variance + epsilon).sqrt()).collect();
        let mut out = vec![0.0; xt.count()];
        for c in 0..channels {
            for i in channel(&xt, c) {
                out[i] = ((f64::from(xs[i]) - stats[c].0) * inverses[c]) as f32 * gammas[c] + offsets[c];
            }
        }
        yt.write(y, &out, blend)?;
        let column = |f: &dyn Fn(usize) -> f64| (0..channels).map(|c| f(c) as f32).collect::<Vec<f32>>();
        if running_mean != 0 {
            let blend = Blend { alpha: factor as f32, beta: (1.0 - factor) as f32 };
            pt.write(running_mean, &column(&|c| stats[c].0), blend)?;
            pt.write(running_variance, &column(&|c| stats[c].1 * count / (count - 1.0).max(1.0)), blend)?;
        }
        if saved_mean != 0 {
            pt.write(saved_mean, &column(&|c| stats[c].0), Blend::PLAIN)?;
            pt.write(saved_inverse, &column(&|c| inverses[c]), Blend::PLAIN)?;
        }
        Ok(())
    })
}
fn cudnnBatchNormalizationBackward(
    handle: cudnnHandle_t, mode: cudnnBatchNormMode_t, alpha: *const c_void, beta: *const c_void, alpha_p: *const c_void,
    beta_p: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void, dyd: cudnnTensorDescriptor_t, dy: *const c_void,
    dxd: cudnnTensorDescriptor_t, dx: *mut c_void, pd: cudnnTensorDescriptor_t, gamma: *const c_void, dgamma: *mut c_void,
    dbeta: *mut c_void, epsilon: f64, saved_mean: *const c_void, saved_inverse: *const c_void,
) {
    let (stream, data, parameters) = (stream_of(handle)?, Blend::new(alpha, beta)?, Blend::new(alpha_p, beta_p)?);
    let (xt, dyt, dxt, pt) = (tensor(xd)?, tensor(dyd)?, tensor(dxd)?, tensor(pd)?);
    check(mode, &pt, &[&xt, &dyt, &dxt])?;
    let [x, dy, dx, gamma] = [x as u64, dy as u64, dx as u64, gamma as u64];
    let [dgamma, dbeta, saved_mean, saved_inverse] = [dgamma as u64, dbeta as u64, saved_mean as u64, saved_inverse as u64];
    check_buffers(&[(x, xt.bytes()), (dy, dyt.bytes()), (dx, dxt.bytes()), (gamma, pt.bytes()), (dgamma, pt.bytes()), (dbeta, pt.bytes())])?;
    enqueue(stream, move || {
        let (xs, dys, gammas, channels) = (xt.read(x)?, dyt.read(dy)?, pt.read(gamma)?, xt.dims[1]);
        let saved = if saved_mean == 0 { None } else { Some((pt.read(saved_mean)?, pt.read(saved_inverse)?)) };
        let n = (xt.count() / channels) as f64;
        let (mut out, mut sums, mut products) = (vec![0.0; xt.count()], vec![0.0; channels], vec![0.0; channels]);
        for c in 0..channels {
            let (mean, inverse) = match &saved {
                Some((means, inverses)) => (f64::from(means[c]), f64::from(inverses[c])),
                None => { let (mean, variance) = moments(&xt, &xs, c); (mean, 1.0 / (variance + epsilon).sqrt()) }
            };
            let xhat = |i: usize| (f64::from(xs[i]) - mean) * inverse;
            let sum: f64 = channel(&xt, c).map(|i| f64::from(dys[i])).sum();
            let product: f64 = channel(&xt, c).map(|i| f64::from(dys[i]) * xhat(i)).sum();
            for i in channel(&xt, c) {
                let inner = f64::from(dys[i]) - sum / n - xhat(i) * product / n;
                out[i] = (f64::from(gammas[c]) * inverse * inner) as f32;
            }
            (sums[c], products[c]) = (sum as f32, product as f32);
        }
        dxt.write(dx, &out, data)?;
        pt.write(dgamma, &products, parameters)?;
        pt.write(dbeta, &sums, parameters)
    })
}
}

#[cfg(test)]
mod tests {
    use super::super::tensor::packed;
    use super::*;

    #[test]
    fn channels_are_found_in_nchw_order() {
        let t = Tensor { element: Element::F32, dims: [2, 3, 1, 2], strides: packed([2, 3, 1, 2], true) };
        assert_eq!(channel(&t, 1).collect::<Vec<_>>(), [2, 3, 8, 9]);
        let x: Vec<f32> = (0..12).map(|v| v as f32).collect();
        assert_eq!(moments(&t, &x, 1), (5.5, 9.25));
    }
}
