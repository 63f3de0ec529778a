//! Kernels over the rows of a matrix: softmax cross-entropy, transposition.

use super::harness::*;

/// (rows, columns) whose product or factors are the awkward sizes.
const SHAPES: [(usize, usize); 8] = [(1, 1), (1, 31), (32, 1), (33, 33), (2, 1023), (1025, 3), (31, 1000), (128, 547)];

#[test]
fn softmax_cross_entropy() {
    fn check<T: Storage>() {
        for (rows, classes) in SHAPES {
            let n = rows * classes;
            let logits: Vec<f64> = numbers::<T>(n, 12).iter().map(|v| T::narrow(v * 20.0).wide()).collect();
            let labels: Vec<i32> = (0..rows).map(|r| (r * 7 % classes) as i32).collect();
            let (bl, by) = (Buffer::<T>::narrowed(&logits), Buffer::of(&labels));
            let (probabilities, losses, dl) =
                (Buffer::<f32>::fresh(n), Buffer::<f32>::fresh(rows), Buffer::<T>::fresh(n));
            let grid = [rows as u32, 1, 1];
            let forward = format!("softmax_loss_forward_{}", T::SUFFIX);
            launch(&forward, grid, [256, 1, 1], &[&bl, &by, &probabilities, &losses, &(classes as u32)]);
            let backward = format!("softmax_loss_backward_{}", T::SUFFIX);
            let weight = 0.75f32;
            launch(&backward, grid, [256, 1, 1], &[&probabilities, &by, &dl, &0u64, &weight, &(classes as u32), &0u32]);

            let (mut p, mut l, mut d) = (vec![0.0; n], vec![0.0; rows], vec![0.0; n]);
            for r in 0..rows {
                let row = &logits[r * classes..(r + 1) * classes];
                let total: f64 = row.iter().map(|v| v.exp()).sum();
                l[r] = total.ln() - row[labels[r] as usize];
                for c in 0..classes {
                    p[r * classes + c] = row[c].exp() / total;
                    let target = f64::from(u8::from(c == labels[r] as usize));
                    d[r * classes + c] = (p[r * classes + c] - target) * 0.75 / rows as f64;
                }
            }
            assert_close(&probabilities.wide(), &p, 5e-6, 1e-9);
            assert_close(&losses.wide(), &l, 1e-6, 2.0);
            let tiny = if T::SUFFIX == "f16" { 1e-4 } else { 1e-9 }; // f16's subnormals are coarse
            assert_close(&dl.wide(), &d, T::EPSILON + 1e-5, tiny / T::EPSILON.min(1e-3));
        }
    }
    for_each_type!(check());
}

/// With a loss scale of 8 the gradient is 8 times as large.
#[test]
fn softmax_gradient_carries_the_loss_scale() {
    let state = Buffer::of(&[8f32.to_bits(), 0.125f32.to_bits(), 0, 0, 0, 0]);
    let (probabilities, labels, d) = (Buffer::of(&[0.25f32, 0.75]), Buffer::of(&[1i32]), Buffer::<f32>::fresh(2));
    for (accumulate, expected) in [(0u32, [2.0, -2.0]), (1, [4.0, -4.0])] {
        let arguments: [&dyn Argument; 7] = [&probabilities, &labels, &d, &state, &1f32, &2u32, &accumulate];
        launch("softmax_loss_backward_f32", [1, 1, 1], [256, 1, 1], &arguments);
        assert_eq!(d.read(), expected);
    }
}

#[test]
fn transposition_moves_every_element() {
    fn check<T: Storage>() {
        for ((rows, cols), images) in SHAPES.into_iter().zip([1, 2, 3, 2, 1, 2, 1, 2]) {
            let n = images * rows * cols;
            let x = numbers::<T>(n, 13);
            let (bx, by, bz) = (Buffer::<T>::narrowed(&x), Buffer::<T>::fresh(n), Buffer::<T>::fresh(n));
            let grid = |rows: usize, cols: usize| [cols.div_ceil(32) as u32, rows.div_ceil(32) as u32, images as u32];
            let name = format!("transpose_{}", T::SUFFIX);
            launch(&name, grid(rows, cols), [32, 8, 1], &[&bx, &by, &(rows as u32), &(cols as u32)]);
            let expected: Vec<f64> = (0..n)
                .map(|i| (i / (rows * cols), i / rows % cols, i % rows))
                .map(|(image, col, row)| x[(image * rows + row) * cols + col])
                .collect();
            assert_same(&by.wide(), &expected);
            launch(&name, grid(cols, rows), [32, 8, 1], &[&by, &bz, &(cols as u32), &(rows as u32)]);
            assert_same(&bz.wide(), &x);
        }
    }
    for_each_type!(check());
}
