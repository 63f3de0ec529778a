//! Local response normalisation within each channel against its definition, and its gradient against the quotient rule.

use super::harness::*;

/// (images, channels, height, width, window): rows and channels that 16 bytes divide, and others; windows as large as vectors and their
/// neighbours, and larger ones.
const CASES: [[usize; 5]; 6] =
    [[1, 1, 1, 1, 3], [2, 3, 5, 7, 3], [1, 2, 6, 16, 5], [2, 16, 3, 8, 9], [1, 8, 4, 24, 11], [1, 5, 13, 32, 7]];
const ALPHA: f64 = 0.5;
const BETA: f64 = 0.75;
const K: f64 = 2.0;

fn check<T: Storage>() {
    for ([images, channels, height, width, size], nhwc) in
        CASES.into_iter().flat_map(|case| [(case, false), (case, true)])
    {
        let n = images * channels * height * width;
        let at = |plane: usize, row: usize, column: usize| {
            let (image, c) = (plane / channels, plane % channels);
            if nhwc {
                ((image * height + row) * width + column) * channels + c
            } else {
                (plane * height + row) * width + column
            }
        };
        let around = |at: usize, of: usize| at.saturating_sub(size / 2)..(at + size / 2 + 1).min(of);
        let window = |row: usize, column: usize| {
            around(row, height).flat_map(move |r| around(column, width).map(move |c| (r, c)))
        };
        let pixels =
            || (0..images * channels).flat_map(|p| (0..height).flat_map(move |r| (0..width).map(move |c| (p, r, c))));
        let area = (size * size) as f64;
        let (x, dy) = (numbers::<T>(n, 43), numbers::<T>(n, 44));
        let (mut scale, mut y, mut dx) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        for (plane, row, column) in pixels() {
            let i = at(plane, row, column);
            let squares: f64 = window(row, column).map(|(r, c)| x[at(plane, r, c)].powi(2)).sum();
            scale[i] = K + ALPHA / area * squares;
            y[i] = x[i] * scale[i].powf(-BETA);
        }
        // d y_j / d x_i, by the product rule, for every pair in a window.
        for (plane, row, column) in pixels() {
            let j = at(plane, row, column);
            dx[j] += dy[j] * scale[j].powf(-BETA);
            for i in window(row, column).map(|(r, c)| at(plane, r, c)) {
                dx[i] -= 2.0 * ALPHA * BETA / area * dy[j] * x[j] * scale[j].powf(-BETA - 1.0) * x[i];
            }
        }
        let inner = if nhwc { channels } else { 1 };
        let floats = [ALPHA, BETA, K].map(|v| (v as f32).to_bits());
        let shape = [height, width, inner].map(divisor).concat().into_iter().chain([size as u32]).chain(floats);
        let shape: [u32; 13] = shape.collect::<Vec<_>>().try_into().unwrap();
        let [bx, bdy] = [&x, &dy].map(|values| Buffer::<T>::narrowed(values));
        let (by, bs, bdx) = (Buffer::<T>::fresh(n), Buffer::<f32>::fresh(n), Buffer::<T>::fresh(n));
        launch_over(&format!("lrn_within_forward_{}", T::SUFFIX), n, &[&bx, &by, &bs, &shape, &(n as u32)]);
        assert_close(&bs.wide(), &scale, 1e-6, 0.0);
        assert_close(&by.wide(), &y, T::EPSILON + 1e-6, 1e-3);
        for accumulate in [0u32, 1] {
            let backward = format!("lrn_within_backward_{}", T::SUFFIX);
            launch_over(&backward, n, &[&bx, &by, &bs, &bdy, &bdx, &shape, &accumulate, &(n as u32)]);
            let times = f64::from(1 + accumulate);
            let expected: Vec<f64> = dx.iter().map(|d| times * d).collect();
            assert_close(&bdx.wide(), &expected, times * (2.0 * T::EPSILON + 1e-6), 1.0);
        }
    }
}

#[test]
fn local_response_normalisation_within_channels() {
    for_each_type!(check());
}
