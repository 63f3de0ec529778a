//! relu, add, accumulate, copy_rows, conversions.

use crate::harness::*;

#[test]
fn relu_forward_and_backward() {
    fn check<T: Storage>() {
        for n in SIZES {
            let (x, dy) = (numbers::<T>(n, 1), numbers::<T>(n, 2));
            let (bx, by) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(n));
            launch_over(&format!("relu_forward_{}", T::SUFFIX), n, &[&bx, &by, &(n as u32)]);
            let y: Vec<f64> = x.iter().map(|v| v.max(0.0)).collect();
            assert_same(&by.wide(), &y);

            let (bdy, bdx) = (Buffer::<T>::narrowed(&dy), Buffer::<T>::fresh(n));
            let backward = format!("relu_backward_{}", T::SUFFIX);
            launch_over(&backward, n, &[&by, &bdy, &bdx, &0u32, &(n as u32)]);
            let dx: Vec<f64> = y.iter().zip(&dy).map(|(y, d)| if *y > 0.0 { *d } else { 0.0 }).collect();
            assert_same(&bdx.wide(), &dx);
            launch_over(&backward, n, &[&by, &bdy, &bdx, &1u32, &(n as u32)]);
            assert_same(&bdx.wide(), &dx.iter().map(|d| 2.0 * d).collect::<Vec<_>>());
        }
    }
    for_each_type!(check());
}

#[test]
fn relu_lets_a_nan_through() {
    let (x, y) = (Buffer::of(&[f32::NAN, -1.0]), Buffer::<f32>::fresh(2));
    launch_over("relu_forward_f32", 2, &[&x, &y, &2u32]);
    assert!(y.read()[0].is_nan() && y.read()[1] == 0.0);
}

#[test]
fn add_and_accumulate() {
    fn check<T: Storage>() {
        for n in SIZES {
            let (a, b) = (numbers::<T>(n, 3), numbers::<T>(n, 4));
            let (ba, bb, by) = (Buffer::<T>::narrowed(&a), Buffer::<T>::narrowed(&b), Buffer::<T>::fresh(n));
            let sum: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            launch_over(&format!("add_{}", T::SUFFIX), n, &[&ba, &bb, &by, &(n as u32)]);
            assert_close(&by.wide(), &sum, T::EPSILON, 1.0);
            launch_over(&format!("accumulate_{}", T::SUFFIX), n, &[&ba, &bb, &(n as u32)]);
            assert_close(&bb.wide(), &sum, T::EPSILON, 1.0);
        }
    }
    for_each_type!(check());
}

/// Two tensors of 3 and 5 columns side by side in one of 8, and apart again.
#[test]
fn copy_rows_joins_and_parts() {
    fn check<T: Storage>() {
        let name = format!("copy_rows_{}", T::SUFFIX);
        for rows in SIZES.map(|n| n.div_ceil(8)) {
            let (a, b) = (numbers::<T>(3 * rows, 5), numbers::<T>(5 * rows, 6));
            let (ba, bb, joined) = (Buffer::<T>::narrowed(&a), Buffer::<T>::narrowed(&b), Buffer::<T>::fresh(8 * rows));
            launch_over(&name, 3 * rows, &[&ba, &joined, &(rows as u32), &3u32, &3u32, &8u32, &0u32]);
            let right = joined.address + 3 * size_of::<T>() as u64;
            launch_over(&name, 5 * rows, &[&bb, &right, &(rows as u32), &5u32, &5u32, &8u32, &0u32]);
            let expected: Vec<f64> =
                (0..rows).flat_map(|r| [&a[3 * r..3 * r + 3], &b[5 * r..5 * r + 5]].concat()).collect();
            assert_same(&joined.wide(), &expected);

            launch_over(&name, 5 * rows, &[&right, &bb, &(rows as u32), &5u32, &8u32, &5u32, &1u32]);
            assert_close(&bb.wide(), &b.iter().map(|v| 2.0 * v).collect::<Vec<_>>(), T::EPSILON, 0.0);
        }
    }
    for_each_type!(check());
}

/// The half crate's conversions are the reference; every f16 and bf16 there is, and rounding at ties.
#[test]
fn conversions_round_to_nearest_even() {
    fn check<T: Storage>(bits: impl Fn(T) -> u16, from_bits: impl Fn(u16) -> T) {
        let all: Vec<T> = (0..=u16::MAX).map(&from_bits).filter(|v| !v.wide().is_nan()).collect();
        let (from, to) = (Buffer::of(&all), Buffer::<f32>::fresh(all.len()));
        let n = all.len() as u32;
        launch_over(&format!("convert_{}_f32", T::SUFFIX), all.len(), &[&from, &to, &n]);
        let wide = to.read();
        assert!(wide.iter().zip(&all).all(|(w, v)| f64::from(*w) == v.wide()));

        for nudge in [0i32, -1, 1] {
            // halfway to the neighbour, and just beside it
            let values: Vec<f32> = all
                .iter()
                .map(|&v| (v.wide() as f32, from_bits(bits(v) ^ 1).wide() as f32))
                .map(|(a, b)| f32::from_bits((a / 2.0 + b / 2.0).to_bits().wrapping_add_signed(nudge)))
                .filter(|v| v.is_finite())
                .collect();
            let (from, to) = (Buffer::of(&values), Buffer::<T>::fresh(values.len()));
            launch_over(&format!("convert_f32_{}", T::SUFFIX), values.len(), &[&from, &to, &(values.len() as u32)]);
            for (v, got) in values.iter().zip(to.read()) {
                assert_eq!(bits(got), bits(T::narrow(f64::from(*v))), "{v}");
            }
        }
    }
    check(half::f16::to_bits, half::f16::from_bits);
    check(half::bf16::to_bits, half::bf16::from_bits);
}

#[test]
fn conversions_at_every_size() {
    fn check<T: Storage>() {
        for n in SIZES {
            let x = numbers::<f32>(n, 7);
            let (from, half, back) = (Buffer::<f32>::narrowed(&x), Buffer::<T>::fresh(n), Buffer::<f32>::fresh(n));
            launch_over(&format!("convert_f32_{}", T::SUFFIX), n, &[&from, &half, &(n as u32)]);
            launch_over(&format!("convert_{}_f32", T::SUFFIX), n, &[&half, &back, &(n as u32)]);
            assert_same(&back.wide(), &x.iter().map(|&v| T::narrow(v).wide()).collect::<Vec<_>>());
        }
    }
    check::<half::f16>();
    check::<half::bf16>();
}
