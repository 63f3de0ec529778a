//! Products with a factor of one number per channel, and its gradient, in both layouts.

use super::harness::*;

/// The gate of an element of [images, channels, pixels] in NCHW or [images, pixels, channels] in NHWC.
fn gate_of(at: usize, channels: usize, pixels: usize, nhwc: bool) -> usize {
    if nhwc { at / (channels * pixels) * channels + at % channels } else { at / pixels }
}

/// Images, channels, pixels, slices: few pixels, more than a block has threads, several blocks of channels.
const SHAPES: [[usize; 4]; 7] =
    [[1, 1, 1, 1], [2, 16, 12, 1], [3, 5, 49, 1], [2, 33, 300, 3], [1, 3, 1500, 2], [2, 40, 1, 1], [1, 70, 9, 1]];

#[test]
fn products_and_gradients_of_gates() {
    fn check<T: Storage>(nhwc: bool) {
        for [images, channels, pixels, slices] in SHAPES {
            let (n, gates) = (images * channels * pixels, images * channels);
            let (a, gate, dy) = (numbers::<T>(n, 1), numbers::<T>(gates, 2), numbers::<T>(n, 3));
            let [ba, bgate, bdy] = [&a, &gate, &dy].map(|values| Buffer::<T>::narrowed(values));
            let ([c, p], [i]) = ([channels, pixels].map(divisor), [channels * pixels].map(divisor));
            let words = [c.as_slice(), &p, &i, &[nhwc.into()]].concat();
            let shape: [u32; 10] = words.try_into().unwrap();
            for accumulate in [0u32, 1] {
                let by = Buffer::<T>::narrowed(&vec![1.0; n]);
                let name = format!("multiply_{}", T::SUFFIX);
                launch_over(&name, n, &[&ba, &bgate, &by, &shape, &accumulate, &(n as u32)]);
                let product = |at: usize| a[at] * gate[gate_of(at, channels, pixels, nhwc)] + f64::from(accumulate);
                assert_close(&by.wide(), &(0..n).map(product).collect::<Vec<_>>(), T::EPSILON, 1.0);

                let mut sums = vec![f64::from(accumulate); gates];
                (0..n).for_each(|at| sums[gate_of(at, channels, pixels, nhwc)] += dy[at] * a[at]);
                let warps = !nhwc && slices == 1;
                let dgate = Buffer::<T>::narrowed(&vec![1.0; gates]);
                let partials = Buffer::<f32>::fresh(slices * gates);
                let blocks = match (nhwc, warps) {
                    (true, _) => images * channels.div_ceil(32),
                    (false, true) => gates.div_ceil(8),
                    (false, false) => gates,
                };
                launch(
                    &format!("gate_gradient_{}", T::SUFFIX),
                    [blocks as u32, slices as u32, 1],
                    [32, 8, 1],
                    &[&bdy, &ba, &partials, &dgate, &shape, &(gates as u32), &u32::from(warps), &accumulate],
                );
                if slices > 1 {
                    let name = format!("gate_gradient_total_{}", T::SUFFIX);
                    let arguments: [&dyn Argument; 5] =
                        [&partials, &dgate, &(slices as u32), &accumulate, &(gates as u32)];
                    launch_over(&name, gates, &arguments);
                }
                assert_close(&dgate.wide(), &sums, T::EPSILON + 1e-6, pixels as f64);
            }
        }
    }
    for nhwc in [false, true] {
        for_each_type!(check(nhwc));
    }
}
