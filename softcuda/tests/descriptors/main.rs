//! Answers of cuDNN's descriptor calls, which need no GPU: output dimensions, parameter checks, limits. The same
//! expectations hold for softcuda, always, and for the real library where `SOFTCUDA_REAL_CUDNN` names it, for example
//! `…/site-packages/nvidia/cudnn/lib/libcudnn.so.9`.

mod library;

use cudarc::cudnn::sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
use cudarc::cudnn::sys::cudnnMathType_t::*;
use cudarc::cudnn::sys::cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN;
use cudarc::cudnn::sys::cudnnPoolingMode_t::*;
use cudarc::cudnn::sys::{self, cudnnDataType_t::*, cudnnStatus_t::*, cudnnTensorFormat_t::*};
use library::{dnn, libraries};
use std::ptr::null_mut;

/// (input channels and size, output channels and size, kernel, stride, pad, groups): the convolutions of AlexNet as in
/// torchvision, of the paper's AlexNet, and of VGG, with the sizes that the papers print.
const CONVOLUTIONS: [([i32; 2], [i32; 2], [i32; 4]); 17] = [
    ([3, 224], [64, 55], [11, 4, 2, 1]),
    ([64, 27], [192, 27], [5, 1, 2, 1]),
    ([192, 13], [384, 13], [3, 1, 1, 1]),
    ([384, 13], [256, 13], [3, 1, 1, 1]),
    ([256, 13], [256, 13], [3, 1, 1, 1]),
    ([3, 227], [96, 55], [11, 4, 0, 1]),
    ([96, 27], [256, 27], [5, 1, 2, 2]),
    ([256, 13], [384, 13], [3, 1, 1, 1]),
    ([384, 13], [384, 13], [3, 1, 1, 2]),
    ([384, 13], [256, 13], [3, 1, 1, 2]),
    ([3, 224], [64, 224], [3, 1, 1, 1]),
    ([64, 112], [128, 112], [3, 1, 1, 1]),
    ([128, 56], [256, 56], [3, 1, 1, 1]),
    ([256, 28], [512, 28], [3, 1, 1, 1]),
    ([512, 14], [512, 14], [3, 1, 1, 1]),
    ([32, 15], [32, 8], [3, 2, 1, 32]),
    ([5, 1], [7, 1], [1, 3, 0, 1]),
];

#[test]
fn convolutions_have_the_published_sizes() {
    for library in libraries() {
        for (from, to, [kernel, stride, pad, groups]) in CONVOLUTIONS {
            for (batch, nhwc, ty) in [
                (1, false, CUDNN_DATA_FLOAT),
                (2, true, CUDNN_DATA_HALF),
                (128, false, CUDNN_DATA_HALF),
                (7, true, CUDNN_DATA_BFLOAT16),
            ] {
                let (x, w) = ([batch, from[0], from[1], from[1]], [to[0], from[0] / groups, kernel, kernel]);
                let got = library.convolve(nhwc, ty, x, w, [stride, pad, groups]);
                assert_eq!(got, (CUDNN_STATUS_SUCCESS, [batch, to[0], to[1], to[1]]), "{}: {x:?} {w:?}", library.name);
            }
        }
    }
}

#[test]
fn convolutions_that_do_not_fit_are_refused() {
    for library in libraries() {
        let refused = |x, w, numbers| library.convolve(false, CUDNN_DATA_FLOAT, x, w, numbers).0;
        assert_eq!(
            refused([1, 4, 8, 8], [6, 3, 3, 3], [1, 0, 1]),
            CUDNN_STATUS_BAD_PARAM,
            "{}: channels",
            library.name
        );
        assert_eq!(refused([1, 4, 8, 8], [6, 4, 3, 3], [1, 0, 2]), CUDNN_STATUS_BAD_PARAM, "{}: groups", library.name);
        // that the outputs divide by the groups is checked later
        assert_eq!(
            refused([1, 4, 8, 8], [7, 2, 3, 3], [1, 0, 2]),
            CUDNN_STATUS_SUCCESS,
            "{}: outputs by groups",
            library.name
        );
        assert_eq!(
            refused([1, 4, 2, 2], [6, 4, 3, 3], [1, 0, 1]),
            CUDNN_STATUS_BAD_PARAM,
            "{}: a window too large",
            library.name
        );
    }
}

#[test]
fn pools_have_floor_sizes() {
    for library in libraries() {
        for (from, to, numbers) in [
            (55, 27, [3, 2, 0]),
            (27, 13, [3, 2, 0]),
            (13, 6, [3, 2, 0]),
            (224, 112, [2, 2, 0]),
            (6, 2, [3, 2, 0]),
            (7, 4, [3, 2, 1]),
        ] {
            let got = library.pool([2, 5, from, from], numbers);
            assert_eq!(got, (CUDNN_STATUS_SUCCESS, [2, 5, to, to]), "{}: {from} {numbers:?}", library.name);
        }
    }
}

