//! Tensor descriptors, and tensors in memory.

use super::descriptor::{data_type, descriptor, element, set};
use super::{Blend, Result};
use crate::element::Element;
use crate::export::{export, put};
use crate::finding::{Finding, FindingKind};
use crate::memory;
use cudarc::cudnn::sys::{self, cudnnDataType_t, cudnnStatus_t, cudnnTensorDescriptor_t, cudnnTensorFormat_t};
use cudnnStatus_t::*;
use std::ffi::c_int;

/// N, C, H, W and the distance between neighbours along each, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub element: Element,
    pub dims: [usize; 4],
    pub strides: [usize; 4],
}

descriptor! { TENSORS: Tensor, "tensor descriptors", cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor }

/// The tensor behind a descriptor.
pub fn tensor(descriptor: cudnnTensorDescriptor_t) -> Result<Tensor> {
    set(TENSORS.copy(descriptor))
}

/// Strides of a packed tensor.
pub fn packed([_, c, h, w]: [usize; 4], nhwc: bool) -> [usize; 4] {
    if nhwc { [c * h * w, 1, w * c, c] } else { [c * h * w, h * w, w, 1] }
}

impl Tensor {
    pub fn count(&self) -> usize {
        self.dims.iter().product()
    }
    /// From the first element to behind the last.
    pub fn span(&self) -> usize {
        1 + self.dims.iter().zip(&self.strides).map(|(d, s)| (d - 1) * s).sum::<usize>()
    }
    pub fn bytes(&self) -> usize {
        self.span() * self.element.size()
    }

    /// Calls `f(index in N,C,H,W order, offset in memory)` for every element.
    fn walk(&self, mut f: impl FnMut(usize, usize)) {
        let ([n, c, h, w], [sn, sc, sh, sw]) = (self.dims, self.strides);
        let mut index = 0;
        for (i, j, k) in (0..n).flat_map(|i| (0..c).flat_map(move |j| (0..h).map(move |k| (i, j, k)))) {
            let row = i * sn + j * sc + k * sh;
            for l in 0..w {
                f(index, row + l * sw);
                index += 1;
            }
        }
    }

    /// All elements in N,C,H,W order.
    pub fn read(&self, address: u64) -> std::result::Result<Vec<f32>, Finding> {
        let size = self.element.size() as u64;
        let region = memory::find(address, self.bytes() as u64)?;
        let mut missing = None;
        if self.span() == self.count() {
            memory::readable(address, self.bytes())?;
        } else {
            self.walk(|_, at| {
                if !region.is_written(address + at as u64 * size, size) {
                    missing.get_or_insert(at);
                }
            });
        }
        if let Some(at) = missing {
            let text = format!("read of uninitialised memory: element at offset {at}");
            return Err(Finding::new(FindingKind::UninitialisedRead, text));
        }
        let (p, mut out) = (region.host(address), vec![0.0; self.count()]);
        // SAFETY: the region holds the whole span.
        self.walk(|index, at| out[index] = unsafe { self.element.load(p, at) });
        Ok(out)
    }

    /// Writes `alpha * values + beta * old`; old values are read only where beta is not 0.
    pub fn write(&self, address: u64, values: &[f32], blend: Blend) -> std::result::Result<(), Finding> {
        let old = if blend.beta == 0.0 { None } else { Some(self.read(address)?) };
        let size = self.element.size() as u64;
        let region = memory::find(address, self.bytes() as u64)?;
        let p = region.host(address);
        self.walk(|index, at| {
            let old = old.as_ref().map_or(0.0, |old| blend.beta * old[index]);
            // SAFETY: the region holds the whole span.
            unsafe { self.element.store(p, at, blend.alpha * values[index] + old) };
        });
        if self.span() == self.count() {
            region.mark_written(address, self.bytes() as u64);
        } else {
            self.walk(|_, at| region.mark_written(address + at as u64 * size, size));
        }
        Ok(())
    }
}

