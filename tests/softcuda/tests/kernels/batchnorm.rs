//! The gradients of batch normalisation with training statistics.

use crate::harness::*;

const EPS: f32 = 1e-5;

/// One channel's statistics and gradients.
struct Reference {
    dx: Vec<f64>,
    dgamma: f64,
    dbeta: f64,
    mean: f64,
    inverse: f64,
}

/// The gradient is written out per pair of elements: d y_j / d x_i = gamma * inverse * ([i = j] - (1 + xhat_i xhat_j) / n).
fn reference(x: &[f64], dy: &[f64], gamma: f64) -> Reference {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let squares: f64 = x.iter().map(|v| (v - mean).powi(2)).sum();
    let inverse = 1.0 / (squares / n + f64::from(EPS)).sqrt();
    let xhat: Vec<f64> = x.iter().map(|v| (v - mean) * inverse).collect();
    let dbeta: f64 = dy.iter().sum();
    let dgamma: f64 = dy.iter().zip(&xhat).map(|(d, h)| d * h).sum();
    let dx = dy.iter().zip(&xhat).map(|(d, h)| gamma * inverse * (d - dbeta / n - h * dgamma / n)).collect();
    Reference { dx, dgamma, dbeta, mean, inverse }
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
        let gamma = numbers::<f32>(channels, 52);
        let column = |v: &[f64], c: usize| -> Vec<f64> { (0..count).map(|k| v[at(k, c)]).collect() };
        let expected: Vec<Reference> =
            (0..channels).map(|c| reference(&column(&x, c), &column(&dy, c), gamma[c])).collect();

        let per_channel = |f: fn(&Reference) -> f64| expected.iter().map(f).collect::<Vec<f64>>();
        let narrowed = |f: fn(&Reference) -> f64| Buffer::<f32>::narrowed(&per_channel(f));
        let (bg, mean, inverse) = (Buffer::<f32>::narrowed(&gamma), narrowed(|r| r.mean), narrowed(|r| r.inverse));
        let (dgamma, dbeta) = (Buffer::<f32>::fresh(channels), Buffer::<f32>::fresh(channels));
        let shape = [images as u32, channels as u32, spatial as u32, u32::from(nhwc)];
        let run = |name: &str, arguments: &[&dyn Argument]| {
            launch(&format!("batchnorm_{name}_{}", T::SUFFIX), [channels as u32, 1, 1], [256, 1, 1], arguments);
        };
        let (bx, bdy, bdx) = (Buffer::<T>::narrowed(&x), Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(n));
        run("backward_weights", &[&bx, &bdy, &mean, &inverse, &dgamma, &dbeta, &shape]);
        run("backward_data", &[&bx, &bdy, &bdx, &bg, &mean, &inverse, &dgamma, &dbeta, &shape, &0u32]);

        let dx = bdx.wide();
        for (c, r) in expected.iter().enumerate() {
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
