//! Batch normalisation with training statistics.

use crate::harness::*;

const EPS: f32 = 1e-5;
const MOMENTUM: f32 = 0.1;

/// One channel's reference values: y, dx, dgamma, dbeta, mean, inverse, unbiased variance.
struct Reference {
    y: Vec<f64>,
    dx: Vec<f64>,
    dgamma: f64,
    dbeta: f64,
    mean: f64,
    inverse: f64,
    unbiased: f64,
}

/// The gradient is written out per pair of elements: d y_j / d x_i = gamma * inverse * ([i = j] - (1 + xhat_i xhat_j) / n).
fn reference(x: &[f64], dy: &[f64], gamma: f64, beta: f64) -> Reference {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let squares: f64 = x.iter().map(|v| (v - mean).powi(2)).sum();
    let inverse = 1.0 / (squares / n + f64::from(EPS)).sqrt();
    let xhat: Vec<f64> = x.iter().map(|v| (v - mean) * inverse).collect();
    let dbeta: f64 = dy.iter().sum();
    let dgamma: f64 = dy.iter().zip(&xhat).map(|(d, h)| d * h).sum();
    let dx = dy.iter().zip(&xhat).map(|(d, h)| gamma * inverse * (d - dbeta / n - h * dgamma / n)).collect();
    let y = xhat.iter().map(|h| h * gamma + beta).collect();
    Reference { y, dx, dgamma, dbeta, mean, inverse, unbiased: squares / (n - 1.0).max(1.0) }
}

fn check<T: Storage>() {
    for ((images, channels, spatial), nhwc) in
        [(1, 1, 31), (2, 3, 16), (1, 33, 32), (3, 5, 341), (4, 7, 300), (2, 2, 1023)]
            .into_iter()
            .flat_map(|s| [(s, false), (s, true)])
    {
        let n = images * channels * spatial;
        let at = |k: usize, c: usize| {
            if nhwc { k * channels + c } else { (k / spatial * channels + c) * spatial + k % spatial }
        };
        let count = images * spatial;
        let (x, dy) = (numbers::<T>(n, 50), numbers::<T>(n, 51));
        let (gamma, beta) = (numbers::<f32>(channels, 52), numbers::<f32>(channels, 53));
        let column = |v: &[f64], c: usize| -> Vec<f64> { (0..count).map(|k| v[at(k, c)]).collect() };
        let expected: Vec<Reference> =
            (0..channels).map(|c| reference(&column(&x, c), &column(&dy, c), gamma[c], beta[c])).collect();

        let (bx, by) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(n));
        let (bg, bb) = (Buffer::<f32>::narrowed(&gamma), Buffer::<f32>::narrowed(&beta));
        let fresh = || Buffer::<f32>::fresh(channels);
        let (mean, inverse, dgamma, dbeta) = (fresh(), fresh(), fresh(), fresh());
        let (running_mean, running_variance) = (Buffer::of(&vec![0f32; channels]), Buffer::of(&vec![1f32; channels]));
        let shape = [images as u32, channels as u32, spatial as u32, u32::from(nhwc)];
        let run = |name: &str, arguments: &[&dyn Argument]| {
            launch(&format!("batchnorm_{name}_{}", T::SUFFIX), [channels as u32, 1, 1], [256, 1, 1], arguments);
        };
        run(
            "forward",
            &[&bx, &by, &bg, &bb, &mean, &inverse, &running_mean, &running_variance, &shape, &EPS, &MOMENTUM],
        );
        let (bdy, bdx) = (Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(n));
        run("backward_weights", &[&bx, &bdy, &mean, &inverse, &dgamma, &dbeta, &shape]);
        run("backward_data", &[&bx, &bdy, &bdx, &bg, &mean, &inverse, &dgamma, &dbeta, &shape, &0u32]);

        let per_channel = |f: fn(&Reference) -> f64| expected.iter().map(f).collect::<Vec<f64>>();
        assert_close(&mean.wide(), &per_channel(|r| r.mean), 1e-5, 0.1);
        assert_close(&inverse.wide(), &per_channel(|r| r.inverse), 1e-5, 0.0);
        assert_close(&running_mean.wide(), &per_channel(|r| 0.1 * r.mean), 1e-5, 0.1);
        assert_close(&running_variance.wide(), &per_channel(|r| 0.9 + 0.1 * r.unbiased), 1e-6, 0.0);
        let (y, dx) = (by.wide(), bdx.wide());
        for (c, r) in expected.iter().enumerate() {
            assert_close(&column(&y, c), &r.y, T::EPSILON + 1e-5, 1.0);
            assert_close(&column(&dx, c), &r.dx, T::EPSILON + 2e-5, 1.0);
        }
        assert_close(&dgamma.wide(), &per_channel(|r| r.dgamma), 1e-5, 1.0);
        assert_close(&dbeta.wide(), &per_channel(|r| r.dbeta), 1e-5, 1.0);
    }
}

#[test]
fn batch_normalisation() {
    for_each_type!(check());
}
