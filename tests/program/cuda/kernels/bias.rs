//! The bias of convolutions and fully connected layers.

use super::channels::{Channels, SHAPES, SLICES};
use super::harness::*;

#[test]
fn bias_and_its_gradient() {
    fn check<T: Storage>() {
        let names = ["bias_gradient", "bias_gradient_total"].map(|name| format!("{name}_{}", T::SUFFIX));
        for [outer, channels, inner] in SHAPES {
            let shape = Channels { outer, channels, inner };
            let n = shape.elements();
            let (y, bias) = (numbers::<T>(n, 10), numbers::<T>(channels, 11));
            let (by, bb) = (Buffer::<T>::narrowed(&y), Buffer::<T>::narrowed(&bias));
            let sums: Vec<f64> = shape.columns(&y).iter().map(|column| column.iter().sum()).collect();
            for slices in SLICES {
                let db = Buffer::<T>::fresh(channels);
                shape.sum_up(names.each_ref().map(String::as_str), slices, &[by.address], &[db.address]);
                assert_close(&db.wide(), &sums, T::EPSILON + 1e-6, shape.scale());
            }
            launch_over(&format!("bias_add_{}", T::SUFFIX), n, &[&by, &bb, &shape.argument(), &(n as u32)]);
            let added: Vec<f64> = (0..n).map(|i| y[i] + bias[shape.channel_of(i)]).collect();
            assert_close(&by.wide(), &added, T::EPSILON, 1.0);
        }
    }
    for_each_type!(check());
}
