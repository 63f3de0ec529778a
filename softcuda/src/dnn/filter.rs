//! Filter descriptors: [K, C / groups, R, S] in KCRS or KRSC order.

use super::Result;
use super::descriptor::{data_type, descriptor, element, set};
use super::tensor::{Tensor, is_nhwc, packed};
use crate::export::{export, put};
use cudarc::cudnn::sys::{self, cudnnDataType_t, cudnnFilterDescriptor_t, cudnnStatus_t, cudnnTensorFormat_t};
use cudnnStatus_t::*;
use std::ffi::c_int;

descriptor! { FILTERS: Tensor, "filter descriptors", cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor }

/// A filter is a packed tensor of four dimensions.
pub fn filter(descriptor: cudnnFilterDescriptor_t) -> Result<Tensor> {
    set(FILTERS.copy(descriptor))
}

fn assign(
    descriptor: cudnnFilterDescriptor_t,
    ty: cudnnDataType_t,
    format: cudnnTensorFormat_t,
    dims: [c_int; 4],
) -> Result<()> {
    if dims.iter().any(|&d| d <= 0) {
        return Err(CUDNN_STATUS_BAD_PARAM);
    }
    let dims = dims.map(|d| d as usize);
    let filter = Tensor { element: element(ty)?, dims, strides: packed(dims, is_nhwc(format)?) };
    if FILTERS.change(descriptor, |slot| *slot = Some(filter)) { Ok(()) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnSetFilter4dDescriptor(
    descriptor: cudnnFilterDescriptor_t, ty: cudnnDataType_t, format: cudnnTensorFormat_t, k: c_int, c: c_int, r: c_int, s: c_int,
) {
    assign(descriptor, ty, format, [k, c, r, s])
}
fn cudnnSetFilterNdDescriptor(
    descriptor: cudnnFilterDescriptor_t, ty: cudnnDataType_t, format: cudnnTensorFormat_t, count: c_int, dims: *const c_int,
) {
    if count != 4 {
        return Err(CUDNN_STATUS_NOT_SUPPORTED);
    }
    assign(descriptor, ty, format, dims.cast::<[c_int; 4]>().read())
}
fn cudnnGetFilter4dDescriptor(
    descriptor: cudnnFilterDescriptor_t, ty: *mut cudnnDataType_t, format: *mut cudnnTensorFormat_t, k: *mut c_int, c: *mut c_int,
    r: *mut c_int, s: *mut c_int,
) {
    let f = filter(descriptor)?;
    let nhwc = f.strides != packed(f.dims, false);
    put(ty, data_type(f.element))?;
    put(format, if nhwc { cudnnTensorFormat_t::CUDNN_TENSOR_NHWC } else { cudnnTensorFormat_t::CUDNN_TENSOR_NCHW })?;
    for (to, value) in [k, c, r, s].into_iter().zip(f.dims) {
        put(to, value as c_int)?;
    }
    Ok(())
}
fn cudnnGetFilterSizeInBytes(descriptor: cudnnFilterDescriptor_t, to: *mut usize) {
    put(to, filter(descriptor)?.bytes())
}
}
