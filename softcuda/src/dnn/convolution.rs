//! Convolution descriptors, output dimensions, and the convolutions themselves.

use super::algorithm::{self, Direction};
use super::descriptor::{data_type, descriptor, element, runs_here, set};
use super::filter::filter;
use super::handle::stream_of;
use super::im2col::{self, Geometry};
use super::tensor::{Tensor, tensor};
use super::{Blend, Result, check_buffers, enqueue, refuse};
use crate::element::{Element, tf32};
use crate::export::{export, put};
use crate::finding::Finding;
use crate::settings::SETTINGS;
use cudarc::cudnn::sys::{
    self, cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionDescriptor_t,
    cudnnConvolutionFwdAlgo_t, cudnnConvolutionMode_t, cudnnDataType_t, cudnnFilterDescriptor_t, cudnnHandle_t,
    cudnnMathType_t, cudnnStatus_t, cudnnTensorDescriptor_t,
};
use cudnnStatus_t::*;
use std::ffi::{c_int, c_void};

#[derive(Clone, Debug)]
pub struct Convolution {
    pad: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    mode: cudnnConvolutionMode_t,
    compute: Element,
    pub math: cudnnMathType_t,
    groups: usize,
}

impl Convolution {
    /// A fresh descriptor's math type lets f32 tensors be rounded to TF32 on devices that have it.
    const DEFAULT: Convolution = Convolution {
        pad: [0; 2],
        stride: [1; 2],
        dilation: [1; 2],
        mode: cudnnConvolutionMode_t::CUDNN_CONVOLUTION,
        compute: Element::F32,
        math: cudnnMathType_t::CUDNN_DEFAULT_MATH,
        groups: 1,
    };

    /// As the graph API describes one: groups follow from the tensors, arithmetic from the engine.
    pub fn planned(
        pad: [usize; 2],
        stride: [usize; 2],
        dilation: [usize; 2],
        cross_correlation: bool,
        compute: Element,
    ) -> Convolution {
        let mode = match cross_correlation {
            true => cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
            false => cudnnConvolutionMode_t::CUDNN_CONVOLUTION,
        };
        Convolution { pad, stride, dilation, mode, compute, ..Convolution::DEFAULT }
    }
}

descriptor! { CONVOLUTIONS: Convolution, "convolution descriptors", cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor }

pub fn convolution(descriptor: cudnnConvolutionDescriptor_t) -> Result<Convolution> {
    set(CONVOLUTIONS.copy(descriptor))
}

