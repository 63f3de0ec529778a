//! The functions under test, from softcuda and from the real library.

#![allow(non_snake_case, reason = "cuDNN's names")]

use cudarc::cudnn::sys::{self, cudnnDataType_t::*, cudnnStatus_t, cudnnStatus_t::*, cudnnTensorFormat_t::*};
use std::path::PathBuf;
use std::ptr::null_mut;
use sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
use sys::cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN;
use sys::cudnnPoolingMode_t::*;

/// The functions under test, from one library; their types are checked against the bindings.
macro_rules! library {
    ($($name:ident($($t:ty),* $(,)?);)*) => {
        pub struct Dnn {
            pub name: String,
            $(pub $name: unsafe extern "C" fn($($t),*) -> cudnnStatus_t,)*
            _library: libloading::Library,
        }
        impl Dnn {
            fn open(path: PathBuf) -> Dnn {
                // SAFETY: loading a CUDA library runs its initialisers only; each symbol has the binding's type.
                unsafe {
                    let library = libloading::Library::new(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    Dnn {
                        name: path.display().to_string(),
                        $($name: *library.get(stringify!($name).as_bytes()).expect(stringify!($name)),)*
                        _library: library,
                    }
                }
            }
        }
        const _: () = {
            $(let _: unsafe fn($($t),*) -> cudnnStatus_t = sys::$name;)*
        };
    };
}
type Tensor = sys::cudnnTensorDescriptor_t;
type Filter = sys::cudnnFilterDescriptor_t;
type Convolution = sys::cudnnConvolutionDescriptor_t;
type Pooling = sys::cudnnPoolingDescriptor_t;
type Lrn = sys::cudnnLRNDescriptor_t;
library! {
    cudnnCreateTensorDescriptor(*mut Tensor);
    cudnnDestroyTensorDescriptor(Tensor);
    cudnnSetTensor4dDescriptor(Tensor, sys::cudnnTensorFormat_t, sys::cudnnDataType_t, i32, i32, i32, i32);
    cudnnSetTensor4dDescriptorEx(Tensor, sys::cudnnDataType_t, i32, i32, i32, i32, i32, i32, i32, i32);
    cudnnGetTensor4dDescriptor(Tensor, *mut sys::cudnnDataType_t, *mut i32, *mut i32, *mut i32, *mut i32, *mut i32, *mut i32, *mut i32, *mut i32);
    cudnnSetTensorNdDescriptor(Tensor, sys::cudnnDataType_t, i32, *const i32, *const i32);
    cudnnGetTensorSizeInBytes(Tensor, *mut usize);
    cudnnDeriveBNTensorDescriptor(Tensor, Tensor, sys::cudnnBatchNormMode_t);
    cudnnCreateFilterDescriptor(*mut Filter);
    cudnnDestroyFilterDescriptor(Filter);
    cudnnSetFilter4dDescriptor(Filter, sys::cudnnDataType_t, sys::cudnnTensorFormat_t, i32, i32, i32, i32);
    cudnnGetFilterSizeInBytes(Filter, *mut usize);
    cudnnCreateConvolutionDescriptor(*mut Convolution);
    cudnnDestroyConvolutionDescriptor(Convolution);
    cudnnSetConvolution2dDescriptor(Convolution, i32, i32, i32, i32, i32, i32, sys::cudnnConvolutionMode_t, sys::cudnnDataType_t);
    cudnnSetConvolutionGroupCount(Convolution, i32);
    cudnnSetConvolutionMathType(Convolution, sys::cudnnMathType_t);
    cudnnGetConvolutionMathType(Convolution, *mut sys::cudnnMathType_t);
    cudnnGetConvolution2dForwardOutputDim(Convolution, Tensor, Filter, *mut i32, *mut i32, *mut i32, *mut i32);
    cudnnCreatePoolingDescriptor(*mut Pooling);
    cudnnDestroyPoolingDescriptor(Pooling);
    cudnnSetPooling2dDescriptor(Pooling, sys::cudnnPoolingMode_t, sys::cudnnNanPropagation_t, i32, i32, i32, i32, i32, i32);
    cudnnGetPooling2dForwardOutputDim(Pooling, Tensor, *mut i32, *mut i32, *mut i32, *mut i32);
    cudnnCreateLRNDescriptor(*mut Lrn);
    cudnnDestroyLRNDescriptor(Lrn);
    cudnnSetLRNDescriptor(Lrn, u32, f64, f64, f64);
}

/// softcuda, and the real library where it is named.
pub fn libraries() -> Vec<Dnn> {
    let softcuda = softcuda::library().expect("softcuda is built");
    [Some(softcuda), std::env::var_os("SOFTCUDA_REAL_CUDNN").map(PathBuf::from)]
        .into_iter()
        .flatten()
        .map(Dnn::open)
        .collect()
}

/// Calls a function of the library under test.
macro_rules! dnn {
    ($library:expr, $name:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: descriptors come from the library, out-pointers point to locals.
        unsafe { ($library.$name)($($argument),*) }
    };
}

impl Dnn {
    pub fn tensor(&self, nhwc: bool, ty: sys::cudnnDataType_t, [n, c, h, w]: [i32; 4]) -> Tensor {
        let mut tensor = null_mut();
        assert_eq!(dnn!(self, cudnnCreateTensorDescriptor(&mut tensor)), CUDNN_STATUS_SUCCESS);
        let format = if nhwc { CUDNN_TENSOR_NHWC } else { CUDNN_TENSOR_NCHW };
        assert_eq!(dnn!(self, cudnnSetTensor4dDescriptor(tensor, format, ty, n, c, h, w)), CUDNN_STATUS_SUCCESS);
        tensor
    }

    pub fn filter(&self, nhwc: bool, ty: sys::cudnnDataType_t, [k, c, r, s]: [i32; 4]) -> Filter {
        let mut filter = null_mut();
        assert_eq!(dnn!(self, cudnnCreateFilterDescriptor(&mut filter)), CUDNN_STATUS_SUCCESS);
        let format = if nhwc { CUDNN_TENSOR_NHWC } else { CUDNN_TENSOR_NCHW };
        assert_eq!(dnn!(self, cudnnSetFilter4dDescriptor(filter, ty, format, k, c, r, s)), CUDNN_STATUS_SUCCESS);
        filter
    }

    /// Status and output dimensions of a square convolution.
    pub fn convolve(
        &self,
        nhwc: bool,
        ty: sys::cudnnDataType_t,
        x: [i32; 4],
        w: [i32; 4],
        [stride, pad, groups]: [i32; 3],
    ) -> (cudnnStatus_t, [i32; 4]) {
        let (x, w, mut c, mut out) = (self.tensor(nhwc, ty, x), self.filter(nhwc, ty, w), null_mut(), [0; 4]);
        assert_eq!(dnn!(self, cudnnCreateConvolutionDescriptor(&mut c)), CUDNN_STATUS_SUCCESS);
        let set = dnn!(
            self,
            cudnnSetConvolution2dDescriptor(
                c,
                pad,
                pad,
                stride,
                stride,
                1,
                1,
                CUDNN_CROSS_CORRELATION,
                CUDNN_DATA_FLOAT
            )
        );
        assert_eq!(set, CUDNN_STATUS_SUCCESS);
        assert_eq!(dnn!(self, cudnnSetConvolutionGroupCount(c, groups)), CUDNN_STATUS_SUCCESS);
        let [n, k, h, width] = &mut out;
        let status = dnn!(self, cudnnGetConvolution2dForwardOutputDim(c, x, w, n, k, h, width));
        dnn!(self, cudnnDestroyConvolutionDescriptor(c));
        dnn!(self, cudnnDestroyFilterDescriptor(w));
        dnn!(self, cudnnDestroyTensorDescriptor(x));
        (status, out)
    }

    pub fn pool(&self, x: [i32; 4], [window, stride, pad]: [i32; 3]) -> (cudnnStatus_t, [i32; 4]) {
        let (x, mut p, mut out) = (self.tensor(false, CUDNN_DATA_FLOAT, x), null_mut(), [0; 4]);
        assert_eq!(dnn!(self, cudnnCreatePoolingDescriptor(&mut p)), CUDNN_STATUS_SUCCESS);
        let set = dnn!(
            self,
            cudnnSetPooling2dDescriptor(
                p,
                CUDNN_POOLING_MAX,
                CUDNN_NOT_PROPAGATE_NAN,
                window,
                window,
                pad,
                pad,
                stride,
                stride
            )
        );
        assert_eq!(set, CUDNN_STATUS_SUCCESS);
        let [n, c, h, w] = &mut out;
        let status = dnn!(self, cudnnGetPooling2dForwardOutputDim(p, x, n, c, h, w));
        dnn!(self, cudnnDestroyPoolingDescriptor(p));
        dnn!(self, cudnnDestroyTensorDescriptor(x));
        (status, out)
    }
}

pub(crate) use dnn;
