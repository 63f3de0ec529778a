//! Fully connected layers against three nested loops in f64, by every instruction set that this CPU has.

use layertime::device::cpu::compute::simd::Isa;
use layertime::device::cpu::operations::fc::FcOp;
use layertime::plan::FcGeometry;
use proptest::prelude::*;

use super::common::{Gradients, Sum, Tensors, assert_close, noise, run};

#[derive(Debug)]
struct Case {
    n: usize,
    inputs: usize,
    outputs: usize,
    bias: bool,
    accumulate: bool,
    threads: usize,
}

fn check(case: &Case, isa: Isa) {
    let Case { n, inputs, outputs, accumulate, .. } = *case;
    let [x, w, dy] = [(n * inputs, 1), (outputs * inputs, 2), (n * outputs, 3)].map(|(len, seed)| noise(len, seed));
    let bias = case.bias.then(|| noise(outputs, 4));
    let before = noise(x.len(), 5);
    let mut y64: Vec<Sum> = (0..dy.len()).map(|i| Sum::of(bias.as_ref().map(|b| b[i % outputs] as f64))).collect();
    let mut dx64: Vec<Sum> = before.iter().map(|v| Sum::of(accumulate.then_some(*v as f64))).collect();
    let (mut dw64, mut db64) = (vec![Sum::default(); w.len()], vec![Sum::default(); outputs]);
    for (image, o) in (0..n).flat_map(|image| (0..outputs).map(move |o| (image, o))) {
        let g = dy[image * outputs + o] as f64;
        db64[o] += g;
        for i in 0..inputs {
            let [x, w] = [x[image * inputs + i], w[o * inputs + i]].map(f64::from);
            y64[image * outputs + o] += x * w;
            dx64[image * inputs + i] += g * w;
            dw64[o * inputs + i] += g * x;
        }
    }

    let bias = bias.unwrap_or_default();
    let mut fc = FcOp::new(FcGeometry { n, inputs, outputs }, case.threads, isa);
    let operands = Tensors { x: &x, w: &w, bias: &bias, dy: &dy, added_to: accumulate.then_some(&before) };
    let Gradients { y, dx, dw, db } = run(&mut fc, &operands);
    assert_close("forward", &y, &y64);
    assert_close("backward_data", &dx, &dx64);
    assert_close("backward_weights", &dw, &dw64);
    if case.bias {
        assert_close("bias", &db, &db64);
    }
}

fn check_all(case: &Case) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(case.threads).build().unwrap();
    pool.install(|| Isa::supported().for_each(|isa| check(case, isa)));
}

fn case() -> impl Strategy<Value = Case> {
    (1..48usize, 1..700usize, 1..300usize, any::<bool>(), any::<bool>(), 1..4usize).prop_map(
        |(n, inputs, outputs, bias, accumulate, threads)| Case { n, inputs, outputs, bias, accumulate, threads },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]
    #[test]
    fn random_shapes_match_f64_loops(case in case()) {
        check_all(&case);
    }
}

/// Gradients so large that they are written past the caches.
#[test]
fn large_layers_match_f64_loops() {
    for n in [1, 3, 40] {
        check_all(&Case { n, inputs: 2048, outputs: 1200, bias: true, accumulate: n == 3, threads: 2 });
    }
}