#[test]
fn descriptor_numbers_are_checked() {
    for library in &libraries() {
        let name = &library.name;
        let tensor = library.tensor(false, CUDNN_DATA_FLOAT, [1, 1, 1, 1]);
        let set = |n, c, h, w| {
            dnn!(library, cudnnSetTensor4dDescriptor(tensor, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, n, c, h, w))
        };
        for [n, c, h, w] in [[0, 1, 1, 1], [1, 0, 5, 5], [1, 1, -1, 1], [1, 1, 1, 0]] {
            assert_eq!(set(n, c, h, w), CUDNN_STATUS_BAD_PARAM, "{name}: {n} {c} {h} {w}");
        }
        let filter = library.filter(false, CUDNN_DATA_FLOAT, [1, 1, 1, 1]);
        let set = dnn!(library, cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 1, 0, 1, 1));
        assert_eq!(set, CUDNN_STATUS_BAD_PARAM, "{name}: filter");
        dnn!(library, cudnnDestroyFilterDescriptor(filter));
        dnn!(library, cudnnDestroyTensorDescriptor(tensor));
    }
}

#[test]
fn convolution_numbers_are_checked() {
    for library in &libraries() {
        let name = &library.name;
        let mut convolution = null_mut();
        dnn!(library, cudnnCreateConvolutionDescriptor(&mut convolution));
        let set = |pad, stride, dilation| {
            dnn!(
                library,
                cudnnSetConvolution2dDescriptor(
                    convolution,
                    pad,
                    pad,
                    stride,
                    stride,
                    dilation,
                    dilation,
                    CUDNN_CROSS_CORRELATION,
                    CUDNN_DATA_FLOAT
                )
            )
        };
        for (numbers, status) in [
            ((0, 1, 1), CUDNN_STATUS_SUCCESS),
            ((-1, 1, 1), CUDNN_STATUS_BAD_PARAM),
            ((0, 0, 1), CUDNN_STATUS_BAD_PARAM),
            ((0, 1, 0), CUDNN_STATUS_BAD_PARAM),
        ] {
            assert_eq!(set(numbers.0, numbers.1, numbers.2), status, "{name}: {numbers:?}");
        }
        assert_eq!(
            dnn!(library, cudnnSetConvolutionGroupCount(convolution, 0)),
            CUDNN_STATUS_BAD_PARAM,
            "{name}: groups"
        );
        dnn!(library, cudnnDestroyConvolutionDescriptor(convolution));
    }
}

#[test]
fn pooling_numbers_are_checked() {
    for library in &libraries() {
        let name = &library.name;
        let mut pooling = null_mut();
        dnn!(library, cudnnCreatePoolingDescriptor(&mut pooling));
        let set = |window, stride, pad| {
            dnn!(
                library,
                cudnnSetPooling2dDescriptor(
                    pooling,
                    CUDNN_POOLING_MAX,
                    CUDNN_NOT_PROPAGATE_NAN,
                    window,
                    window,
                    pad,
                    pad,
                    stride,
                    stride
                )
            )
        };
        for (numbers, status) in [
            ((2, 2, 0), CUDNN_STATUS_SUCCESS),
            ((0, 2, 0), CUDNN_STATUS_BAD_PARAM),
            ((2, 0, 0), CUDNN_STATUS_BAD_PARAM),
        ] {
            assert_eq!(set(numbers.0, numbers.1, numbers.2), status, "{name}: {numbers:?}");
        }
        dnn!(library, cudnnDestroyPoolingDescriptor(pooling));
    }
}

#[test]
fn lrn_has_limits() {
    for library in libraries() {
        let mut lrn = null_mut();
        dnn!(library, cudnnCreateLRNDescriptor(&mut lrn));
        for (n, k, beta, status) in [
            (5, 2.0, 0.75, CUDNN_STATUS_SUCCESS),
            (1, 1.0, 0.75, CUDNN_STATUS_SUCCESS),
            (16, 1e-5, 0.01, CUDNN_STATUS_SUCCESS),
            (17, 2.0, 0.75, CUDNN_STATUS_BAD_PARAM),
            (0, 2.0, 0.75, CUDNN_STATUS_BAD_PARAM),
            (5, 1e-6, 0.75, CUDNN_STATUS_BAD_PARAM),
            (5, 1.0, 0.001, CUDNN_STATUS_BAD_PARAM),
        ] {
            let got = dnn!(library, cudnnSetLRNDescriptor(lrn, n, 1e-4, beta, k));
            assert_eq!(got, status, "{}: n {n}, k {k}, beta {beta}", library.name);
        }
        dnn!(library, cudnnDestroyLRNDescriptor(lrn));
    }
}

