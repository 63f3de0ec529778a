//! Pooling, LRN, batch normalisation, softmax, sums.

use super::*;
use crate::dnn::batchnorm::cudnnBatchNormalizationBackward as backward;
use crate::dnn::batchnorm::cudnnBatchNormalizationForwardTraining as training;

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
        ok!(crate::dnn::pooling::cudnnCreatePoolingDescriptor(&mut p));
        let nan = cudnnNanPropagation_t::CUDNN_NOT_PROPAGATE_NAN;
        ok!(crate::dnn::pooling::cudnnSetPooling2dDescriptor(p, mode, nan, 1, 3, 0, 1, 1, 2));
        ok!(crate::dnn::pooling::cudnnPoolingForward(
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
        ok!(crate::dnn::pooling::cudnnPoolingBackward(
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
        ok!(crate::dnn::lrn::cudnnCreateLRNDescriptor(&mut d));
        ok!(crate::dnn::lrn::cudnnSetLRNDescriptor(d, n, 0.5, 0.75, 2.0));
        let mode = cudnnLRNMode_t::CUDNN_LRN_CROSS_CHANNEL_DIM1;
        let forward = |x: &[f64]| {
            let (x, y) = (Device::new(dims, Element::F32, nhwc, Some(x)), Device::new(dims, Element::F32, nhwc, None));
            ok!(crate::dnn::lrn::cudnnLRNCrossChannelForward(
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
        ok!(crate::dnn::lrn::cudnnLRNCrossChannelBackward(
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

/// The values of a channel in a tensor of [3, 2, 2, 2].
fn channel(values: &[f64], c: usize) -> Vec<f64> {
    (0..24).filter(|i| i / 4 % 2 == c).map(|i| values[i]).collect()
}

/// One number for each of two channels.
fn parameter(values: &[f64]) -> Device {
    Device::new([1, 2, 1, 1], Element::F32, false, Some(values))
}

#[test]
fn batch_normalisation_and_its_gradient() {
    let handle = handle();
    let (dims, mode) = ([3, 2, 2, 2], cudnnBatchNormMode_t::CUDNN_BATCHNORM_SPATIAL);
    let (x, dy, gamma, beta) = (numbers(24, 7), numbers(24, 8), [1.5, -0.5], [0.25, 1.0]);
    for nhwc in [false, true] {
        let (g, b, mean, variance) = (parameter(&gamma), parameter(&beta), parameter(&[0.0; 2]), parameter(&[1.0; 2]));
        let (saved, inverse) = (parameter(&[0.0; 2]), parameter(&[0.0; 2]));
        let forward = |x: &[f64], running: bool| {
            let (x, y) = (Device::new(dims, Element::F32, nhwc, Some(x)), Device::new(dims, Element::F32, nhwc, None));
            let (m, v) = if running { (mean.p(), variance.p()) } else { (null_mut(), null_mut()) };
            let (one, zero, xd, yd, gd) = (pointer(&1.0), pointer(&0.0), x.descriptor, y.descriptor, g.descriptor);
            let (xp, yp, gp, bp, sp, ip) = (x.p(), y.p(), g.p(), b.p(), saved.p(), inverse.p());
            ok!(training(handle, mode, one, zero, xd, xp, yd, yp, gd, gp, bp, 0.1, m, v, 1e-5, sp, ip));
            y.read()
        };
        let numerical = numerical_gradient(&x, &dy, &|x| forward(x, false));
        let y = forward(&x, true);
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
        let (one, zero, gd) = (pointer(&1.0), pointer(&0.0), g.descriptor);
        let (xd, dyd, dxd, xp, dyp, dxp) = (bx.descriptor, bdy.descriptor, dx.descriptor, bx.p(), bdy.p(), dx.p());
        let (gp, dgp, dbp, sp, ip) = (g.p(), dgamma.p(), dbeta.p(), saved.p(), inverse.p());
        ok!(backward(handle, mode, one, zero, one, zero, xd, xp, dyd, dyp, dxd, dxp, gd, gp, dgp, dbp, 1e-5, sp, ip));
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
        ok!(crate::dnn::activation::cudnnSoftmaxForward(
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
    ok!(crate::dnn::activation::cudnnSoftmaxBackward(
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
    ok!(crate::dnn::ops::cudnnAddTensor(
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