fn dimension(v: c_int) -> Result<usize> {
    // as the real library, without a finding: a caller may probe
    if v > 0 { Ok(v as usize) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}

fn assign(descriptor: cudnnTensorDescriptor_t, tensor: Tensor) -> Result<()> {
    if tensor.dims.iter().product::<usize>() > i32::MAX as usize {
        return Err(CUDNN_STATUS_NOT_SUPPORTED);
    }
    if TENSORS.change(descriptor, |slot| *slot = Some(tensor)) { Ok(()) } else { Err(CUDNN_STATUS_BAD_PARAM) }
}

/// Up to four values of a C array, the missing ones 1.
///
/// # Safety
/// `from` holds `count` values.
unsafe fn four(count: c_int, from: *const c_int) -> Result<[usize; 4]> {
    if !(3..=4).contains(&count) {
        return Err(CUDNN_STATUS_NOT_SUPPORTED);
    }
    let mut out = [1; 4];
    for (i, slot) in out.iter_mut().take(count as usize).enumerate() {
        // SAFETY: i < count.
        *slot = dimension(unsafe { *from.add(i) })?;
    }
    Ok(out)
}

/// Only NCHW and NHWC are modelled.
pub fn is_nhwc(format: cudnnTensorFormat_t) -> Result<bool> {
    match format {
        cudnnTensorFormat_t::CUDNN_TENSOR_NCHW => Ok(false),
        cudnnTensorFormat_t::CUDNN_TENSOR_NHWC => Ok(true),
        cudnnTensorFormat_t::CUDNN_TENSOR_NCHW_VECT_C => Err(CUDNN_STATUS_NOT_SUPPORTED),
    }
}

export! { CALLS: "cudnn", sys, cudnnStatus_t;
fn cudnnSetTensor4dDescriptor(
    descriptor: cudnnTensorDescriptor_t, format: cudnnTensorFormat_t, ty: cudnnDataType_t, n: c_int, c: c_int, h: c_int, w: c_int,
) {
    let dims = [dimension(n)?, dimension(c)?, dimension(h)?, dimension(w)?];
    assign(descriptor, Tensor { element: element(ty)?, dims, strides: packed(dims, is_nhwc(format)?) })
}
fn cudnnSetTensor4dDescriptorEx(
    descriptor: cudnnTensorDescriptor_t, ty: cudnnDataType_t, n: c_int, c: c_int, h: c_int, w: c_int, sn: c_int, sc: c_int,
    sh: c_int, sw: c_int,
) {
    let dims = [dimension(n)?, dimension(c)?, dimension(h)?, dimension(w)?];
    let strides = [dimension(sn)?, dimension(sc)?, dimension(sh)?, dimension(sw)?];
    assign(descriptor, Tensor { element: element(ty)?, dims, strides })
}
fn cudnnSetTensorNdDescriptor(
    descriptor: cudnnTensorDescriptor_t, ty: cudnnDataType_t, count: c_int, dims: *const c_int, strides: *const c_int,
) {
    assign(descriptor, Tensor { element: element(ty)?, dims: four(count, dims)?, strides: four(count, strides)? })
}
fn cudnnSetTensorNdDescriptorEx(
    descriptor: cudnnTensorDescriptor_t, format: cudnnTensorFormat_t, ty: cudnnDataType_t, count: c_int, dims: *const c_int,
) {
    let dims = four(count, dims)?;
    assign(descriptor, Tensor { element: element(ty)?, dims, strides: packed(dims, is_nhwc(format)?) })
}
fn cudnnGetTensor4dDescriptor(
    descriptor: cudnnTensorDescriptor_t, ty: *mut cudnnDataType_t, n: *mut c_int, c: *mut c_int, h: *mut c_int, w: *mut c_int,
    sn: *mut c_int, sc: *mut c_int, sh: *mut c_int, sw: *mut c_int,
) {
    let t = tensor(descriptor)?;
    put(ty, data_type(t.element))?;
    for (to, value) in [n, c, h, w, sn, sc, sh, sw].into_iter().zip(t.dims.into_iter().chain(t.strides)) {
        put(to, value as c_int)?;
    }
    Ok(())
}
fn cudnnGetTensorSizeInBytes(descriptor: cudnnTensorDescriptor_t, to: *mut usize) {
    put(to, tensor(descriptor)?.bytes())
}
}
