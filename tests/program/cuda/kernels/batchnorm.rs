//! The gradients of batch normalisation with training statistics.

use super::channels::{Channels, SHAPES, SLICES};
use super::harness::*;

const EPS: f64 = 1e-5;

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
    let inverse = 1.0 / (squares / n + EPS).sqrt();
    let xhat: Vec<f64> = x.iter().map(|v| (v - mean) * inverse).collect();
    let dbeta: f64 = dy.iter().sum();
    let dgamma: f64 = dy.iter().zip(&xhat).map(|(d, h)| d * h).sum();
    let dx = dy.iter().zip(&xhat).map(|(d, h)| gamma * inverse * (d - dbeta / n - h * dgamma / n)).collect();
    Reference { dx, dgamma, dbeta, mean, inverse }
}

fn check<T: Storage>() {
    let names = [format!("batchnorm_backward_weights_{}", T::SUFFIX), "batchnorm_backward_weights_total".into()];
    for [outer, channels, inner] in SHAPES {
        let shape = Channels { outer, channels, inner };
        let n = shape.elements();
        let (x, dy, gamma) = (numbers::<T>(n, 50), numbers::<T>(n, 51), numbers::<f32>(channels, 52));
        let columns = shape.columns(&x).into_iter().zip(shape.columns(&dy)).zip(&gamma);
        let expected: Vec<Reference> = columns.map(|((x, dy), gamma)| reference(&x, &dy, *gamma)).collect();
        let per_channel = |f: fn(&Reference) -> f64| expected.iter().map(f).collect::<Vec<f64>>();

        let (bx, bdy) = (Buffer::<T>::narrowed(&x), Buffer::<T>::narrowed(&dy));
        let [mean, inverse, gamma] =
            [per_channel(|r| r.mean), per_channel(|r| r.inverse), gamma].map(|v| Buffer::<f32>::narrowed(&v));
        let [dgamma, dbeta] = [0, 1].map(|_| Buffer::<f32>::fresh(channels));
        let of = [bx.address, bdy.address, mean.address, inverse.address];
        for slices in SLICES {
            shape.sum_up(names.each_ref().map(String::as_str), slices, &of, &[dgamma.address, dbeta.address]);
            assert_close(&dgamma.wide(), &per_channel(|r| r.dgamma), 2e-6, shape.scale());
            assert_close(&dbeta.wide(), &per_channel(|r| r.dbeta), 2e-6, shape.scale());
        }

        let dx = Buffer::<T>::fresh(n);
        for accumulate in [0, 1] {
            launch_over(
                &format!("batchnorm_backward_data_{}", T::SUFFIX),
                n,
                &[
                    &bx,
                    &bdy,
                    &dx,
                    &gamma,
                    &mean,
                    &inverse,
                    &dgamma,
                    &dbeta,
                    &shape.argument(),
                    &(accumulate as u32),
                    &(n as u32),
                ],
            );
            for (got, r) in shape.columns(&dx.wide()).iter().zip(&expected) {
                let sum: Vec<f64> = r.dx.iter().map(|d| d * f64::from(1 + accumulate)).collect();
                // Two values that are nearly the same lose digits.
                assert_close(got, &sum, 2.0 * T::EPSILON + 2e-5, 1.0 + r.inverse);
            }
        }
    }
}

#[test]
fn batch_normalisation() {
    for_each_type!(check());
}
