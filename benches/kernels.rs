//! How fast the CPU's kernels are, layer by layer, against the machine's peaks measured in the same run.
//!
//! Each convolution is timed with the direct kernels and, in turn, with the algorithm that the rule names.
//!
//! `cargo bench --bench kernels -- [MODEL] [BATCH] [THREADS] [avx512|avx2|portable]`: `alexnet` (as is), `vgg`, or `thin`
//! (depthwise, 1 × 1 and first convolutions), at batch 8 and 1 thread. Prints GFLOP/s of direct FLOPs (best of several runs) for forward, backward-data and backward-weights.

use layertime::device::cpu::compute::simd::Isa;
use layertime::device::cpu::operations::conv::{AlgorithmChoice, ConvOp};
use layertime::device::cpu::operations::fc::FcOp;
use layertime::device::cpu::operations::{BackwardData, BackwardWeights, Forward, Operation};
use layertime::plan::{ConvGeometry, FcGeometry, Phase};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Channels in, size, channels out, kernel, stride, pad.
type ConvLayer = (&'static str, [usize; 6]);

const ALEXNET: &[ConvLayer] = &[
    ("conv1", [3, 224, 64, 11, 4, 2]),
    ("conv2", [64, 27, 192, 5, 1, 2]),
    ("conv3", [192, 13, 384, 3, 1, 1]),
    ("conv4", [384, 13, 256, 3, 1, 1]),
    ("conv5", [256, 13, 256, 3, 1, 1]),
];

const VGG: &[ConvLayer] = &[
    ("conv1_1", [3, 224, 64, 3, 1, 1]),
    ("conv1_2", [64, 224, 64, 3, 1, 1]),
    ("conv2_1", [64, 112, 128, 3, 1, 1]),
    ("conv2_2", [128, 112, 128, 3, 1, 1]),
    ("conv3_1", [128, 56, 256, 3, 1, 1]),
    ("conv3_2", [256, 56, 256, 3, 1, 1]),
    ("conv4_1", [256, 28, 512, 3, 1, 1]),
    ("conv4_2", [512, 28, 512, 3, 1, 1]),
    ("conv5_1", [512, 14, 512, 3, 1, 1]),
];

/// Depthwise ones have as many groups as channels.
const THIN: &[ConvLayer] = &[
    ("dw16", [16, 56, 16, 3, 1, 1]),
    ("dw64", [64, 56, 64, 3, 1, 1]),
    ("dw256", [256, 56, 256, 3, 1, 1]),
    ("dw96_7", [96, 56, 96, 7, 1, 3]),
    ("dw96_s2", [96, 112, 96, 3, 2, 1]),
    ("16_96", [16, 112, 96, 1, 1, 0]),
    ("144_24", [144, 56, 24, 1, 1, 0]),
    ("64_256", [64, 56, 256, 1, 1, 0]),
    ("256_64", [256, 56, 64, 1, 1, 0]),
    ("1024_256", [1024, 14, 256, 1, 1, 0]),
    ("2048_512", [2048, 7, 512, 1, 1, 0]),
    ("512_2048", [512, 7, 2048, 1, 1, 0]),
    ("1024_2048", [1024, 14, 2048, 1, 2, 0]),
    ("512_7", [512, 7, 512, 3, 1, 1]),
    ("512_14", [512, 14, 512, 3, 2, 1]),
    ("rgb7", [3, 224, 64, 7, 2, 3]),
    ("rgb3", [3, 224, 32, 3, 2, 1]),
];

const FC: &[(&str, [usize; 2])] = &[("fc6", [9216, 4096]), ("fc7", [4096, 4096]), ("fc8", [4096, 1000])];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let argument = |i: usize, default: &'static str| arguments.get(i).map_or(default, String::as_str).to_owned();
    let (layers, fully_connected) = match argument(0, "alexnet").as_str() {
        "vgg" => (VGG, FC),
        "thin" => (THIN, &[][..]),
        _ => (ALEXNET, FC),
    };
    let batch: usize = argument(1, "8").parse().expect("a batch size");
    let threads: usize = argument(2, "1").parse().expect("a number of threads");
    let isa = match argument(3, "").as_str() {
        "avx512" => Isa::Avx512,
        "avx2" => Isa::Avx2,
        "portable" => Isa::Portable,
        _ => Isa::detect(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
    pool.install(|| {
        println!("batch {batch}, {threads} threads, {isa:?}");
        println!("{}", peaks(threads));
        println!("{:9} {:>24} {:>24} {:>24}", "layer", "forward ms GFLOP/s", "backward_data", "backward_weights");
        layers.iter().for_each(|layer| conv(layer, batch, threads, isa));
        fully_connected.iter().for_each(|layer| fc(layer, batch, threads, isa));
        println!("{}", peaks(threads));
    });
}

fn conv((name, [c, size, k, kernel, stride, pad]): &ConvLayer, n: usize, threads: usize, isa: Isa) {
    let geometry = ConvGeometry {
        n,
        c: *c,
        h: *size,
        w: *size,
        k: *k,
        kernel: [*kernel; 2],
        stride: [*stride; 2],
        pad: [*pad; 2],
        pad_after: [*pad; 2],
        crop: [0; 2],
        dilation: [1; 2],
        groups: if name.starts_with("dw") { *c } else { 1 },
    };
    let flops = 2.0 * geometry.macs() as f64;
    let lengths = [geometry.input_len(), geometry.weight_len(), geometry.output_len(), *k];
    let mut direct = ConvOp::new(geometry, threads, isa, AlgorithmChoice::Direct);
    let mut by_rule = ConvOp::new(geometry, threads, isa, AlgorithmChoice::ByRule);
    let names = [&direct, &by_rule].map(|conv| conv.algorithm(Phase::Forward).map_or("".into(), |found| found.name));
    let [direct, by_rule] = time_phases([&mut direct, &mut by_rule], lengths);
    let rate = |seconds: f64| format!("{:7.1}", flops / seconds / 1e9);
    print_row(name, direct, rate);
    if names[0] != names[1] {
        print_row("", by_rule, rate);
        let gains = [0, 1, 2].map(|phase| format!("{:>24}", format!("{:.2} times", direct[phase] / by_rule[phase])));
        println!("{:9} {} by {}", "", gains.join(" "), names[1]);
    }
}

fn fc((name, [inputs, outputs]): &(&str, [usize; 2]), n: usize, threads: usize, isa: Isa) {
    let geometry = FcGeometry { n, inputs: *inputs, outputs: *outputs };
    let flops = 2.0 * (n * inputs * outputs) as f64;
    let bytes = 4.0 * (inputs * outputs) as f64;
    let lengths = [n * inputs, outputs * inputs, n * outputs, *outputs];
    let [times] = time_phases([&mut FcOp::new(geometry, threads, isa)], lengths);
    print_row(name, times, |seconds| format!("{:6.1} {:4.1}GB/s", flops / seconds / 1e9, bytes / seconds / 1e9));
}

/// Seconds of forward, backward_data and backward_weights of operations that take the same tensors: the fastest of runs in turn.
/// `lengths` are those of input, weights, output and biases.
fn time_phases<const N: usize>(mut operations: [&mut dyn Operation; N], lengths: [usize; 4]) -> [[f64; 3]; N] {
    let mut memory = lengths.map(|len| ones(len + LINE));
    let [x, w, y, bias] = memory.each_mut().map(|memory| on_a_line(memory));
    let floats = |operation: &&mut dyn Operation| Phase::ALL.map(|phase| operation.workspace_floats(phase));
    let mut workspace = ones(operations.iter().flat_map(floats).max().unwrap_or(0));
    let mut best = [[f64::INFINITY; 3]; N];
    let begin = Instant::now();
    for round in 0.. {
        if round >= 4 && begin.elapsed() > N as u32 * Duration::from_millis(1500) {
            break;
        }
        for (operation, best) in operations.iter_mut().zip(&mut best) {
            let times = [
                seconds(|| {
                    operation.forward(Forward {
                        inputs: &[x],
                        weights: w,
                        biases: bias,
                        output: y,
                        workspace: &mut workspace,
                        ..Forward::default()
                    })
                }),
                seconds(|| {
                    operation.backward_data(BackwardData {
                        output_gradient: y,
                        weights: w,
                        input_gradient: x,
                        workspace: &mut workspace,
                        ..BackwardData::default()
                    })
                }),
                seconds(|| {
                    operation.backward_weights(BackwardWeights {
                        input: x,
                        output_gradient: y,
                        weight_gradient: w,
                        bias_gradient: bias,
                        workspace: &mut workspace,
                    })
                }),
            ];
            best.iter_mut().zip(times).for_each(|(best, time)| *best = best.min(time));
            // Else numbers grow from run to run until they are infinite.
            [&mut *x, w, y].into_iter().for_each(|tensor| tensor.fill(1e-3));
        }
    }
    best
}

fn seconds(mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn print_row(name: &str, seconds: [f64; 3], rate: impl Fn(f64) -> String) {
    let cells = seconds.map(|s| format!("{:>24}", format!("{:8.3} {}", s * 1e3, rate(s))));
    println!("{name:9} {}", cells.join(" "));
}

/// f32 in a cache line.
const LINE: usize = 16;

/// The tensor in memory that has a line more: it begins on a cache line, as those of a session do.
fn on_a_line(memory: &mut [f32]) -> &mut [f32] {
    let (skip, len) = (memory.as_ptr().align_offset(LINE * size_of::<f32>()), memory.len() - LINE);
    &mut memory[skip..][..len]
}

fn ones(len: usize) -> Vec<f32> {
    vec![1e-3; len]
}

/// Seconds of the fastest run, of at least three and half a second in all.
fn best(mut work: impl FnMut()) -> f64 {
    let mut best = Duration::MAX;
    let begin = Instant::now();
    for run in 0.. {
        if run >= 4 && begin.elapsed() > Duration::from_millis(500) {
            break;
        }
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    best.as_secs_f64()
}

fn peaks(threads: usize) -> String {
    let fma = fma_peak(threads).map_or("unknown".into(), |rate| format!("{rate:.1} GFLOP/s"));
    format!("FMA peak {fma}, triad {:.1} GB/s", triad(threads))
}

#[cfg(not(target_arch = "x86_64"))]
fn fma_peak(_threads: usize) -> Option<f64> {
    None
}

/// GFLOP/s of multiply-adds on registers alone, by all threads; known with AVX-512.
#[cfg(target_arch = "x86_64")]
fn fma_peak(threads: usize) -> Option<f64> {
    if !is_x86_feature_detected!("avx512f") {
        return None;
    }
    const STEPS: usize = 2_000_000;
    let flops = (threads * STEPS * 16 * 16 * 2) as f64;
    let seconds = best(|| {
        (0..threads).into_par_iter().with_max_len(1).for_each(|_| {
            // SAFETY: the CPU has AVX-512.
            unsafe { multiply_adds(STEPS) }
        });
    });
    Some(flops / seconds / 1e9)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn multiply_adds(steps: usize) {
    use std::arch::x86_64::*;
    let factor = _mm512_set1_ps(black_box(0.999));
    let mut acc = [_mm512_set1_ps(black_box(1.0)); 16];
    for _ in 0..steps {
        for a in &mut acc {
            *a = _mm512_fmadd_ps(*a, factor, factor);
        }
    }
    black_box(acc);
}

/// GB/s of `a = b + s · c` on 64 MB each, by all threads, three numbers per element.
fn triad(threads: usize) -> f64 {
    let len = 16 << 20;
    let [mut a, b, c] = [len; 3].map(ones);
    let scale = black_box(3.0f32);
    let part = len.div_ceil(threads);
    let seconds = best(|| {
        let parts = a.par_chunks_mut(part).zip(b.par_chunks(part)).zip(c.par_chunks(part));
        parts.for_each(|((a, b), c)| {
            a.iter_mut().zip(b.iter().zip(c)).for_each(|(a, (b, c))| *a = b + scale * c);
        });
    });
    (3 * len * size_of::<f32>()) as f64 / seconds / 1e9
}