/// The trap: f32 tensors may be rounded to TF32 unless FMA is asked for.
#[test]
fn a_fresh_convolution_allows_tf32() {
    for library in libraries() {
        let (mut convolution, mut math) = (null_mut(), CUDNN_TENSOR_OP_MATH);
        dnn!(library, cudnnCreateConvolutionDescriptor(&mut convolution));
        dnn!(library, cudnnGetConvolutionMathType(convolution, &mut math));
        assert_eq!(math, CUDNN_DEFAULT_MATH, "{}", library.name);
        dnn!(library, cudnnSetConvolutionMathType(convolution, CUDNN_FMA_MATH));
        dnn!(library, cudnnGetConvolutionMathType(convolution, &mut math));
        assert_eq!(math, CUDNN_FMA_MATH, "{}", library.name);
        dnn!(library, cudnnDestroyConvolutionDescriptor(convolution));
    }
}

#[test]
fn tensors_know_their_strides_and_bytes() {
    for library in libraries() {
        for (nhwc, ty, bytes, strides) in [
            (false, CUDNN_DATA_FLOAT, 2 * 3 * 4 * 5 * 4, [60, 20, 5, 1]),
            (true, CUDNN_DATA_HALF, 2 * 3 * 4 * 5 * 2, [60, 1, 15, 3]),
        ] {
            let tensor = library.tensor(nhwc, ty, [2, 3, 4, 5]);
            let (mut size, mut got_type, mut dims, mut got) = (0, CUDNN_DATA_DOUBLE, [0; 4], [0; 4]);
            let ([n, c, h, w], [sn, sc, sh, sw]) = (&mut dims, &mut got);
            dnn!(library, cudnnGetTensor4dDescriptor(tensor, &mut got_type, n, c, h, w, sn, sc, sh, sw));
            dnn!(library, cudnnGetTensorSizeInBytes(tensor, &mut size));
            assert_eq!((size, got_type, dims, got), (bytes, ty, [2, 3, 4, 5], strides), "{}", library.name);
            dnn!(library, cudnnDestroyTensorDescriptor(tensor));
        }
        // rows padded to 8 elements: the last one's padding does not count
        let tensor = library.tensor(false, CUDNN_DATA_FLOAT, [1, 1, 1, 1]);
        let mut size = 0;
        let set = dnn!(library, cudnnSetTensor4dDescriptorEx(tensor, CUDNN_DATA_FLOAT, 1, 1, 3, 5, 24, 24, 8, 1));
        dnn!(library, cudnnGetTensorSizeInBytes(tensor, &mut size));
        assert_eq!((set, size), (CUDNN_STATUS_SUCCESS, 4 * 21), "{}", library.name);
        let nd = dnn!(
            library,
            cudnnSetTensorNdDescriptor(tensor, CUDNN_DATA_HALF, 4, [2, 3, 1, 1].as_ptr(), [3, 1, 1, 1].as_ptr())
        );
        dnn!(library, cudnnGetTensorSizeInBytes(tensor, &mut size));
        assert_eq!((nd, size), (CUDNN_STATUS_SUCCESS, 12), "{}", library.name);
        dnn!(library, cudnnDestroyTensorDescriptor(tensor));

        let filter = library.filter(true, CUDNN_DATA_HALF, [8, 3, 5, 5]);
        dnn!(library, cudnnGetFilterSizeInBytes(filter, &mut size));
        assert_eq!(size, 8 * 3 * 25 * 2, "{}", library.name);
        dnn!(library, cudnnDestroyFilterDescriptor(filter));
    }
}

/// Batch normalisation's parameters are f32 whatever the tensor's type.
#[test]
fn batchnorm_parameters_are_f32_per_channel() {
    for library in libraries() {
        for ty in [CUDNN_DATA_FLOAT, CUDNN_DATA_HALF, CUDNN_DATA_BFLOAT16] {
            let (x, derived) = (library.tensor(false, ty, [8, 6, 4, 4]), library.tensor(false, ty, [1, 1, 1, 1]));
            let status = dnn!(
                library,
                cudnnDeriveBNTensorDescriptor(derived, x, sys::cudnnBatchNormMode_t::CUDNN_BATCHNORM_SPATIAL)
            );
            let (mut got_type, mut dims, mut strides) = (CUDNN_DATA_DOUBLE, [0; 4], [0; 4]);
            let ([n, c, h, w], [sn, sc, sh, sw]) = (&mut dims, &mut strides);
            dnn!(library, cudnnGetTensor4dDescriptor(derived, &mut got_type, n, c, h, w, sn, sc, sh, sw));
            assert_eq!(
                (status, got_type, dims),
                (CUDNN_STATUS_SUCCESS, CUDNN_DATA_FLOAT, [1, 6, 1, 1]),
                "{} {ty:?}",
                library.name
            );
            dnn!(library, cudnnDestroyTensorDescriptor(x));
            dnn!(library, cudnnDestroyTensorDescriptor(derived));
        }
    }
}