fn change(descriptor: cudnnConvolutionDescriptor_t, f: impl FnOnce(&mut Convolution)) -> Result<()> {
    let known = CONVOLUTIONS.change(descriptor, |slot| f(slot.get_or_insert(Convolution::DEFAULT)));
    if known { Ok(()) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}

fn assign(
    descriptor: cudnnConvolutionDescriptor_t,
    numbers: [[c_int; 2]; 3],
    mode: cudnnConvolutionMode_t,
    ty: cudnnDataType_t,
) -> Result<()> {
    let [pad, stride, dilation] = numbers;
    if pad.iter().any(|&v| v < 0) || stride.iter().chain(&dilation).any(|&v| v < 1) {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let compute = element(ty)?;
    let [pad, stride, dilation] = numbers.map(|pair| pair.map(|v| v as usize));
    change(descriptor, |c| *c = Convolution { pad, stride, dilation, mode, compute, ..c.clone() })
}

/// [n, k, oh, ow], or what does not fit.
fn output_dims(c: &Convolution, x: &Tensor, w: &Tensor) -> Result<[usize; 4]> {
    if x.dims[1] != w.dims[1] * c.groups {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let size = |axis: usize| {
        let window = (w.dims[2 + axis] - 1) * c.dilation[axis] + 1;
        let room = (x.dims[2 + axis] + 2 * c.pad[axis]).checked_sub(window).ok_or(CUDNN_STATUS_BAD_PARAM)?;
        Ok(room / c.stride[axis] + 1)
    };
    Ok([x.dims[0], w.dims[0], size(0)?, size(1)?])
}

/// The three tensors of a convolution, x [n, c, h, w], w [k, c / groups, r, s], y [n, k, oh, ow].
#[derive(Clone)]
pub struct Problem {
    pub convolution: Convolution,
    pub x: Tensor,
    pub w: Tensor,
    pub y: Tensor,
}

impl Problem {
    pub fn new(
        x: cudnnTensorDescriptor_t,
        w: cudnnFilterDescriptor_t,
        c: cudnnConvolutionDescriptor_t,
        y: cudnnTensorDescriptor_t,
    ) -> Result<Self> {
        Problem { convolution: convolution(c)?, x: tensor(x)?, w: filter(w)?, y: tensor(y)? }.checked()
    }

    /// As the graph API describes one: there are as many groups as w's channels go into x's.
    pub fn planned(convolution: Convolution, x: Tensor, w: Tensor, y: Tensor) -> Result<Self> {
        let groups = x.dims[1] / w.dims[1].max(1);
        Problem { convolution: Convolution { groups, ..convolution }, x, w, y }.checked()
    }

    fn checked(self) -> Result<Self> {
        let Problem { convolution: c, x, w, y } = &self;
        let expected = output_dims(c, x, w)?;
        if !w.dims[0].is_multiple_of(c.groups) {
            return refuse(CUDNN_STATUS_BAD_PARAM, format!("{} outputs in {} groups", w.dims[0], c.groups));
        }
        if y.dims != expected {
            return refuse(CUDNN_STATUS_BAD_PARAM, format!("the output is {:?} instead of {expected:?}", y.dims));
        }
        if x.element != w.element || x.element != y.element {
            return refuse(CUDNN_STATUS_BAD_PARAM, "tensors of different types");
        }
        runs_here(x.element)?;
        if c.compute != Element::F32 {
            return refuse(CUDNN_STATUS_NOT_SUPPORTED, "only f32 accumulation is modelled");
        }
        Ok(self)
    }

    pub fn geometry(&self) -> Geometry {
        let (Convolution { pad, stride, dilation, groups, mode, .. }, x, w, y) =
            (&self.convolution, &self.x, &self.w, &self.y);
        Geometry {
            n: x.dims[0],
            c: x.dims[1],
            input: [x.dims[2], x.dims[3]],
            k: w.dims[0],
            kernel: [w.dims[2], w.dims[3]],
            output: [y.dims[2], y.dims[3]],
            pad: *pad,
            stride: *stride,
            dilation: *dilation,
            groups: *groups,
            cross_correlation: *mode == cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION,
        }
    }

    /// Reads an operand; every math type but FMA rounds f32 to TF32 where the device can.
    pub fn operand(&self, tensor: &Tensor, address: u64) -> std::result::Result<Vec<f32>, Finding> {
        let mut values = tensor.read(address)?;
        let rounds = self.convolution.math != cudnnMathType_t::CUDNN_FMA_MATH && SETTINGS.capability.0 >= 8;
        if rounds && tensor.element == Element::F32 {
            values.iter_mut().for_each(|v| *v = tf32(*v));
        }
        Ok(values)
    }
}

/// The workspace that the algorithm needs must have been given.
fn check_workspace(
    direction: Direction,
    algo: u32,
    problem: &Problem,
    workspace: *mut c_void,
    size: usize,
) -> Result<()> {
    let needed = algorithm::workspace(direction, algo, problem)?;
    if size < needed {
        return refuse(
            CUDNN_STATUS_BAD_PARAM,
            format!("a workspace of {size} bytes, where the algorithm needs {needed}"),
        );
    }
    if needed == 0 { Ok(()) } else { check_buffers(&[(workspace as u64, needed)]) }
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnSetConvolution2dDescriptor(
    descriptor: cudnnConvolutionDescriptor_t, pad_h: c_int, pad_w: c_int, stride_h: c_int, stride_w: c_int, dilation_h: c_int,
    dilation_w: c_int, mode: cudnnConvolutionMode_t, compute: cudnnDataType_t,
) {
    assign(descriptor, [[pad_h, pad_w], [stride_h, stride_w], [dilation_h, dilation_w]], mode, compute)
}
fn cudnnSetConvolutionNdDescriptor(
    descriptor: cudnnConvolutionDescriptor_t, count: c_int, pad: *const c_int, stride: *const c_int, dilation: *const c_int,
    mode: cudnnConvolutionMode_t, compute: cudnnDataType_t,
) {
    if count != 2 {
        return Err(CUDNN_STATUS_NOT_SUPPORTED);
    }
    assign(descriptor, [pad, stride, dilation].map(|p| p.cast::<[c_int; 2]>().read()), mode, compute)
}
fn cudnnGetConvolution2dDescriptor(
    descriptor: cudnnConvolutionDescriptor_t, pad_h: *mut c_int, pad_w: *mut c_int, stride_h: *mut c_int, stride_w: *mut c_int,
    dilation_h: *mut c_int, dilation_w: *mut c_int, mode: *mut cudnnConvolutionMode_t, compute: *mut cudnnDataType_t,
) {
    let c = convolution(descriptor)?;
    let values = c.pad.into_iter().chain(c.stride).chain(c.dilation);
    for (to, value) in [pad_h, pad_w, stride_h, stride_w, dilation_h, dilation_w].into_iter().zip(values) {
        put(to, value as c_int)?;
    }
    put(mode, c.mode)?;
    put(compute, data_type(c.compute))
}
fn cudnnSetConvolutionMathType(descriptor: cudnnConvolutionDescriptor_t, math: cudnnMathType_t) {
    change(descriptor, |c| c.math = math)
}
fn cudnnGetConvolutionMathType(descriptor: cudnnConvolutionDescriptor_t, to: *mut cudnnMathType_t) {
    let convolution = CONVOLUTIONS.copy(descriptor).ok_or(CUDNN_STATUS_BAD_PARAM)?;
    put(to, convolution.unwrap_or(Convolution::DEFAULT).math)
}
fn cudnnSetConvolutionGroupCount(descriptor: cudnnConvolutionDescriptor_t, groups: c_int) {
    if groups < 1 {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    change(descriptor, |c| c.groups = groups as usize)
}
fn cudnnGetConvolutionGroupCount(descriptor: cudnnConvolutionDescriptor_t, to: *mut c_int) {
    put(to, convolution(descriptor)?.groups as c_int)
}
fn cudnnGetConvolution2dForwardOutputDim(
    descriptor: cudnnConvolutionDescriptor_t, x: cudnnTensorDescriptor_t, w: cudnnFilterDescriptor_t, n: *mut c_int, k: *mut c_int,
    h: *mut c_int, width: *mut c_int,
) {
    let dims = output_dims(&convolution(descriptor)?, &tensor(x)?, &filter(w)?)?;
    for (to, value) in [n, k, h, width].into_iter().zip(dims) {
        put(to, value as c_int)?;
    }
    Ok(())
}
fn cudnnGetConvolutionNdForwardOutputDim(
    descriptor: cudnnConvolutionDescriptor_t, x: cudnnTensorDescriptor_t, w: cudnnFilterDescriptor_t, count: c_int, to: *mut c_int,
) {
    if count != 4 {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let dims = output_dims(&convolution(descriptor)?, &tensor(x)?, &filter(w)?)?;
    put(to.cast::<[c_int; 4]>(), dims.map(|d| d as c_int))
}
fn cudnnConvolutionForward(
    handle: cudnnHandle_t, alpha: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void, wd: cudnnFilterDescriptor_t,
    w: *const c_void, cd: cudnnConvolutionDescriptor_t, algo: cudnnConvolutionFwdAlgo_t, workspace: *mut c_void, size: usize,
    beta: *const c_void, yd: cudnnTensorDescriptor_t, y: *mut c_void,
) {
    let (stream, p, blend) = (stream_of(handle)?, Problem::new(xd, wd, cd, yd)?, Blend::new(alpha, beta)?);
    check_workspace(Direction::Forward, algo as u32, &p, workspace, size)?;
    let (x, w, y) = (x as u64, w as u64, y as u64);
    check_buffers(&[(x, p.x.bytes()), (w, p.w.bytes()), (y, p.y.bytes())])?;
    enqueue(stream, move || {
        let out = im2col::forward(&p.geometry(), &p.operand(&p.x, x)?, &p.operand(&p.w, w)?);
        p.y.write(y, &out, blend)
    })
}
fn cudnnConvolutionBackwardData(
    handle: cudnnHandle_t, alpha: *const c_void, wd: cudnnFilterDescriptor_t, w: *const c_void, dyd: cudnnTensorDescriptor_t,
    dy: *const c_void, cd: cudnnConvolutionDescriptor_t, algo: cudnnConvolutionBwdDataAlgo_t, workspace: *mut c_void, size: usize,
    beta: *const c_void, dxd: cudnnTensorDescriptor_t, dx: *mut c_void,
) {
    let (stream, p, blend) = (stream_of(handle)?, Problem::new(dxd, wd, cd, dyd)?, Blend::new(alpha, beta)?);
    check_workspace(Direction::BackwardData, algo as u32, &p, workspace, size)?;
    let (w, dy, dx) = (w as u64, dy as u64, dx as u64);
    check_buffers(&[(dx, p.x.bytes()), (w, p.w.bytes()), (dy, p.y.bytes())])?;
    enqueue(stream, move || {
        let out = im2col::backward_data(&p.geometry(), &p.operand(&p.w, w)?, &p.operand(&p.y, dy)?);
        p.x.write(dx, &out, blend)
    })
}
fn cudnnConvolutionBackwardFilter(
    handle: cudnnHandle_t, alpha: *const c_void, xd: cudnnTensorDescriptor_t, x: *const c_void, dyd: cudnnTensorDescriptor_t,
    dy: *const c_void, cd: cudnnConvolutionDescriptor_t, algo: cudnnConvolutionBwdFilterAlgo_t, workspace: *mut c_void, size: usize,
    beta: *const c_void, dwd: cudnnFilterDescriptor_t, dw: *mut c_void,
) {
    let (stream, p, blend) = (stream_of(handle)?, Problem::new(xd, dwd, cd, dyd)?, Blend::new(alpha, beta)?);
    check_workspace(Direction::BackwardFilter, algo as u32, &p, workspace, size)?;
    let (x, dy, dw) = (x as u64, dy as u64, dw as u64);
    check_buffers(&[(x, p.x.bytes()), (dw, p.w.bytes()), (dy, p.y.bytes())])?;
    enqueue(stream, move || {
        let out = im2col::backward_filter(&p.geometry(), &p.operand(&p.x, x)?, &p.operand(&p.y, dy)?);
        p.w.write(dw, &out, blend)
    })
}
fn cudnnConvolutionBackwardBias(
    handle: cudnnHandle_t, alpha: *const c_void, dyd: cudnnTensorDescriptor_t, dy: *const c_void, beta: *const c_void,
    dbd: cudnnTensorDescriptor_t, db: *mut c_void,
) {
    let (stream, blend, dyt, dbt) = (stream_of(handle)?, Blend::new(alpha, beta)?, tensor(dyd)?, tensor(dbd)?);
    if dbt.dims != [1, dyt.dims[1], 1, 1] || dbt.element != dyt.element {
        return refuse(CUDNN_STATUS_BAD_PARAM, format!("a bias gradient of {:?} for {:?}", dbt.dims, dyt.dims));
    }
    let (dy, db) = (dy as u64, db as u64);
    check_buffers(&[(dy, dyt.bytes()), (db, dbt.bytes())])?;
    enqueue(stream, move || {
        let [_, channels, h, w] = dyt.dims;
        let mut sums = vec![0.0; channels];
        for (plane, values) in dyt.read(dy)?.chunks(h * w).enumerate() {
            sums[plane % channels] += values.iter().sum::<f32>();
        }
        dbt.write(db, &sums, blend)
    })
}
}
