//! Normalisation of every pixel over its channels, by its definition.

use super::channels::{Channels, SLICES};
use super::harness::*;

const EPS: f64 = 1e-5;
/// Channels that lie together, more and fewer than a warp, and planes.
const SHAPES: [[usize; 3]; 6] = [[1, 2, 1], [9, 31, 1], [3, 96, 1], [2, 3, 49], [1, 33, 300], [2, 8, 16]];

/// One pixel's normalised channels, and dx, whose matrix is written out: inverse * ([i = j] - (1 + xhat_i xhat_j) / n) * gamma_j.
fn reference(x: &[f64], dy: &[f64], gamma: &[f64]) -> (Vec<f64>, Vec<f64>, [f64; 2]) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let inverse = 1.0 / (x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n + EPS).sqrt();
    let xhat: Vec<f64> = x.iter().map(|v| (v - mean) * inverse).collect();
    let row = |i: usize| {
        let entry = |j: usize| (f64::from(u8::from(i == j)) - (1.0 + xhat[i] * xhat[j]) / n) * gamma[j] * dy[j];
        inverse * (0..x.len()).map(entry).sum::<f64>()
    };
    let dx = (0..x.len()).map(row).collect();
    (xhat, dx, [mean, inverse])
}

fn check<T: Storage>() {
    let totals = [format!("layernorm_backward_weights_{}", T::SUFFIX), "batchnorm_backward_weights_total".into()];
    for [outer, channels, inner] in SHAPES {
        let shape = Channels { outer, channels, inner };
        let (n, pixels, places) = (shape.elements(), outer * inner, shape.argument());
        let (x, dy) = (numbers::<T>(n, 70), numbers::<T>(n, 71));
        let (gamma, beta) = (numbers::<f32>(channels, 72), numbers::<f32>(channels, 73));
        let place = |pixel: usize, c: usize| (pixel / inner * channels + c) * inner + pixel % inner;
        let (mut y, mut dx, mut dgamma, mut statistics) = (vec![0.0; n], vec![0.0; n], vec![0.0; channels], Vec::new());
        let mut widest = 1.0f64;
        for pixel in 0..pixels {
            let of = |values: &[f64]| (0..channels).map(|c| values[place(pixel, c)]).collect::<Vec<f64>>();
            let (xhat, gradient, found) = reference(&of(&x), &of(&dy), &gamma);
            for c in 0..channels {
                let i = place(pixel, c);
                (y[i], dx[i]) = (xhat[c] * gamma[c] + beta[c], gradient[c]);
                dgamma[c] += dy[i] * xhat[c];
            }
            statistics.push(found);
            widest = widest.max(found[1]);
        }
        let dbeta: Vec<f64> = shape.columns(&dy).iter().map(|column| column.iter().sum()).collect();

        let [bx, bdy] = [&x, &dy].map(|values| Buffer::<T>::narrowed(values));
        let [gamma, beta] = [&gamma, &beta].map(|values| Buffer::<f32>::narrowed(values));
        let [mean, inverse] = [0, 1].map(|_| Buffer::<f32>::fresh(pixels));
        let (by, bdx) = (Buffer::<T>::fresh(n), Buffer::<T>::fresh(n));
        // A warp has a pixel whose channels lie together, otherwise a thread has one.
        let blocks = [pixels.div_ceil(if inner == 1 { 8 } else { 256 }) as u32, 1, 1];
        let forward = format!("layernorm_forward_{}", T::SUFFIX);
        launch(&forward, blocks, [32, 8, 1], &[&bx, &by, &gamma, &beta, &mean, &inverse, &(EPS as f32), &places]);
        assert_close(&mean.wide(), &statistics.iter().map(|s| s[0]).collect::<Vec<_>>(), 1e-6, 1.0);
        assert_close(&inverse.wide(), &statistics.iter().map(|s| s[1]).collect::<Vec<_>>(), 1e-5, widest);
        // Values that are nearly the same lose digits.
        assert_close(&by.wide(), &y, T::EPSILON + 1e-6, widest);
        for accumulate in [0u32, 1] {
            let data = format!("layernorm_backward_data_{}", T::SUFFIX);
            launch(&data, blocks, [32, 8, 1], &[&bx, &bdy, &bdx, &gamma, &mean, &inverse, &places, &accumulate]);
            let expected: Vec<f64> = dx.iter().map(|d| f64::from(1 + accumulate) * d).collect();
            assert_close(&bdx.wide(), &expected, 2.0 * T::EPSILON + 2e-6, 1.0 + widest);
        }
        let [dg, db] = [0, 1].map(|_| Buffer::<f32>::fresh(channels));
        let of = [bx.address, bdy.address, mean.address, inverse.address];
        for slices in SLICES {
            shape.sum_up(totals.each_ref().map(String::as_str), slices, &of, &[dg.address, db.address]);
            assert_close(&dg.wide(), &dgamma, 2e-6, widest * shape.scale());
            assert_close(&db.wide(), &dbeta, 2e-6, shape.scale());
        }
    }
}

#[test]
fn layer_normalisation() {
    for_each_type!(check());
}
