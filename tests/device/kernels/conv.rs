//! Convolution against seven nested loops in f64, on random shapes, by every instruction set that this CPU has.

use layertime::device::cpu::compute::simd::Isa;
use layertime::device::cpu::operations::Operation;
use layertime::device::cpu::operations::conv::{AlgorithmChoice, ConvOp};
use layertime::plan::{ConvGeometry, Phase};
use proptest::prelude::*;

use super::common::{Gradients, Sum, Tensors, assert_close, assert_close_to_the_value, noise, run};

/// Calls `visit(x, w, y)` with the indices of each product that a convolution sums up.
fn products(g: &ConvGeometry, mut visit: impl FnMut(usize, usize, usize)) {
    let (group_c, group_k) = (g.c / g.groups, g.k / g.groups);
    for (n, p, q, k) in indices([g.n, g.out_h(), g.out_w(), g.k]) {
        for (r, s, c, _) in indices([g.kernel[0], g.kernel[1], group_c, 1]) {
            let h = (p * g.stride[0] + r * g.dilation[0]) as isize - g.pad[0] as isize;
            let w = (q * g.stride[1] + s * g.dilation[1]) as isize - g.pad[1] as isize;
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

const CHOICES: [AlgorithmChoice; 2] = [AlgorithmChoice::ByRule, AlgorithmChoice::Direct];

struct Case {
    geometry: ConvGeometry,
    bias: bool,
    accumulate: bool,
    threads: usize,
}

/// Results of the three phases and the gradient of the bias, by seven nested loops.
struct Expected {
    y: Vec<Sum>,
    dx: Vec<Sum>,
    dw: Vec<Sum>,
    db: Vec<Sum>,
}

/// Checks a case by every instruction set and choice of algorithms.
fn check_all(case: &Case) {
    let g = &case.geometry;
    let [x, w, dy] = [(g.input_len(), 1), (g.weight_len(), 2), (g.output_len(), 3)].map(|(len, seed)| noise(len, seed));
    let bias = if case.bias { noise(g.k, 4) } else { Vec::new() };
    let before = noise(x.len(), 5);
    let tensors = Tensors { x: &x, w: &w, bias: &bias, dy: &dy, added_to: case.accumulate.then_some(&before) };
    let expected = expected(g, &tensors);
    in_pool(case.threads, || {
        for (isa, choice) in Isa::supported().flat_map(|isa| CHOICES.map(|choice| (isa, choice))) {
            let Gradients { y, dx, dw, db } = run(&mut ConvOp::new(*g, case.threads, isa, choice), &tensors);
            assert_close("forward", &y, &expected.y);
            assert_close("backward_data", &dx, &expected.dx);
            assert_close("backward_weights", &dw, &expected.dw);
            if case.bias {
                assert_close("bias", &db, &expected.db);
            }
        }
    });
}

fn expected(g: &ConvGeometry, &Tensors { x, w, bias, dy, added_to }: &Tensors) -> Expected {
    let mut y: Vec<Sum> = (0..dy.len()).map(|i| Sum::of(bias.get(i % g.k).map(|&bias| bias as f64))).collect();
    let mut dx: Vec<Sum> = (0..x.len()).map(|i| Sum::of(added_to.map(|before| before[i] as f64))).collect();
    let (mut dw, mut db) = (vec![Sum::default(); w.len()], vec![Sum::default(); g.k]);
    products(g, |ix, iw, iy| {
        let [x, w, dy] = [x[ix], w[iw], dy[iy]].map(f64::from);
        y[iy] += x * w;
        dx[ix] += dy * w;
        dw[iw] += x * dy;
    });
    dy.iter().enumerate().for_each(|(i, dy)| db[i % g.k] += *dy as f64);
    Expected { y, dx, dw, db }
}

fn in_pool(threads: usize, work: impl FnOnce() + Send) {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work);
}

fn case() -> impl Strategy<Value = Case> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let channels = prop_oneof![4 => 1..8usize, 2 => 8..40usize, 1 => Just(32usize), 1 => Just(70usize)];
    (
        (1..5usize, pair(1..20), channels.clone(), channels, 1..4usize),
        (pair(1..6), pair(1..5), pair(0..7), pair(0..7), prop_oneof![2 => Just([1, 1]), 1 => pair(1..4)]),
        (any::<bool>(), any::<bool>(), 1..4usize),
    )
        .prop_filter_map(
            "the window fits",
            |((n, [h, w], c, k, groups), (kernel, stride, pad, other_pad, dilation), rest)| {
                let pad_after = if rest.1 { pad } else { other_pad };
                let groups = if rest.0 { groups } else { 1 };
                let (c, k) = (c * groups, k * groups);
                let geometry =
                    ConvGeometry { n, c, h, w, k, kernel, stride, pad, pad_after, crop: [0; 2], dilation, groups };
                let fits = [h, w]
                    .iter()
                    .enumerate()
                    .all(|(axis, size)| geometry.extent(axis) <= size + pad[axis] + pad_after[axis]);
                fits.then_some(Case { geometry, bias: rest.0, accumulate: rest.1, threads: rest.2 })
            },
        )
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

/// Shapes that Winograd serves.
fn winograd_case() -> impl Strategy<Value = Case> {
    let channels = || prop_oneof![4 => 16..40usize, 1 => Just(64usize)];
    let sizes = (1..6usize, 1..14usize, 1..14usize, channels(), channels(), 1..3usize);
    let windows = (prop_oneof![Just(3usize), Just(5usize)], 0..5usize, 0..5usize);
    (sizes, windows, (any::<bool>(), any::<bool>(), 1..4usize)).prop_filter_map(
        "the window fits",
        |((n, h, w, c, k, groups), (kernel, top, left), rest)| {
            let pad = [top.min(kernel - 1), left.min(kernel - 1)];
            let fits = kernel <= h + 2 * pad[0] && kernel <= w + 2 * pad[1];
            let (c, k, kernel) = (c * groups, k * groups, [kernel; 2]);
            let geometry = ConvGeometry {
                n,
                c,
                h,
                w,
                k,
                kernel,
                stride: [1; 2],
                pad,
                pad_after: pad,
                crop: [0; 2],
                dilation: [1; 2],
                groups,
            };
            fits.then_some(Case { geometry, bias: rest.0, accumulate: rest.1, threads: rest.2 })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]
    #[test]
    fn winograd_shapes_match_f64_loops(case in winograd_case()) {
        check_all(&case);
    }
}

/// Shapes whose groups have one or two channels.
fn channelwise_case() -> impl Strategy<Value = Case> {
    let pair = |range: std::ops::Range<usize>| [range.clone(), range];
    let sizes = (1..4usize, pair(1..20), 1..3usize, prop_oneof![4 => 2..40usize, 1 => Just(64usize)]);
    let windows = (pair(1..8), pair(1..4), pair(0..5));
    (sizes, windows, (any::<bool>(), any::<bool>(), 1..4usize)).prop_filter_map(
        "the window fits",
        |((n, [h, w], group, groups), (kernel, stride, pad), rest)| {
            let fits = kernel[0] <= h + 2 * pad[0] && kernel[1] <= w + 2 * pad[1];
            let channels = group * groups;
            let geometry = ConvGeometry {
                n,
                c: channels,
                h,
                w,
                k: channels,
                kernel,
                stride,
                pad,
                pad_after: pad,
                crop: [0; 2],
                dilation: [1; 2],
                groups,
            };
            fits.then_some(Case { geometry, bias: rest.0, accumulate: rest.1, threads: rest.2 })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]
    #[test]
    fn channelwise_shapes_match_f64_loops(case in channelwise_case()) {
        check_all(&case);
    }
}

/// The rule names an algorithm by shape alone; `direct` never names Winograd.
#[test]
fn algorithms_are_chosen_by_rule() {
    let square = |n, c, size, k, kernel, stride, groups| {
        let (kernel, stride, pad) = ([kernel; 2], [stride; 2], [kernel / 2; 2]);
        ConvGeometry {
            n,
            c,
            h: size,
            w: size,
            k,
            kernel,
            stride,
            pad,
            pad_after: pad,
            crop: [0; 2],
            dilation: [1; 2],
            groups,
        }
    };
    let name = |geometry, isa, choice| {
        let algorithm = ConvOp::new(geometry, 1, isa, choice).algorithm(Phase::BackwardData);
        algorithm.unwrap().name
    };
    for isa in Isa::supported().filter(|&isa| isa != Isa::Portable) {
        let direct = format!("direct_{}", isa.name());
        for (geometry, expected) in [
            (square(1, 256, 13, 256, 3, 1, 1), format!("winograd_2x2_3x3_{}", isa.name())),
            (square(4, 256, 13, 256, 3, 1, 1), format!("winograd_4x4_3x3_{}", isa.name())),
            (square(1, 64, 27, 192, 5, 1, 1), format!("winograd_4x4_5x5_{}", isa.name())),
            (square(4, 3, 64, 64, 3, 1, 1), direct.clone()),
            (square(4, 64, 28, 64, 3, 2, 1), direct.clone()),
            (square(1, 512, 7, 512, 3, 1, 1), direct.clone()),
            (square(4, 64, 28, 64, 1, 1, 1), direct.clone()),
            (square(4, 64, 28, 64, 3, 1, 16), direct.clone()),
        ] {
            assert_eq!(name(geometry, isa, AlgorithmChoice::ByRule), expected, "{geometry:?}");
            assert_eq!(name(geometry, isa, AlgorithmChoice::Direct), direct, "{geometry:?}");
        }
        let depthwise = name(square(4, 64, 28, 64, 3, 2, 64), isa, AlgorithmChoice::Direct);
        assert_eq!(depthwise, format!("channelwise_{}", isa.name()));
    }
    assert_eq!(name(square(1, 64, 27, 192, 5, 1, 1), Isa::Portable, AlgorithmChoice::ByRule), "im2col_gemm");
}

/// Shapes that random ones seldom meet: many chunks, channels at a multiple of 512, depthwise, a first layer.
#[test]
fn chosen_shapes_match_f64_loops() {
    let square = |n, c, size, k, kernel, stride, pad, groups| ConvGeometry {
        n,
        c,
        h: size,
        w: size,
        k,
        kernel: [kernel; 2],
        stride: [stride; 2],
        pad: [pad; 2],
        pad_after: [pad; 2],
        crop: [0; 2],
        dilation: [1; 2],
        groups,
    };
    let lone = square(1, 1, 1, 1, 1, 1, 0, 1);
    for geometry in [
        ConvGeometry { h: 67, w: 61, ..square(2, 3, 1, 64, 11, 4, 2, 1) },
        square(9, 16, 4, 40, 3, 1, 1, 1),
        square(1, 512, 6, 33, 3, 1, 1, 1),
        square(2, 36, 9, 36, 3, 2, 1, 36),
        square(1, 8, 70, 48, 5, 1, 2, 2),
        square(3, 20, 7, 24, 1, 1, 0, 1),
        square(2, 4, 13, 6, 2, 3, 0, 1),
        square(1, 40, 120, 4, 3, 1, 1, 1),
        // Chunks across images, of channels that are copied as their rows would compete in a cache, with pixels that nobody
        // reads, and with gradients too large for one.
        square(7, 520, 3, 264, 1, 1, 0, 1),
        square(9, 1024, 2, 24, 1, 1, 0, 1),
        square(9, 40, 5, 24, 1, 2, 0, 1),
        square(5, 64, 7, 300, 3, 2, 1, 1),
        // A gradient of the bias whose 990 terms cancel but for a hundredth.
        ConvGeometry {
            h: 14,
            w: 16,
            kernel: [1, 3],
            stride: [2, 1],
            pad: [4, 5],
            pad_after: [4, 5],
            dilation: [1, 2],
            ..square(3, 1, 1, 1, 1, 1, 0, 1)
        },
        // Windows that lie in the padding alone: before the image, behind it, and all around.
        ConvGeometry { kernel: [1, 2], stride: [1, 4], pad: [0, 3], ..lone },
        ConvGeometry { kernel: [2, 1], stride: [4, 1], pad: [3, 0], ..lone },
        ConvGeometry { pad: [0; 2], pad_after: [9; 2], ..square(2, 5, 2, 3, 2, 1, 0, 1) },
        ConvGeometry { pad: [9; 2], pad_after: [9; 2], ..square(2, 20, 2, 24, 3, 1, 0, 1) },
        ConvGeometry { pad: [9; 2], pad_after: [0; 2], ..square(2, 9, 3, 9, 2, 3, 0, 9) },
        ConvGeometry { pad: [0; 2], pad_after: [9; 2], ..square(2, 9, 3, 9, 2, 1, 0, 9) },
    ] {
        check_all(&Case { geometry, bias: true, accumulate: false, threads: 2 });
    }
}

/// Gradients of the output that cancel but for a thousandth: the gradient of the bias must not drown in their roundings.
#[test]
fn the_bias_gradient_does_not_drown() {
    let g = ConvGeometry {
        n: 1,
        c: 16,
        h: 8,
        w: 16,
        k: 17,
        kernel: [3; 2],
        stride: [1; 2],
        pad: [1; 2],
        pad_after: [1; 2],
        crop: [0; 2],
        dilation: [1; 2],
        groups: 1,
    };
    let [x, w, bias] = [g.input_len(), g.weight_len(), g.k].map(|len| noise(len, 3));
    let half = g.output_len() / 2;
    let dy: Vec<f32> =
        noise(2 * half, 4).iter().enumerate().map(|(i, v)| v + if i < half { 100.0 } else { -100.0 }).collect();
    let sum = |channel: usize| dy[channel..].iter().step_by(g.k).copied().map(f64::from).sum();
    let expected: Vec<f64> = (0..g.k).map(sum).collect();
    for isa in Isa::supported() {
        let operands = Tensors { x: &x, w: &w, bias: &bias, dy: &dy, added_to: None };
        for choice in CHOICES {
            let found = run(&mut ConvOp::new(g, 1, isa, choice), &operands);
            assert_close_to_the_value("bias", &found.db, &expected);
        }
    }
}

#[test]
fn repeated_runs_give_the_same_bits() {
    let square = |c, k, kernel, groups| {
        let (kernel, pad) = ([kernel; 2], [kernel / 2; 2]);
        ConvGeometry {
            n: 5,
            c,
            h: 17,
            w: 19,
            k,
            kernel,
            stride: [1, 1],
            pad,
            pad_after: pad,
            crop: [0; 2],
            dilation: [1; 2],
            groups,
        }
    };
    let shapes = [(24, 72, 3, 1), (24, 40, 5, 1), (8, 40, 3, 1), (40, 40, 3, 40), (8, 40, 1, 1), (360, 368, 1, 1)];
    for g in shapes.map(|(c, k, kernel, groups)| square(c, k, kernel, groups)) {
        check_bits(g);
    }
}

fn check_bits(g: ConvGeometry) {
    let [x, w, dy] = [g.input_len(), g.weight_len(), g.output_len()].map(|len| noise(len, 7));
    let bias = noise(g.k, 8);
    let bits = |isa, threads, choice| {
        let operands = Tensors { x: &x, w: &w, bias: &bias, dy: &dy, added_to: None };
        let Gradients { y, dx, dw, db } = run(&mut ConvOp::new(g, threads, isa, choice), &operands);
        [y, dx, dw, db].map(|v| v.iter().map(|f| f.to_bits()).collect::<Vec<_>>())
    };
    for (isa, choice) in Isa::supported().flat_map(|isa| CHOICES.map(|choice| (isa, choice))) {
        let [one, three, again] = [1, 3, 3].map(|threads| {
            let mut found = None;
            in_pool(threads, || found = Some(bits(isa, threads, choice)));
            found
        });
        assert_eq!(three, again, "{isa:?} {choice:?} from run to run");
        // The portable products leave the cut to the crate `gemm`.
        assert!(one == three || isa == Isa::Portable, "{isa:?} {choice:?} by the number of threads");
    }
}
