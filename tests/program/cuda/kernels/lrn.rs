//! Local response normalisation against its definition, and its gradient against the quotient rule.

use super::harness::*;

/// (images, channels, spatial, window) and the constants alpha, beta, k.
/// Windows that 16 bytes of channels and their neighbours hold, and larger ones; planes that 16 bytes divide, and others.
const CASES: [(usize, usize, usize, usize); 11] = [
    (1, 1, 1, 5),
    (1, 31, 1, 5),
    (2, 4, 4, 3),
    (1, 3, 11, 4),
    (3, 11, 31, 5),
    (5, 5, 41, 1),
    (2, 96, 105, 5),
    (2, 24, 16, 9),
    (2, 16, 8, 8),
    (2, 16, 8, 2),
    (1, 32, 24, 11),
];
const ALPHA: f64 = 0.5;
const BETA: f64 = 0.75;
const K: f64 = 2.0;

/// As `kernels/lrn.cu` declares it.
fn shape(sizes: [usize; 2], nhwc: bool, window: usize, floats: [u32; 3]) -> [u32; 11] {
    let words = sizes.map(divisor).concat().into_iter().chain([u32::from(nhwc), window as u32]).chain(floats);
    words.collect::<Vec<_>>().try_into().unwrap()
}

fn check<T: Storage>() {
    for ((images, channels, spatial, size), nhwc) in CASES.into_iter().flat_map(|c| [(c, false), (c, true)]) {
        let n = images * channels * spatial;
        let at = |image: usize, c: usize, s: usize| {
            if nhwc { (image * spatial + s) * channels + c } else { (image * channels + c) * spatial + s }
        };
        let window = |c: usize| c.saturating_sub(size / 2)..(c + (size - 1) / 2 + 1).min(channels);
        let (x, dy) = (numbers::<T>(n, 40), numbers::<T>(n, 41));
        let (mut scale, mut y, mut dx) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        for (image, s) in (0..images).flat_map(|i| (0..spatial).map(move |s| (i, s))) {
            for c in 0..channels {
                let squares: f64 = window(c).map(|j| x[at(image, j, s)].powi(2)).sum();
                let i = at(image, c, s);
                scale[i] = K + ALPHA / size as f64 * squares;
                y[i] = x[i] * scale[i].powf(-BETA);
            }
            // d y_j / d x_i, by the product rule, for every pair in a window
            for j in 0..channels {
                let (at_j, factor) = (at(image, j, s), -2.0 * ALPHA * BETA / size as f64);
                dx[at_j] += dy[at_j] * scale[at_j].powf(-BETA);
                for i in window(j) {
                    dx[at(image, i, s)] +=
                        dy[at_j] * x[at_j] * factor * scale[at_j].powf(-BETA - 1.0) * x[at(image, i, s)];
                }
            }
        }
        let floats = [ALPHA, BETA, K].map(|v| (v as f32).to_bits());
        let shape = shape([channels, spatial], nhwc, size, floats);
        let (bx, by, bs) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(n), Buffer::<f32>::fresh(n));
        launch_over(&format!("lrn_forward_{}", T::SUFFIX), n, &[&bx, &by, &bs, &shape, &(n as u32)]);
        assert_close(&bs.wide(), &scale, 1e-6, 0.0);
        assert_close(&by.wide(), &y, T::EPSILON + 1e-6, 1e-3);

        let (bdy, bdx) = (Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(n));
        let backward = format!("lrn_backward_{}", T::SUFFIX);
        launch_over(&backward, n, &[&bx, &by, &bs, &bdy, &bdx, &shape, &0u32, &(n as u32)]);
        assert_close(&bdx.wide(), &dx, 2.0 * T::EPSILON + 1e-6, 1.0);
        launch_over(&backward, n, &[&bx, &by, &bs, &bdy, &bdx, &shape, &1u32, &(n as u32)]);
        assert_close(&bdx.wide(), &dx.iter().map(|d| 2.0 * d).collect::<Vec<_>>(), 4.0 * T::EPSILON + 2e-6, 1.0);
    }
}

#[test]
fn local_response_normalisation() {
    for_each_type!(check());
}

#[test]
fn lrn_at_every_size() {
    for n in SIZES {
        let x = numbers::<f32>(n, 42);
        let (bx, by, bs) = (Buffer::<f32>::narrowed(&x), Buffer::<f32>::fresh(n), Buffer::<f32>::fresh(n));
        let shape = shape([1, n], false, 5, [1f32, 0.75, 1.0].map(f32::to_bits));
        launch_over("lrn_forward_f32", n, &[&bx, &by, &bs, &shape, &(n as u32)]);
        let expected: Vec<f64> = x.iter().map(|v| v / (1.0 + v * v / 5.0).powf(0.75)).collect();
        assert_close(&by.wide(), &expected, 1e-6, 1e-6);
    }
}
