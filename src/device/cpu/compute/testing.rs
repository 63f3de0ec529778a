//! Shared by the layers' tests: numbers, thread pools, and comparison with plain loops in f64.

use crate::philox::{Philox, RandomStream};
use crate::plan::Shape;
use proptest::prelude::*;

/// Uniform in \[−1, 1).
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let philox = Philox::new(seed);
    (0..count).map(|index| 2.0 * philox.uniform(RandomStream::Images, index) - 1.0).collect()
}

/// Small shapes, and some that are cut into several pieces.
pub fn shapes() -> impl Strategy<Value = Shape> {
    let small = (1..6usize, 1..40usize, 1..9usize, 1..9usize);
    let large = (1..4usize, 60..150usize, 9..16usize, 9..16usize);
    prop_oneof![3 => small, 1 => large].prop_map(|(n, c, h, w)| Shape { n, c, h, w })
}

pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool").install(work)
}

/// ‖a − b‖ / ‖b‖ is at most `bound`; NaN never is.
pub fn assert_close(actual: &[f32], expected: &[f64], bound: f64) {
    assert_eq!(actual.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let error = square(&mut actual.iter().zip(expected).map(|(a, b)| f64::from(*a) - b));
    let norm = square(&mut expected.iter().copied());
    assert!(error.sqrt() <= bound * norm.sqrt(), "error {} of {}", error.sqrt(), norm.sqrt());
}

/// Runs an operation on gradients that is given `dx` and whether to accumulate: it must overwrite, and it must add; with
/// three threads as with one.
pub fn check_gradient(expected: &[f64], run: impl Fn(&mut [f32], bool) + Sync) {
    let mut written = vec![f32::NAN; expected.len()];
    with_threads(1, || run(&mut written, false));
    assert_close(&written, expected, 2e-6);
    let before = numbers(99, expected.len());
    let mut added = before.clone();
    with_threads(3, || run(&mut added, true));
    let sums: Vec<f64> = expected.iter().zip(&before).map(|(dx, before)| dx + f64::from(*before)).collect();
    assert_close(&added, &sums, 2e-6);
    let mut again = vec![f32::NAN; expected.len()];
    with_threads(3, || run(&mut again, false));
    assert!(again == written, "depends on the number of threads");
}

/// As [`check_gradient`], for a forward pass.
pub fn check_output(expected: &[f64], run: impl Fn(&mut [f32]) + Sync) {
    let mut outputs = [1, 3].map(|threads| {
        let mut output = vec![f32::NAN; expected.len()];
        with_threads(threads, || run(&mut output));
        output
    });
    assert_close(&outputs[0], expected, 2e-6);
    let [one, three] = &mut outputs;
    assert!(one == three, "depends on the number of threads");
}
