//! Convolution against seven nested loops in f64, on random shapes, by every instruction set that this CPU has.

use layertime::device::cpu::conv::Conv;
use layertime::device::cpu::simd::Isa;
use layertime::plan::ConvGeometry;
use proptest::prelude::*;

use super::common::{assert_close, noise};

/// Calls `visit(x, w, y)` with the indices of each product that a convolution sums up.
fn products(g: &ConvGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    let (group_c, group_k) = (g.c / g.groups, g.k / g.groups);
    for (n, p, q, k) in indices([g.n, g.out_h(), g.out_w(), g.k]) {
        for (r, s, c, _) in indices([g.kernel[0], g.kernel[1], group_c, 1]) {
            let h = (p * g.stride[0] + r) as isize - g.pad[0] as isize;
            let w = (q * g.stride[1] + s) as isize - g.pad[1] as isize;
            if h >= 0 && w >= 0 && (h as usize) < g.h && (w as usize) < g.w {
                let channel = k / group_k * group_c + c;
                visit(
                    ((n * g.h + h as usize) * g.w + w as usize) * g.c + channel,
                    ((r * g.kernel[1] + s) * group_c + c) * g.k + k,
                    ((n * g.out_h() + p) * g.out_w() + q) * g.k + k,
                );
            }
        }
    }
}

fn indices([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |i| (i / d / c / b, i / d / c % b, i / d % c, i % d))
}

struct Case {
    geometry: ConvGeometry,
    bias: bool,
    accumulate: bool,
    threads: usize,
}

fn check(case: &Case, isa: Isa) {
    let g = &case.geometry;
    let [x, w, dy] = [(g.input_len(), 1), (g.weight_len(), 2), (g.output_len(), 3)].map(|(len, seed)| noise(len, seed));
    let bias = case.bias.then(|| noise(g.k, 4));
    let mut y64: Vec<f64> = (0..dy.len()).map(|i| bias.as_ref().map_or(0.0, |b| b[i % g.k] as f64)).collect();
    let before = noise(x.len(), 5);
    let mut dx64: Vec<f64> = before.iter().map(|v| if case.accumulate { *v as f64 } else { 0.0 }).collect();
    let mut dw64 = vec![0.0; w.len()];
    products(g, |ix, iw, iy| {
        let [x, w, dy] = [x[ix], w[iw], dy[iy]].map(f64::from);
        y64[iy] += x * w;
        dx64[ix] += dy * w;
        dw64[iw] += x * dy;
    });
    let mut db64 = vec![0.0; g.k];
    dy.iter().enumerate().for_each(|(i, dy)| db64[i % g.k] += *dy as f64);

    let conv = Conv::new(*g, case.threads, isa);
    // Results that depend on what was in memory before are wrong: it is NaN here.
    let mut workspace = vec![f32::NAN; conv.workspace_floats()];
    let mut y = vec![f32::NAN; dy.len()];
    conv.forward(&x, &w, bias.as_deref(), &mut y, &mut workspace);
    assert_close("forward", &y, &y64);
    let mut dx = if case.accumulate { before } else { vec![f32::NAN; x.len()] };
    workspace.fill(f32::NAN);
    conv.backward_data(&dy, &w, &mut dx, case.accumulate, &mut workspace);
    assert_close("backward_data", &dx, &dx64);
    let (mut dw, mut db) = (vec![f32::NAN; w.len()], vec![f32::NAN; g.k]);
    workspace.fill(f32::NAN);
    conv.backward_weights(&x, &dy, &mut dw, case.bias.then_some(&mut db[..]), &mut workspace);
    assert_close("backward_weights", &dw, &dw64);
    if case.bias {
        assert_close("bias", &db, &db64);
    }
}

fn in_pool(threads: usize, work: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work);
}

fn check_all(case: &Case) {
    in_pool(case.threads, || Isa::supported().for_each(|isa| check(case, isa)));
}

fn case() -> impl Strategy<Value = Case> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let channels = prop_oneof![4 => 1..8usize, 2 => 8..40usize, 1 => Just(32usize), 1 => Just(70usize)];
    (
        (1..5usize, pair(1..20), channels.clone(), channels, 1..4usize),
        (pair(1..6), pair(1..5), pair(0..7)),
        (any::<bool>(), any::<bool>(), 1..4usize),
    )
        .prop_filter_map("the window fits", |((n, [h, w], c, k, groups), (kernel, stride, pad), rest)| {
            let fits = kernel[0] <= h + 2 * pad[0] && kernel[1] <= w + 2 * pad[1];
            let groups = if rest.0 { groups } else { 1 };
            let geometry = ConvGeometry { n, c: c * groups, h, w, k: k * groups, kernel, stride, pad, groups };
            fits.then_some(Case { geometry, bias: rest.0, accumulate: rest.1, threads: rest.2 })
        })
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:?} bias {} accumulate {} threads {}", self.geometry, self.bias, self.accumulate, self.threads)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]
    #[test]
    fn random_shapes_match_f64_loops(case in case()) {
        check_all(&case);
    }
}

/// Shapes that random ones seldom meet: many chunks, channels at a multiple of 512, depthwise, a first layer.
#[test]
fn chosen_shapes_match_f64_loops() {
    let base =
        ConvGeometry { n: 2, c: 3, h: 67, w: 61, k: 64, kernel: [11, 11], stride: [4, 4], pad: [2, 2], groups: 1 };
    let square = |n, c, size, k, kernel, stride, pad, groups| ConvGeometry {
        n,
        c,
        h: size,
        w: size,
        k,
        kernel: [kernel; 2],
        stride: [stride; 2],
        pad: [pad; 2],
        groups,
    };
    for geometry in [
        base,
        square(9, 16, 4, 40, 3, 1, 1, 1),
        square(1, 512, 6, 33, 3, 1, 1, 1),
        square(2, 36, 9, 36, 3, 2, 1, 36),
        square(1, 8, 70, 48, 5, 1, 2, 2),
        square(3, 20, 7, 24, 1, 1, 0, 1),
        square(2, 4, 13, 6, 2, 3, 0, 1),
        square(1, 40, 120, 4, 3, 1, 1, 1),
    ] {
        check_all(&Case { geometry, bias: true, accumulate: false, threads: 2 });
    }
}

#[test]
fn repeated_runs_give_the_same_bits() {
    let g = ConvGeometry { n: 5, c: 24, h: 17, w: 19, k: 72, kernel: [3, 3], stride: [1, 1], pad: [1, 1], groups: 1 };
    let [x, w, dy] = [g.input_len(), g.weight_len(), g.output_len()].map(|len| noise(len, 7));
    let run = |isa| {
        let conv = Conv::new(g, 3, isa);
        let mut workspace = vec![0.0; conv.workspace_floats()];
        let (mut y, mut dx, mut dw, mut db) = (dy.clone(), x.clone(), w.clone(), vec![0.0; g.k]);
        conv.forward(&x, &w, None, &mut y, &mut workspace);
        conv.backward_data(&dy, &w, &mut dx, false, &mut workspace);
        conv.backward_weights(&x, &dy, &mut dw, Some(&mut db), &mut workspace);
        [y, dx, dw, db].map(|v| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>())
    };
    in_pool(3, || Isa::supported().for_each(|isa| assert_eq!(run(isa), run(isa), "{isa:?}")));
}
