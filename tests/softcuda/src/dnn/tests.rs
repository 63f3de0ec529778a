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
        ok!(super::tensor::cudnnCreateTensorDescriptor(&mut descriptor));
        let ty = super::descriptor::data_type(element);
        let [n, c, h, w] = dims.map(|d| d as i32);
        ok!(super::tensor::cudnnSetTensor4dDescriptor(descriptor, format(nhwc), ty, n, c, h, w));
        let tensor = super::tensor::tensor(descriptor).expect("set");
        let address = memory::allocate(tensor.bytes(), u64::MAX).expect("memory");
        if let Some(values) = values {
            let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            tensor.write(address, &values, super::Blend::PLAIN).expect("live");
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
    ok!(super::handle::cudnnCreate(&mut handle));
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

struct Case {
    x: [usize; 4],
    w: [usize; 4],
    y: [usize; 4],
    pad: [i32; 2],
    stride: [i32; 2],
    dilation: [i32; 2],
    groups: usize,
}

const CASES: [Case; 4] = [
    Case {
        x: [2, 3, 9, 7],
        w: [4, 3, 3, 2],
        y: [2, 4, 5, 5],
        pad: [1, 0],
        stride: [2, 1],
        dilation: [1, 2],
        groups: 1,
    },
    Case {
        x: [1, 6, 5, 5],
        w: [4, 3, 3, 3],
        y: [1, 4, 5, 5],
        pad: [1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        groups: 2,
    },
    Case {
        x: [3, 4, 6, 6],
        w: [4, 1, 2, 2],
        y: [3, 4, 3, 3],
        pad: [0, 0],
        stride: [2, 2],
        dilation: [1, 1],
        groups: 4,
    },
    Case {
        x: [2, 5, 1, 1],
        w: [7, 5, 1, 1],
        y: [2, 7, 1, 1],
        pad: [0, 0],
        stride: [1, 1],
        dilation: [1, 1],
        groups: 1,
    },
];

impl Case {
    /// Calls `f(x index, w index, y index)` for every multiplication of the definition.
    fn products(&self, mut f: impl FnMut(usize, usize, usize)) {
        let ([n, c, h, w], [k, cg, r, s], [_, _, oh, ow]) = (self.x, self.w, self.y);
        for (image, out, i, j) in quadruples([n, k, oh, ow]) {
            for (channel, p, q, _) in quadruples([cg, r, s, 1]) {
                let row = i as i32 * self.stride[0] - self.pad[0] + p as i32 * self.dilation[0];
                let column = j as i32 * self.stride[1] - self.pad[1] + q as i32 * self.dilation[1];
                if (0..h as i32).contains(&row) && (0..w as i32).contains(&column) {
                    let from = out / (k / self.groups) * cg + channel;
                    let x = ((image * c + from) * h + row as usize) * w + column as usize;
                    f(x, ((out * cg + channel) * r + p) * s + q, ((image * k + out) * oh + i) * ow + j);
                }
            }
        }
    }

    fn descriptor(&self) -> cudnnConvolutionDescriptor_t {
        let mut c = null_mut();
        let (mode, ty) = (cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
        let ([ph, pw], [sh, sw], [dh, dw]) = (self.pad, self.stride, self.dilation);
        ok!(super::convolution::cudnnCreateConvolutionDescriptor(&mut c));
        ok!(super::convolution::cudnnSetConvolution2dDescriptor(c, ph, pw, sh, sw, dh, dw, mode, ty));
        ok!(super::convolution::cudnnSetConvolutionGroupCount(c, self.groups as i32));
        ok!(super::convolution::cudnnSetConvolutionMathType(c, cudnnMathType_t::CUDNN_FMA_MATH));
        c
    }

    fn filter(&self, element: Element, nhwc: bool) -> cudnnFilterDescriptor_t {
        let (mut f, [k, c, r, s]) = (null_mut(), self.w.map(|d| d as i32));
        ok!(super::filter::cudnnCreateFilterDescriptor(&mut f));
        let ty = super::descriptor::data_type(element);
        ok!(super::filter::cudnnSetFilter4dDescriptor(f, ty, format(nhwc), k, c, r, s));
        f
    }
}

fn quadruples([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / (b * c * d), i / (c * d) % b, i / d % c, i % d))
}

/// 0.5 · result + 2 · what was there.
fn blended(result: Vec<f64>, old: &[f64]) -> Vec<f64> {
    result.iter().zip(old).map(|(r, o)| 0.5 * r + 2.0 * o).collect()
}

fn check_convolution(case: &Case, element: Element, nhwc: bool, tolerance: f64) {
    let (handle, c, f) = (handle(), case.descriptor(), case.filter(element, nhwc));
    let count = |dims: [usize; 4]| dims.iter().product::<usize>();
    let [x, w, y] = [(case.x, 1), (case.w, 2), (case.y, 3)].map(|(d, seed)| rounded(numbers(count(d), seed), element));
    let [dx, dw, dy] = [
        Device::new(case.x, element, nhwc, Some(&x)),
        Device::new(case.w, element, nhwc, Some(&w)),
        Device::new(case.y, element, nhwc, Some(&y)),
    ];
    let (half, two) = (0.5f32, 2f32);
    let (alpha, beta) = (pointer(&half), pointer(&two));
    let zero = || [vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; y.len()]];

    let [mut backward_data, mut backward_filter, mut forward] = zero();
    case.products(|i, j, o| {
        forward[o] += x[i] * w[j];
        backward_data[i] += y[o] * w[j];
        backward_filter[j] += y[o] * x[i];
    });
    let out = Device::new(case.y, element, nhwc, Some(&y));
    let algo = cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
    ok!(super::convolution::cudnnConvolutionForward(
        handle,
        alpha,
        dx.descriptor,
        dx.p(),
        f,
        dw.p(),
        c,
        algo,
        null_mut(),
        0,
        beta,
        out.descriptor,
        out.p()
    ));
    assert_close(&out.read(), &blended(forward, &y), tolerance);

    let out = Device::new(case.x, element, nhwc, Some(&x));
    let algo = cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0;
    ok!(super::convolution::cudnnConvolutionBackwardData(
        handle,
        alpha,
        f,
        dw.p(),
        dy.descriptor,
        dy.p(),
        c,
        algo,
        null_mut(),
        0,
        beta,
        out.descriptor,
        out.p()
    ));
    assert_close(&out.read(), &blended(backward_data, &x), tolerance);

    let out = Device::new(case.w, element, nhwc, Some(&w));
    let algo = cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0;
    ok!(super::convolution::cudnnConvolutionBackwardFilter(
        handle,
        alpha,
        dx.descriptor,
        dx.p(),
        dy.descriptor,
        dy.p(),
        c,
        algo,
        null_mut(),
        0,
        beta,
        f,
        out.p()
    ));
    assert_close(&out.read(), &blended(backward_filter, &w), tolerance);

    let channels = case.y[1];
    let bias = Device::new([1, channels, 1, 1], element, nhwc, Some(&vec![1.0; channels]));
    ok!(super::convolution::cudnnConvolutionBackwardBias(
        handle,
        alpha,
        dy.descriptor,
        dy.p(),
        beta,
        bias.descriptor,
        bias.p()
    ));
    let mut sums = vec![0.0; channels];
    y.iter().enumerate().for_each(|(i, v)| sums[i / (case.y[2] * case.y[3]) % channels] += v);
    assert_close(&bias.read(), &blended(sums, &vec![1.0; channels]), tolerance);
}

#[test]
fn convolutions() {
    for case in &CASES {
        for nhwc in [false, true] {
            check_convolution(case, Element::F32, nhwc, 1e-6);
            check_convolution(case, Element::F16, nhwc, 2e-3);
            check_convolution(case, Element::BF16, nhwc, 1e-2);
        }
    }
}

/// A math type that allows TF32 gives the product of rounded operands, which FMA does not.
#[test]
fn tf32_rounds_its_operands() {
    let (handle, case) = (handle(), &CASES[3]);
    let (c, f) = (case.descriptor(), case.filter(Element::F32, false));
    let (x, w) = (vec![1.0 + 1.0 / 4096.0; 10], vec![1.0; 35]);
    let (dx, dw, y) = (
        Device::new(case.x, Element::F32, false, Some(&x)),
        Device::new(case.w, Element::F32, false, Some(&w)),
        Device::new(case.y, Element::F32, false, None),
    );
    let algo = cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
    for (math, expected) in
        [(cudnnMathType_t::CUDNN_FMA_MATH, 5.0 + 5.0 / 4096.0), (cudnnMathType_t::CUDNN_DEFAULT_MATH, 5.0)]
    {
        ok!(super::convolution::cudnnSetConvolutionMathType(c, math));
        ok!(super::convolution::cudnnConvolutionForward(
            handle,
            pointer(&1.0),
            dx.descriptor,
            dx.p(),
            f,
            dw.p(),
            c,
            algo,
            null_mut(),
            0,
            pointer(&0.0),
            y.descriptor,
            y.p()
        ));
        assert_eq!(y.read(), vec![expected; 14], "{math:?}");
    }
}

/// Windows of 3 with stride 2 and a padding of 1 over a row of five: hand arithmetic.
#[test]
fn pooling_by_hand() {
    use cudnnPoolingMode_t::*;
    let handle = handle();
    let x = Device::new([1, 1, 1, 5], Element::F32, false, Some(&[1.0, 3.0, 3.0, 2.0, 4.0]));
    let (y, dy) = (
        Device::new([1, 1, 1, 3], Element::F32, false, None),
        Device::new([1, 1, 1, 3], Element::F32, false, Some(&[1.0, 10.0, 100.0])),
    );
    let dx = Device::new([1, 1, 1, 5], Element::F32, false, None);
    for (mode, forward, backward) in [
        (CUDNN_POOLING_MAX, [3.0, 3.0, 4.0], [0.0, 11.0, 0.0, 0.0, 100.0]),
        (
            CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING,
            [4.0 / 3.0, 8.0 / 3.0, 2.0],
            [1.0 / 3.0, 11.0 / 3.0, 10.0 / 3.0, 110.0 / 3.0, 100.0 / 3.0],
        ),
        (
            CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING,
            [2.0, 8.0 / 3.0, 3.0],
            [0.5, 0.5 + 10.0 / 3.0, 10.0 / 3.0, 50.0 + 10.0 / 3.0, 50.0],
        ),
    ] {
        let mut p = null_mut();
        ok!(super::pooling::cudnnCreatePoolingDescriptor(&mut p));
        ok!(super::pooling::cudnnSetPooling2dDescriptor(
            p,
            mode,
            cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN,
            1,
            3,
            0,
            1,
            1,
            2
        ));
        ok!(super::pooling::cudnnPoolingForward(
            handle,
            p,
            pointer(&1.0),
            x.descriptor,
            x.p(),
            pointer(&0.0),
            y.descriptor,
            y.p()
        ));
        assert_close(&y.read(), &forward, 1e-6);
        ok!(super::pooling::cudnnPoolingBackward(
            handle,
            p,
            pointer(&1.0),
            y.descriptor,
            y.p(),
            dy.descriptor,
            dy.p(),
            x.descriptor,
            x.p(),
            pointer(&0.0),
            dx.descriptor,
            dx.p()
        ));
        assert_close(&dx.read(), &backward, 1e-6);
    }
}

/// A directional derivative of `forward` at x, weighted by dy, by central differences in the values' own f32.
fn numerical_gradient(x: &[f64], dy: &[f64], forward: &dyn Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let step = 1e-2;
    let value = |i: usize, d: f64| -> f64 {
        let mut x = x.to_vec();
        x[i] += d;
        forward(&x).iter().zip(dy).map(|(y, d)| y * d).sum()
    };
    (0..x.len()).map(|i| (value(i, step) - value(i, -step)) / (2.0 * step)).collect()
}

#[test]
fn lrn_and_its_gradient() {
    let handle = handle();
    for (nhwc, n) in [(false, 5), (true, 3), (true, 4)] {
        let dims = [2, 7, 2, 1];
        let (x, dy) = (numbers(28, 5), numbers(28, 6));
        let mut d = null_mut();
        ok!(super::lrn::cudnnCreateLRNDescriptor(&mut d));
        ok!(super::lrn::cudnnSetLRNDescriptor(d, n, 0.5, 0.75, 2.0));
        let mode = cudnnLRNMode_t::CUDNN_LRN_CROSS_CHANNEL_DIM1;
        let forward = |x: &[f64]| {
            let (x, y) = (Device::new(dims, Element::F32, nhwc, Some(x)), Device::new(dims, Element::F32, nhwc, None));
            ok!(super::lrn::cudnnLRNCrossChannelForward(
                handle,
                d,
                mode,
                pointer(&1.0),
                x.descriptor,
                x.p(),
                pointer(&0.0),
                y.descriptor,
                y.p()
            ));
            y.read()
        };
        let (behind, ahead) = ((n as usize - 1) / 2, n as usize / 2);
        let expected: Vec<f64> = (0..28usize)
            .map(|i| {
                let (image, c, p) = (i / 14, i / 2 % 7, i % 2);
                let window = c.saturating_sub(behind)..(c + ahead + 1).min(7);
                let squares: f64 = window.map(|j| x[image * 14 + j * 2 + p].powi(2)).sum();
                x[i] * (2.0 + 0.5 / f64::from(n) * squares).powf(-0.75)
            })
            .collect();
        assert_close(&forward(&x), &expected, 1e-6);
        let [bx, by, bdy] = [&x, &forward(&x), &dy].map(|v| Device::new(dims, Element::F32, nhwc, Some(v)));
        let dx = Device::new(dims, Element::F32, nhwc, None);
        ok!(super::lrn::cudnnLRNCrossChannelBackward(
            handle,
            d,
            mode,
            pointer(&1.0),
            by.descriptor,
            by.p(),
            bdy.descriptor,
            bdy.p(),
            bx.descriptor,
            bx.p(),
            pointer(&0.0),
            dx.descriptor,
            dx.p()
        ));
        assert_close(&dx.read(), &numerical_gradient(&x, &dy, &forward), 1e-4);
    }
}

#[test]
fn batch_normalisation_and_its_gradient() {
    let handle = handle();
    let (dims, mode) = ([3, 2, 2, 2], cudnnBatchNormMode_t::CUDNN_BATCHNORM_SPATIAL);
    let (x, dy, gamma, beta) = (numbers(24, 7), numbers(24, 8), [1.5, -0.5], [0.25, 1.0]);
    for nhwc in [false, true] {
        let parameter = |values: &[f64]| Device::new([1, 2, 1, 1], Element::F32, false, Some(values));
        let (g, b, mean, variance) = (parameter(&gamma), parameter(&beta), parameter(&[0.0; 2]), parameter(&[1.0; 2]));
        let (saved, inverse) = (parameter(&[0.0; 2]), parameter(&[0.0; 2]));
        let forward = |x: &[f64], running: bool| {
            let (x, y) = (Device::new(dims, Element::F32, nhwc, Some(x)), Device::new(dims, Element::F32, nhwc, None));
            let (m, v) = if running { (mean.p(), variance.p()) } else { (null_mut(), null_mut()) };
            ok!(super::batchnorm::cudnnBatchNormalizationForwardTraining(
                handle,
                mode,
                pointer(&1.0),
                pointer(&0.0),
                x.descriptor,
                x.p(),
                y.descriptor,
                y.p(),
                g.descriptor,
                g.p(),
                b.p(),
                0.1,
                m,
                v,
                1e-5,
                saved.p(),
                inverse.p()
            ));
            y.read()
        };
        let numerical = numerical_gradient(&x, &dy, &|x| forward(x, false));
        let y = forward(&x, true);
        let channel = |v: &[f64], c: usize| -> Vec<f64> { (0..24).filter(|i| i / 4 % 2 == c).map(|i| v[i]).collect() };
        for c in 0..2 {
            let (xs, ys, dys) = (channel(&x, c), channel(&y, c), channel(&dy, c));
            let m = xs.iter().sum::<f64>() / 12.0;
            let v = xs.iter().map(|x| (x - m).powi(2)).sum::<f64>() / 12.0;
            let expected: Vec<f64> = xs.iter().map(|x| (x - m) / (v + 1e-5).sqrt() * gamma[c] + beta[c]).collect();
            assert_close(&ys, &expected, 1e-5);
            assert_close(&[mean.read()[c], variance.read()[c]], &[0.1 * m, 0.9 + 0.1 * v * 12.0 / 11.0], 1e-5);
            assert!(dys.len() == 12);
        }
        let (bx, bdy, dx) = (
            Device::new(dims, Element::F32, nhwc, Some(&x)),
            Device::new(dims, Element::F32, nhwc, Some(&dy)),
            Device::new(dims, Element::F32, nhwc, None),
        );
        let (dgamma, dbeta) = (parameter(&[0.0; 2]), parameter(&[0.0; 2]));
        ok!(super::batchnorm::cudnnBatchNormalizationBackward(
            handle,
            mode,
            pointer(&1.0),
            pointer(&0.0),
            pointer(&1.0),
            pointer(&0.0),
            bx.descriptor,
            bx.p(),
            bdy.descriptor,
            bdy.p(),
            dx.descriptor,
            dx.p(),
            g.descriptor,
            g.p(),
            dgamma.p(),
            dbeta.p(),
            1e-5,
            saved.p(),
            inverse.p()
        ));
        assert_close(&dx.read(), &numerical, 1e-2);
        assert_close(&dbeta.read(), &[0, 1].map(|c| channel(&dy, c).iter().sum()), 1e-5);
        let products =
            [0, 1].map(|c| channel(&dy, c).iter().zip(channel(&y, c)).map(|(d, y)| d * (y - beta[c]) / gamma[c]).sum());
        assert_close(&dgamma.read(), &products, 1e-5);
    }
}

#[test]
fn softmax_and_sums() {
    let handle = handle();
    let (algorithm, mode) =
        (cudnnSoftmaxAlgorithm_t::CUDNN_SOFTMAX_ACCURATE, cudnnSoftmaxMode_t::CUDNN_SOFTMAX_MODE_CHANNEL);
    let (x, dy) = (numbers(12, 9), numbers(12, 10));
    let forward = |x: &[f64]| {
        let (x, y) = (
            Device::new([2, 3, 1, 2], Element::F32, true, Some(x)),
            Device::new([2, 3, 1, 2], Element::F32, true, None),
        );
        ok!(super::activation::cudnnSoftmaxForward(
            handle,
            algorithm,
            mode,
            pointer(&1.0),
            x.descriptor,
            x.p(),
            pointer(&0.0),
            y.descriptor,
            y.p()
        ));
        y.read()
    };
    let y = forward(&x);
    let expected: Vec<f64> =
        (0..12).map(|i| x[i].exp() / (0..3).map(|c| x[i / 6 * 6 + c * 2 + i % 2].exp()).sum::<f64>()).collect();
    assert_close(&y, &expected, 1e-6);
    let [by, bdy] = [&y, &dy].map(|v| Device::new([2, 3, 1, 2], Element::F32, true, Some(v)));
    let dx = Device::new([2, 3, 1, 2], Element::F32, true, None);
    ok!(super::activation::cudnnSoftmaxBackward(
        handle,
        algorithm,
        mode,
        pointer(&1.0),
        by.descriptor,
        by.p(),
        bdy.descriptor,
        bdy.p(),
        pointer(&0.0),
        dx.descriptor,
        dx.p()
    ));
    assert_close(&dx.read(), &numerical_gradient(&x, &dy, &forward), 1e-3);

    let bias = Device::new([1, 3, 1, 1], Element::F32, false, Some(&[1.0, 2.0, 3.0]));
    ok!(super::ops::cudnnAddTensor(
        handle,
        pointer(&2.0),
        bias.descriptor,
        bias.p(),
        pointer(&1.0),
        dx.descriptor,
        dx.p()
    ));
    let before = numerical_gradient(&x, &dy, &forward);
    assert_close(&dx.read(), &(0..12).map(|i| before[i] + 2.0 * (1 + i / 2 % 3) as f64).collect::<Vec<_>>(), 1e-3);
}
