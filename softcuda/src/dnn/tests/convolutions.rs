//! Convolutions and their gradients.

use super::*;
use crate::dnn::convolution::{
    cudnnConvolutionBackwardBias, cudnnConvolutionBackwardData, cudnnConvolutionBackwardFilter,
    cudnnConvolutionForward, cudnnCreateConvolutionDescriptor, cudnnSetConvolution2dDescriptor,
    cudnnSetConvolutionGroupCount, cudnnSetConvolutionMathType,
};

pub struct Case {
    x: [usize; 4],
    w: [usize; 4],
    y: [usize; 4],
    pub pad: [i32; 2],
    pub stride: [i32; 2],
    pub dilation: [i32; 2],
    groups: usize,
}

pub const CASES: [Case; 4] = [
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
        ok!(cudnnCreateConvolutionDescriptor(&mut c));
        ok!(cudnnSetConvolution2dDescriptor(c, ph, pw, sh, sw, dh, dw, mode, ty));
        ok!(cudnnSetConvolutionGroupCount(c, self.groups as i32));
        ok!(cudnnSetConvolutionMathType(c, cudnnMathType_t::CUDNN_FMA_MATH));
        c
    }

    fn filter(&self, element: Element, nhwc: bool) -> cudnnFilterDescriptor_t {
        let (mut f, [k, c, r, s]) = (null_mut(), self.w.map(|d| d as i32));
        ok!(crate::dnn::filter::cudnnCreateFilterDescriptor(&mut f));
        let ty = crate::dnn::descriptor::data_type(element);
        ok!(crate::dnn::filter::cudnnSetFilter4dDescriptor(f, ty, format(nhwc), k, c, r, s));
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

/// A case on the device: its tensors with their values, and its descriptors.
pub struct Problem<'a> {
    pub case: &'a Case,
    element: Element,
    nhwc: bool,
    pub handle: cudnnHandle_t,
    convolution: cudnnConvolutionDescriptor_t,
    filter: cudnnFilterDescriptor_t,
    values: [Vec<f64>; 3],
    pub tensors: [Device; 3],
}

pub const ALPHA: f32 = 0.5;
pub const BETA: f32 = 2.0;

impl<'a> Problem<'a> {
    pub fn new(case: &'a Case, element: Element, nhwc: bool) -> Self {
        let dims = [case.x, case.w, case.y];
        let count = |dims: [usize; 4]| dims.iter().product::<usize>();
        let values = [1, 2, 3].map(|i| rounded(numbers(count(dims[i - 1]), i as u32), element));
        let tensors = [0, 1, 2].map(|i| Device::new(dims[i], element, nhwc, Some(&values[i])));
        let (handle, convolution, filter) = (handle(), case.descriptor(), case.filter(element, nhwc));
        Problem { case, element, nhwc, handle, convolution, filter, values, tensors }
    }

    /// A tensor for results, with the values of operand `i` before.
    pub fn out(&self, i: usize) -> Device {
        let dims = [self.case.x, self.case.w, self.case.y][i];
        Device::new(dims, self.element, self.nhwc, Some(&self.values[i]))
    }

    pub fn forward(&self) -> Device {
        let ([x, w, _], out) = (&self.tensors, self.out(2));
        let algo = cudnnConvolutionFwdAlgo_t::CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM;
        let (alpha, beta, none) = (pointer(&ALPHA), pointer(&BETA), null_mut());
        let (c, f, xd, yd) = (self.convolution, self.filter, x.descriptor, out.descriptor);
        let (handle, x, w, y) = (self.handle, x.p(), w.p(), out.p());
        ok!(cudnnConvolutionForward(handle, alpha, xd, x, f, w, c, algo, none, 0, beta, yd, y));
        out
    }

    pub fn backward_data(&self) -> Device {
        let ([_, w, dy], out) = (&self.tensors, self.out(0));
        let algo = cudnnConvolutionBwdDataAlgo_t::CUDNN_CONVOLUTION_BWD_DATA_ALGO_0;
        let (alpha, beta, none) = (pointer(&ALPHA), pointer(&BETA), null_mut());
        let (c, f, dyd, dxd) = (self.convolution, self.filter, dy.descriptor, out.descriptor);
        let (handle, w, dy, dx) = (self.handle, w.p(), dy.p(), out.p());
        ok!(cudnnConvolutionBackwardData(handle, alpha, f, w, dyd, dy, c, algo, none, 0, beta, dxd, dx));
        out
    }

    pub fn backward_filter(&self) -> Device {
        let ([x, _, dy], out) = (&self.tensors, self.out(1));
        let algo = cudnnConvolutionBwdFilterAlgo_t::CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0;
        let (alpha, beta, none) = (pointer(&ALPHA), pointer(&BETA), null_mut());
        let (c, f, xd, dyd) = (self.convolution, self.filter, x.descriptor, dy.descriptor);
        let (handle, x, dy, dw) = (self.handle, x.p(), dy.p(), out.p());
        ok!(cudnnConvolutionBackwardFilter(handle, alpha, xd, x, dyd, dy, c, algo, none, 0, beta, f, dw));
        out
    }

    /// Onto ones.
    fn backward_bias(&self) -> Device {
        let (dy, channels) = (&self.tensors[2], self.case.y[1]);
        let out = Device::new([1, channels, 1, 1], self.element, self.nhwc, Some(&vec![1.0; channels]));
        let (alpha, beta, dyd, dbd) = (pointer(&ALPHA), pointer(&BETA), dy.descriptor, out.descriptor);
        ok!(cudnnConvolutionBackwardBias(self.handle, alpha, dyd, dy.p(), beta, dbd, out.p()));
        out
    }
}

fn check_convolution(case: &Case, element: Element, nhwc: bool, tolerance: f64) {
    let problem = Problem::new(case, element, nhwc);
    let [x, w, y] = &problem.values;
    let [mut dx, mut dw, mut forward] = [x, w, y].map(|values| vec![0.0; values.len()]);
    case.products(|i, j, o| {
        forward[o] += x[i] * w[j];
        dx[i] += y[o] * w[j];
        dw[j] += y[o] * x[i];
    });
    assert_close(&problem.forward().read(), &blended(forward, y), tolerance);
    assert_close(&problem.backward_data().read(), &blended(dx, x), tolerance);
    assert_close(&problem.backward_filter().read(), &blended(dw, w), tolerance);
    let mut sums = vec![0.0; case.y[1]];
    y.iter().enumerate().for_each(|(i, v)| sums[i / (case.y[2] * case.y[3]) % case.y[1]] += v);
    assert_close(&problem.backward_bias().read(), &blended(sums, &vec![1.0; case.y[1]]), tolerance);
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
        ok!(cudnnSetConvolutionMathType(c, math));
        ok!(cudnnConvolutionForward(
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
