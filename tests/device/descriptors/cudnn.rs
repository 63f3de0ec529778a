//! The output dimensions that a cuDNN computes, softcuda's or the real one.

#![allow(non_snake_case, reason = "cuDNN's names")]

use std::path::PathBuf;
use std::ptr::null_mut;

use cudarc::cudnn::sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
use cudarc::cudnn::sys::cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN;
use cudarc::cudnn::sys::cudnnPoolingMode_t::CUDNN_POOLING_MAX;
use cudarc::cudnn::sys::{
    self, cudnnDataType_t::CUDNN_DATA_FLOAT, cudnnStatus_t, cudnnStatus_t::CUDNN_STATUS_SUCCESS,
    cudnnTensorFormat_t::CUDNN_TENSOR_NCHW,
};

type Tensor = sys::cudnnTensorDescriptor_t;
type Filter = sys::cudnnFilterDescriptor_t;
type Convolution = sys::cudnnConvolutionDescriptor_t;
type Pooling = sys::cudnnPoolingDescriptor_t;

/// The functions in use, from one library; their types are checked against the bindings.
macro_rules! functions {
    ($($name:ident($($t:ty),*);)*) => {
        pub struct Cudnn {
            pub name: String,
            $($name: unsafe extern "C" fn($($t),*) -> cudnnStatus_t,)*
            _library: libloading::Library,
        }
        impl Cudnn {
            fn open(path: PathBuf) -> Cudnn {
                // SAFETY: loading a CUDA library runs its initialisers only; each symbol has the binding's type.
                unsafe {
                    let library = libloading::Library::new(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    Cudnn {
                        name: path.display().to_string(),
                        $($name: *library.get(stringify!($name)).expect(stringify!($name)),)*
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
functions! {
    cudnnCreateTensorDescriptor(*mut Tensor);
    cudnnDestroyTensorDescriptor(Tensor);
    cudnnSetTensor4dDescriptor(Tensor, sys::cudnnTensorFormat_t, sys::cudnnDataType_t, i32, i32, i32, i32);
    cudnnCreateFilterDescriptor(*mut Filter);
    cudnnDestroyFilterDescriptor(Filter);
    cudnnSetFilter4dDescriptor(Filter, sys::cudnnDataType_t, sys::cudnnTensorFormat_t, i32, i32, i32, i32);
    cudnnCreateConvolutionDescriptor(*mut Convolution);
    cudnnDestroyConvolutionDescriptor(Convolution);
    cudnnSetConvolution2dDescriptor(Convolution, i32, i32, i32, i32, i32, i32, sys::cudnnConvolutionMode_t, sys::cudnnDataType_t);
    cudnnSetConvolutionGroupCount(Convolution, i32);
    cudnnGetConvolution2dForwardOutputDim(Convolution, Tensor, Filter, *mut i32, *mut i32, *mut i32, *mut i32);
    cudnnCreatePoolingDescriptor(*mut Pooling);
    cudnnDestroyPoolingDescriptor(Pooling);
    cudnnSetPooling2dDescriptor(Pooling, sys::cudnnPoolingMode_t, sys::cudnnNanPropagation_t, i32, i32, i32, i32, i32, i32);
    cudnnGetPooling2dForwardOutputDim(Pooling, Tensor, *mut i32, *mut i32, *mut i32, *mut i32);
}

/// softcuda's library, and the real one where `SOFTCUDA_REAL_CUDNN` names it.
pub fn libraries() -> Vec<Cudnn> {
    let real = std::env::var_os("SOFTCUDA_REAL_CUDNN").map(PathBuf::from);
    [softcuda::library().unwrap()].into_iter().chain(real).map(Cudnn::open).collect()
}

/// Calls a function of the library that must succeed.
macro_rules! cudnn {
    ($library:expr, $name:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: descriptors come from the library, out-pointers point to locals.
        assert_eq!(unsafe { ($library.$name)($($argument),*) }, CUDNN_STATUS_SUCCESS, stringify!($name))
    };
}

impl Cudnn {
    fn tensor(&self, [n, c, h, w]: [i32; 4]) -> Tensor {
        let mut tensor = null_mut();
        cudnn!(self, cudnnCreateTensorDescriptor(&mut tensor));
        cudnn!(self, cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h, w));
        tensor
    }

    /// The output of a square convolution.
    pub fn convolve(&self, x: [i32; 4], [k, c, r, s]: [i32; 4], [stride, pad, groups]: [i32; 3]) -> [i32; 4] {
        let (x, mut filter, mut conv, mut out) = (self.tensor(x), null_mut(), null_mut(), [0; 4]);
        cudnn!(self, cudnnCreateFilterDescriptor(&mut filter));
        cudnn!(self, cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, k, c, r, s));
        cudnn!(self, cudnnCreateConvolutionDescriptor(&mut conv));
        let (mode, compute) = (CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
        cudnn!(self, cudnnSetConvolution2dDescriptor(conv, pad, pad, stride, stride, 1, 1, mode, compute));
        cudnn!(self, cudnnSetConvolutionGroupCount(conv, groups));
        let [n, k, h, w] = &mut out;
        cudnn!(self, cudnnGetConvolution2dForwardOutputDim(conv, x, filter, n, k, h, w));
        cudnn!(self, cudnnDestroyConvolutionDescriptor(conv));
        cudnn!(self, cudnnDestroyFilterDescriptor(filter));
        cudnn!(self, cudnnDestroyTensorDescriptor(x));
        out
    }

    /// The output of square max pooling.
    pub fn pool(&self, x: [i32; 4], [window, stride, pad]: [i32; 3]) -> [i32; 4] {
        let (x, mut pool, mut out) = (self.tensor(x), null_mut(), [0; 4]);
        cudnn!(self, cudnnCreatePoolingDescriptor(&mut pool));
        let (mode, nan) = (CUDNN_POOLING_MAX, CUDNN_NOT_PROPAGATE_NAN);
        cudnn!(self, cudnnSetPooling2dDescriptor(pool, mode, nan, window, window, pad, pad, stride, stride));
        let [n, c, h, w] = &mut out;
        cudnn!(self, cudnnGetPooling2dForwardOutputDim(pool, x, n, c, h, w));
        cudnn!(self, cudnnDestroyPoolingDescriptor(pool));
        cudnn!(self, cudnnDestroyTensorDescriptor(x));
        out
    }
}
