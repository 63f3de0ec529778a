//! A factor and an addend for each channel, and a slope for each below zero.

use super::channels::{Channels, SHAPES, SLICES};
use super::harness::*;

/// For each element the number of its channel.
fn spread(shape: Channels, numbers: &[f64]) -> Vec<f64> {
    (0..shape.elements()).map(|index| numbers[shape.channel_of(index)]).collect()
}

fn factors<T: Storage>() {
    for [outer, channels, inner] in SHAPES {
        let shape = Channels { outer, channels, inner };
        let (n, places) = (shape.elements(), shape.argument());
        let (x, gamma, beta) = (numbers::<T>(n, 60), numbers::<f32>(channels, 61), numbers::<f32>(channels, 62));
        let [of_gamma, of_beta] = [&gamma, &beta].map(|numbers| spread(shape, numbers));
        let (bx, by, bdx) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(n), Buffer::<T>::fresh(n));
        let [gamma, beta] = [&gamma, &beta].map(|numbers| Buffer::<f32>::narrowed(numbers));
        let products: Vec<f64> = x.iter().zip(&of_gamma).map(|(x, g)| x * g).collect();
        let sums: Vec<f64> = products.iter().zip(&of_beta).map(|(p, b)| p + b).collect();
        for (beta, expected) in [(beta.address, &sums), (0, &products)] {
            let forward = format!("scale_forward_{}", T::SUFFIX);
            launch_over(&forward, n, &[&bx, &by, &gamma, &beta, &places, &(n as u32)]);
            assert_close(&by.wide(), expected, T::EPSILON + 1e-7, 1.0);
        }
        for accumulate in [0u32, 1] {
            let backward = format!("scale_backward_data_{}", T::SUFFIX);
            launch_over(&backward, n, &[&bx, &bdx, &gamma, &places, &accumulate, &(n as u32)]);
            let times = f64::from(1 + accumulate);
            let expected: Vec<f64> = products.iter().map(|p| times * p).collect();
            assert_close(&bdx.wide(), &expected, times * T::EPSILON + 1e-7, 1.0);
        }
    }
}

fn slopes<T: Storage>() {
    let names = [format!("prelu_backward_weights_{}", T::SUFFIX), "bias_gradient_total_f32".into()];
    for [outer, channels, inner] in SHAPES {
        let shape = Channels { outer, channels, inner };
        let (n, places) = (shape.elements(), shape.argument());
        let (x, dy, slopes) = (numbers::<T>(n, 63), numbers::<T>(n, 64), numbers::<f32>(channels, 65));
        let of_channel = spread(shape, &slopes);
        let bent = |values: &[f64]| -> Vec<f64> {
            (0..n).map(|i| values[i] * if x[i] < 0.0 { of_channel[i] } else { 1.0 }).collect()
        };
        let [bx, bdy] = [&x, &dy].map(|values| Buffer::<T>::narrowed(values));
        let (to, slopes) = (Buffer::<T>::fresh(n), Buffer::<f32>::narrowed(&slopes));
        let name = format!("prelu_{}", T::SUFFIX);
        launch_over(&name, n, &[&bx, &bx, &to, &slopes, &places, &0u32, &(n as u32)]);
        assert_close(&to.wide(), &bent(&x), T::EPSILON + 1e-7, 1e-3);
        launch_over(&name, n, &[&bx, &bdy, &to, &slopes, &places, &1u32, &(n as u32)]);
        let sums: Vec<f64> = bent(&x).iter().zip(bent(&dy)).map(|(y, dx)| y + dx).collect();
        assert_close(&to.wide(), &sums, 2.0 * T::EPSILON + 1e-7, 1.0);

        let terms: Vec<f64> = (0..n).map(|i| if x[i] < 0.0 { x[i] * dy[i] } else { 0.0 }).collect();
        let expected: Vec<f64> = shape.columns(&terms).iter().map(|column| column.iter().sum()).collect();
        let dslopes = Buffer::<f32>::fresh(channels);
        for slices in SLICES {
            shape.sum_up(names.each_ref().map(String::as_str), slices, &[bx.address, bdy.address], &[dslopes.address]);
            assert_close(&dslopes.wide(), &expected, 1e-6, shape.scale());
        }
    }
}

#[test]
fn a_factor_for_each_channel() {
    for_each_type!(factors());
}

#[test]
fn a_slope_for_each_channel() {
    for_each_type!(slopes());
}
