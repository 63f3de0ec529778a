//! add, accumulate, copy_rows, pad_rows, and how all kernels convert between storage types.

use super::harness::*;

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
            launch_over(&name, 3 * rows, &[&ba, &joined, &(rows as u32), &divisor(3), &3u32, &8u32, &0u32]);
            let right = joined.address + 3 * size_of::<T>() as u64;
            launch_over(&name, 5 * rows, &[&bb, &right, &(rows as u32), &divisor(5), &5u32, &8u32, &0u32]);
            let expected: Vec<f64> =
                (0..rows).flat_map(|r| [&a[3 * r..3 * r + 3], &b[5 * r..5 * r + 5]].concat()).collect();
            assert_same(&joined.wide(), &expected);

            launch_over(&name, 5 * rows, &[&right, &bb, &(rows as u32), &divisor(5), &8u32, &5u32, &1u32]);
            assert_close(&bb.wide(), &b.iter().map(|v| 2.0 * v).collect::<Vec<_>>(), T::EPSILON, 0.0);
        }
    }
    for_each_type!(check());
}

/// Rows of `width` between `before` and `after` zeros; vectors of 16 bytes fit into the last two.
#[test]
fn pad_rows_puts_zeros_beside_rows() {
    fn check<T: Storage>() {
        for (rows, [before, width, after]) in
            [(1, [0, 1, 1]), (70, [2, 5, 0]), (300, [3, 4, 9]), (9, [8, 16, 0]), (131, [0, 8, 24])]
        {
            let (x, pitch) = (numbers::<T>(rows * width, 7), before + width + after);
            let (from, to) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(rows * pitch));
            let [count, wide, first] = [rows, width, before].map(|size| size as u32);
            let arguments: [&dyn Argument; 6] = [&from, &to, &count, &wide, &divisor(pitch), &first];
            launch_over(&format!("pad_rows_{}", T::SUFFIX), rows * pitch, &arguments);
            let row = |x: &[f64]| [&vec![0.0; before], x, &vec![0.0; after]].concat();
            assert_same(&to.wide(), &x.chunks(width).flat_map(row).collect::<Vec<_>>());
        }
    }
    for_each_type!(check());
}

/// Zeros around two images of 3 × 2 pixels with `inner` values each, and the gradient without them.
#[test]
fn pad_and_crop() {
    fn check<T: Storage>() {
        for inner in [1, 5, 16] {
            let (height, width, [top, left, bottom, right]) = (3, 2, [1, 0, 2, 3]);
            let (rows, columns) = (top + height + bottom, left + width + right);
            let (n, padded_n) = (2 * height * width * inner, 2 * rows * columns * inner);
            let x = numbers::<T>(n, 9);
            let mut padded = vec![0.0; padded_n];
            for (at, value) in x.iter().enumerate() {
                let (pixel, channel) = (at / inner, at % inner);
                let (row, column) = (pixel / width % height + top, pixel % width + left);
                let image = pixel / width / height;
                padded[((image * rows + row) * columns + column) * inner + channel] = *value;
            }
            let sizes = [height, width, inner, rows, columns].map(divisor).concat();
            let shape: [u32; 17] = [sizes, vec![top as u32, left as u32]].concat().try_into().unwrap();
            let (bx, by) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(padded_n));
            launch_over(&format!("pad_{}", T::SUFFIX), padded_n, &[&bx, &by, &shape, &(padded_n as u32)]);
            assert_same(&by.wide(), &padded);
            for accumulate in [0u32, 1] {
                launch_over(&format!("crop_{}", T::SUFFIX), n, &[&by, &bx, &shape, &accumulate, &(n as u32)]);
                let times = f64::from(1 + accumulate);
                assert_close(&bx.wide(), &x.iter().map(|x| times * x).collect::<Vec<_>>(), T::EPSILON, 0.0);
            }
        }
    }
    for_each_type!(check());
}

/// One step of momentum SGD without momentum, decay or learning rate: v is g widened, and the copy is w rounded.
fn convert<T: Storage>(g: &[T], w: &[f32]) -> (Vec<f32>, Vec<T>) {
    let n = g.len();
    let (g, w, v, copy) = (Buffer::of(g), Buffer::of(w), Buffer::of(&vec![0f32; n]), Buffer::<T>::fresh(n));
    launch_over(&format!("sgd_{}", T::SUFFIX), n, &[&w, &v, &copy, &g, &0u64, &0f32, &0f32, &0f32, &(n as u32)]);
    (v.read(), copy.read())
}

/// The half crate's conversions are the reference; every f16 and bf16 there is, and rounding at ties.
#[test]
fn conversions_round_to_nearest_even() {
    fn check<T: Storage>(bits: impl Fn(T) -> u16, from_bits: impl Fn(u16) -> T) {
        let all: Vec<T> = (0..=u16::MAX).map(&from_bits).filter(|v| !v.wide().is_nan()).collect();
        let (wide, _) = convert(&all, &vec![1.0; all.len()]);
        assert!(wide.iter().zip(&all).all(|(w, v)| f64::from(*w) == v.wide()));

        for nudge in [0i32, -1, 1] {
            // halfway to the neighbour, and just beside it
            let values: Vec<f32> = all
                .iter()
                .map(|&v| (v.wide() as f32, from_bits(bits(v) ^ 1).wide() as f32))
                .map(|(a, b)| f32::from_bits((a / 2.0 + b / 2.0).to_bits().wrapping_add_signed(nudge)))
                .filter(|v| v.is_finite())
                .collect();
            let (_, narrow) = convert(&vec![from_bits(0); values.len()], &values);
            for (v, got) in values.iter().zip(narrow) {
                assert_eq!(bits(got), bits(T::narrow(f64::from(*v))), "{v}");
            }
        }
    }
    check(half::f16::to_bits, half::f16::from_bits);
    check(half::bf16::to_bits, half::bf16::from_bits);
}
