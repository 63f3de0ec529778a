//! Slices and shuffles of channels, by the channels' own numbers.

use super::harness::*;

/// (outer, inner) of a tensor with so many channels, of which these are taken, in so many groups: planes, channels and slices that
/// 16 bytes divide, and others.
const CASES: [([usize; 2], usize, [usize; 2], usize); 8] = [
    ([2, 1], 5, [1, 3], 1),
    ([3, 7], 6, [2, 4], 1),
    ([2, 16], 5, [3, 2], 1),
    ([33, 1], 32, [8, 16], 1),
    ([17, 1], 24, [4, 16], 1),
    ([5, 1], 24, [0, 24], 3),
    ([2, 8], 12, [0, 12], 4),
    ([2, 49], 6, [0, 6], 2),
];

fn check<T: Storage>() {
    for ([outer, inner], total, [from, channels], groups) in CASES {
        let width = channels / groups;
        // PyTorch's channel shuffle: [groups, width] is transposed.
        let source = |k: usize| from + (0..width).flat_map(|w| (0..groups).map(move |g| g * width + w)).nth(k).unwrap();
        let at = |o: usize, c: usize, of: usize, i: usize| (o * of + c) * inner + i;
        let (inputs, outputs) = (outer * total * inner, outer * channels * inner);
        let (x, dy) = (numbers::<T>(inputs, 45), numbers::<T>(outputs, 46));
        let (mut y, mut dx) = (vec![0.0; outputs], vec![0.0; inputs]);
        for o in 0..outer {
            for (k, i) in (0..channels).flat_map(|k| (0..inner).map(move |i| (k, i))) {
                y[at(o, k, channels, i)] = x[at(o, source(k), total, i)];
                dx[at(o, source(k), total, i)] = dy[at(o, k, channels, i)];
            }
        }
        let divisors = [channels, total, inner, groups, width].map(divisor).concat();
        let shape: [u32; 16] = [from as u32].into_iter().chain(divisors).collect::<Vec<_>>().try_into().unwrap();
        let [bx, bdy] = [&x, &dy].map(|values| Buffer::<T>::narrowed(values));
        let (by, bdx) = (Buffer::<T>::fresh(outputs), Buffer::<T>::fresh(inputs));
        launch_over(&format!("pick_forward_{}", T::SUFFIX), outputs, &[&bx, &by, &shape, &(outputs as u32)]);
        assert_same(&by.wide(), &y);
        for accumulate in [0u32, 1] {
            let backward = format!("pick_backward_{}", T::SUFFIX);
            launch_over(&backward, inputs, &[&bdy, &bdx, &shape, &accumulate, &(inputs as u32)]);
            assert_same(&bdx.wide(), &dx.iter().map(|d| f64::from(1 + accumulate) * d).collect::<Vec<_>>());
        }
    }
}

#[test]
fn picked_channels() {
    for_each_type!(check());
}
