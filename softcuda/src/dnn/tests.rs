//! The operations against their definitions, in f64 loops over N,C,H,W: layouts, types, groups, dilation, alpha and beta.

use super::tensor::Tensor;
use crate::element::Element;
use crate::{driver, memory, stream};
use cudarc::cudnn::sys::{cudnnDataType_t::*, cudnnStatus_t::*, cudnnTensorFormat_t::*, *};
use std::ffi::c_void;
use std::ptr::null_mut;

/// Numbers in [-1, 1).
fn numbers(n: usize, seed: u32) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1u32 << 23) - 1.0
    };
    (0..n).map(|_| next()).collect()
}

/// Calls an exported function and wants success.
macro_rules! ok {
    ($call:expr) => {{
        // SAFETY: descriptors and buffers of this test.
        let status = unsafe { $call };
        assert_eq!(status, CUDNN_STATUS_SUCCESS, stringify!($call));
    }};
}

// below the macro that they use
mod convolutions;
mod graph;
mod others;

/// A tensor on the device, with its descriptor. Values are given and read in N,C,H,W order.
struct Device {
    descriptor: cudnnTensorDescriptor_t,
    tensor: Tensor,
    address: u64,
}

fn format(nhwc: bool) -> cudnnTensorFormat_t {
    if nhwc { CUDNN_TENSOR_NHWC } else { CUDNN_TENSOR_NCHW }
}

impl Device {
    fn new(dims: [usize; 4], element: Element, nhwc: bool, values: Option<&[f64]>) -> Self {
        let mut descriptor = null_mut();
        ok!(crate::dnn::tensor::cudnnCreateTensorDescriptor(&mut descriptor));
        let ty = crate::dnn::descriptor::data_type(element);
        let [n, c, h, w] = dims.map(|d| d as i32);
        ok!(crate::dnn::tensor::cudnnSetTensor4dDescriptor(descriptor, format(nhwc), ty, n, c, h, w));
        let tensor = crate::dnn::tensor::tensor(descriptor).expect("set");
        let address = memory::allocate(tensor.bytes(), u64::MAX).expect("memory");
        if let Some(values) = values {
            let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            tensor.write(address, &values, crate::dnn::Blend::PLAIN).expect("live");
        }
        Device { descriptor, tensor, address }
    }
    fn p(&self) -> *mut c_void {
        self.address as *mut c_void
    }
    fn read(&self) -> Vec<f64> {
        stream::synchronize_all().expect("no failure");
        self.tensor.read(self.address).expect("written").into_iter().map(f64::from).collect()
    }
}

fn handle() -> cudnnHandle_t {
    driver::make_current();
    let mut handle = null_mut();
    ok!(crate::dnn::handle::cudnnCreate(&mut handle));
    handle
}

#[track_caller]
fn assert_close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * (1.0 + e.abs()), "element {i}: {g} instead of {e}");
    }
}

fn pointer(v: &f32) -> *const c_void {
    std::ptr::from_ref(v).cast()
}

/// Values as the type stores them.
fn rounded(values: Vec<f64>, element: Element) -> Vec<f64> {
    let round = |v: f64| match element {
        Element::F32 => f64::from(v as f32),
        Element::F16 => half::f16::from_f32(v as f32).to_f64(),
        Element::BF16 => half::bf16::from_f32(v as f32).to_f64(),
    };
    values.into_iter().map(round).collect()
}
