use super::constants::{
    ByPass, ByPhase, ByUnit, ConvConstants, GemmConstants, Generations, Memory, Overhead, Programs, Reach,
};
use super::*;
use crate::device::options::Search;
use crate::model::Model;
use crate::plan::Options;
use crate::plan::Precision;

/// One TFLOP/s and 100 GB/s in f32; twice, four and eight times the rate in the others. Of Volta's generation, whose reach is 1.
const PAPER: &str = "
[[gpu]]
name = \"paper\"
title = \"Paper GPU\"
generation = \"volta\"
f32 = 1.0
tf32 = 2.0
f16 = 8.0
bandwidth = 100.0
memory = 1.0
sms = 4
";

const fn by_phase(forward: f64, backward_data: f64, backward_weights: f64) -> ByPhase {
    ByPhase { forward, backward_data, backward_weights }
}

/// Half the peak forward, a quarter for the input's gradient, a fifth for the weights'; twice as much by Winograd; half the bandwidth;
/// 1 µs. Nothing slows: no narrow results, no short sums, no idle multiprocessors.
fn paper() -> Constants {
    let (none, nothing) = (by_phase(0.0, 0.0, 0.0), ByUnit { cores: 0.0, backward_weights: 0.0, tensor: 0.0 });
    let way = ByPass { forward: 0.5, backward: 0.25 };
    let fitted = Constants::fitted();
    Constants {
        conv: ConvConstants {
            direct: by_phase(0.5, 0.25, 0.2),
            winograd: by_phase(1.0, 0.5, 0.4),
            large: by_phase(1.0, 0.5, 0.4),
            tensor: by_phase(0.5, 0.5, 0.5),
            half: by_phase(1.0, 1.0, 1.0),
            narrow: none,
            narrow_tensor: 0.0,
            patch: 0.0,
            short: nothing,
            waves: nothing,
            strided_data: 1.0,
            strided_weights: 1.0,
            transforms: 0.0,
            reorder: 1.0,
            search: 0.8,
            search_large: 0.8,
        },
        gemm: GemmConstants { cores: 0.5, tensor: 0.5, narrow: 0.0, narrow_tensor: 0.0, short: 0.0, waves: 0.0 },
        memory: Memory { pool: way, batchnorm: way, lrn: way, elementwise: way, update: 0.5, operands: 0.5, l2: 2.0 },
        power: 0.5,
        generation: Generations { volta: Reach { cores: 1.0, tensor: 1.0, bandwidth: 1.0 }, ..fitted.generation },
        program: Programs {
            layertime: Overhead { launch_us: 1.0, passes: 1.0, half_passes: 1.0 },
            mxnet: Overhead { launch_us: 10.0, passes: 2.0, half_passes: 1.5 },
            ..fitted.program
        },
    }
}

pub(super) fn asked(gpu: &Gpu, precision: Precision, search: Search, layout: Layout) -> Question<'_> {
    Question { gpu, precision, search, layout, program: Program::Layertime, phases: &Phase::ALL }
}

fn predict_on(table: &str, layers: &str, batch: usize, precision: Precision, search: Search) -> Predicted {
    let head = "name = \"paper\"\ninput = [16, 32, 32]\n";
    let tail =
        "[[layer]]\nname = \"fc\"\nkind = \"fc\"\noutputs = 10\n[[layer]]\nname = \"loss\"\nkind = \"softmax_loss\"\n";
    let model = Model::parse(&format!("{head}{layers}{tail}"), "paper").unwrap();
    let plan = Plan::new(&model, Options { input_gradient: true, precision, ..Options::of_batch(batch) }).unwrap();
    let gpu = &Gpu::parse(table, "paper").unwrap()[0];
    Predicted::new(plan, &paper(), asked(gpu, precision, search, Layout::Nchw)).unwrap()
}

fn predict(layers: &str, batch: usize, precision: Precision, search: Search) -> Predicted {
    predict_on(PAPER, layers, batch, precision, search)
}

#[track_caller]
fn assert_phase(predicted: &Predicted, layer: usize, phase: Phase, us: f64, bound: Bound) {
    let found = predicted.phases.iter().find(|found| found.op == Op { layer, phase }).unwrap();
    assert!((found.us - us).abs() < 1e-6 && found.bound == bound, "{found:?}");
}

const CONV: &str = "[[layer]]\nname = \"conv\"\nkind = \"conv\"\nchannels = 32\nkernel = 3\npad = 1\n";

/// 8 images of 16x32x32 to 32 channels by 3x3: 8 · 1024 · 32 · 144 multiply-adds are 75,497,472 operations, 75.497472 µs at
/// 1 TFLOP/s. The paths that win are Winograd's, at twice the direct fractions; 32 rows are whole tiles of four.
#[test]
fn a_convolution_takes_its_operations_at_a_part_of_the_peak() {
    let heuristic = predict(CONV, 8, Precision::F32, Search::Heuristic);
    assert_phase(&heuristic, 0, Phase::Forward, 75.497472 + 1.0, Bound::Compute);
    assert_phase(&heuristic, 0, Phase::BackwardData, 75.497472 / 0.5 + 1.0, Bound::Compute);
    assert_phase(&heuristic, 0, Phase::BackwardWeights, 75.497472 / 0.4 + 1.0, Bound::Compute);
    // 4,640 parameters at 20 bytes and 50 GB/s.
    assert_phase(&heuristic, 0, Phase::WeightUpdate, 1.856 + 1.0, Bound::Memory);
    let search = predict(CONV, 8, Precision::F32, Search::Exhaustive);
    assert_phase(&search, 0, Phase::Forward, 0.8 * 75.497472 + 1.0, Bound::Compute);
    // Windows of 1x1 have the direct algorithms alone: a ninth of the operations, 8.388608 µs at 1 TFLOP/s. Forward, 393,760 values of
    // four bytes take longer: 1,575,040 bytes at 50 GB/s.
    let one = CONV.replace("kernel = 3\npad = 1", "kernel = 1");
    let direct = predict(&one, 8, Precision::F32, Search::Heuristic);
    assert_phase(&direct, 0, Phase::Forward, 31.5008 + 1.0, Bound::Memory);
    assert_phase(&direct, 0, Phase::BackwardWeights, 8.388608 / 0.2 + 1.0, Bound::Compute);
}

/// 16 channels fill tensor cores' groups of eight. In NCHW the operands move once more; in f16 (131,072 + 262,144 + 4,640) values of
/// two bytes: 795,712 bytes, 15.91424 µs at 50 GB/s.
#[test]
fn tensor_cores_and_the_order_of_elements() {
    let half = predict(CONV, 8, Precision::F16, Search::Heuristic);
    assert_phase(&half, 0, Phase::Forward, 75.497472 / 4.0 + 15.91424 + 1.0, Bound::Compute);
    let gpu = &Gpu::parse(PAPER, "paper").unwrap()[0];
    let question = asked(gpu, Precision::F16, Search::Heuristic, Layout::Nhwc);
    let nhwc = Predicted::new(half.plan.clone(), &paper(), question).unwrap();
    assert_phase(&nhwc, 0, Phase::Forward, 75.497472 / 4.0 + 1.0, Bound::Compute);
    // TF32 at half of its peak is what f32 reaches by Winograd, without the reordering: the ordinary cores are as good.
    let tf32 = predict(CONV, 8, Precision::Tf32, Search::Heuristic);
    assert_phase(&tf32, 0, Phase::Forward, 75.497472 + 1.0, Bound::Compute);
}

/// With TF32 convolutions, fully connected layers stay as they are in f32, and the other way round.
#[test]
fn two_arithmetics() {
    let of = |precision| predict(CONV, 64, precision, Search::Heuristic);
    let us = |predicted: &Predicted, layer| {
        let of_layer = predicted.phases.iter().filter(|phase| phase.op.layer == layer);
        of_layer.map(|phase| phase.us).sum::<f64>()
    };
    let [f32, tf32, mixed, other] = [Precision::F32, Precision::Tf32, Precision::Tf32F32, Precision::F32Tf32].map(of);
    assert_eq!((us(&mixed, 0), us(&mixed, 1)), (us(&tf32, 0), us(&f32, 1)));
    assert_eq!((us(&other, 0), us(&other, 1)), (us(&f32, 0), us(&tf32, 1)));
}

/// One image of 16,384 values to 10: 163,840 weights. Bytes rule: forward reads 16,384 + 163,850 values and writes 10.
#[test]
fn a_fully_connected_layer_is_bound_by_its_weights() {
    let predicted = predict("", 1, Precision::F32, Search::Exhaustive);
    // 32 columns are computed for one: 2 · 32 · 163,840 operations at 0.5 TFLOP/s are 20.97152 µs.
    assert_phase(&predicted, 0, Phase::Forward, 20.97152 + 1.0, Bound::Compute);
    assert_phase(&predicted, 0, Phase::WeightUpdate, 20.0 * 163_850.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    let half = predict("", 1, Precision::F16, Search::Exhaustive);
    assert_phase(&half, 0, Phase::Forward, 2.0 * 180_244.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    // Ten scores: the launch is all there is.
    let loss = predicted.phases.iter().find(|phase| phase.op == Op { layer: 1, phase: Phase::Forward }).unwrap();
    assert!(loss.bound == Bound::Latency && loss.us < 1.01);
}

/// Four multiprocessors, each as long idle as a tile takes: one image of 16x8x8 pixels is one tile by one.
#[test]
fn few_tiles_leave_multiprocessors_idle() {
    let pool = "[[layer]]\nname = \"pool\"\nkind = \"maxpool\"\nkernel = 4\n";
    let model = format!("{pool}{}", CONV.replace("kernel = 3\npad = 1", "kernel = 1"));
    let mut constants = paper();
    constants.conv.waves.cores = 0.5;
    let gpu = &Gpu::parse(PAPER, "paper").unwrap()[0];
    for (batch, tiles) in [(1, 1.0), (8, 8.0)] {
        let plan = predict(&model, batch, Precision::F32, Search::Heuristic).plan;
        let question = asked(gpu, Precision::F32, Search::Heuristic, Layout::Nchw);
        let predicted = Predicted::new(plan, &constants, question).unwrap();
        // 64 · 32 · 16 · 2 = 65,536 FLOP an image at 0.5 TFLOP/s.
        let us = 0.065536 * batch as f64 / 0.5 * (1.0 + 0.5 * 4.0 / tiles);
        let found = predicted.phases.iter().find(|found| found.op == Op { layer: 1, phase: Phase::Forward }).unwrap();
        let memory = 4.0 * (batch as f64 * 64.0 * 48.0 + 544.0) / 50e9 * 1e6;
        assert!((found.us - 1.0 - us.max(memory)).abs() < 1e-9, "{found:?}");
    }
}

/// A board with a quarter of the watts that its generation's large ones have for a TFLOP/s (19) runs at half the clock.
#[test]
fn a_small_board_lowers_its_clock() {
    let small = format!("{PAPER}watts = 4.75\n");
    let predicted = predict_on(&small, CONV, 8, Precision::F32, Search::Heuristic);
    assert_phase(&predicted, 0, Phase::Forward, 2.0 * 75.497472 + 1.0, Bound::Compute);
    let large = format!("{PAPER}watts = 30.0\n");
    assert_eq!(
        predict_on(&large, CONV, 8, Precision::F32, Search::Heuristic).total_us(),
        predict(CONV, 8, Precision::F32, Search::Heuristic).total_us()
    );
}

/// A framework's passes are a factor on the work, beside its own launch.
#[test]
fn a_framework_takes_its_passes() {
    let own = predict(CONV, 8, Precision::F32, Search::Heuristic);
    let gpu = &Gpu::parse(PAPER, "paper").unwrap()[0];
    let question = asked(gpu, Precision::F32, Search::Heuristic, Layout::Nchw);
    let mxnet = Predicted::new(own.plan.clone(), &paper(), Question { program: Program::Mxnet, ..question }).unwrap();
    assert_phase(&mxnet, 0, Phase::Forward, 2.0 * 75.497472 + 10.0, Bound::Compute);
}

/// Pooling 16x32x32 by 2: forward moves 16,384 + 4,096 values at 50 GB/s, backward twice that at 25 GB/s.
#[test]
fn pooling_scatters_its_gradient() {
    let pool = "[[layer]]\nname = \"pool\"\nkind = \"maxpool\"\nkernel = 2\n";
    let predicted = predict(pool, 1, Precision::F32, Search::Exhaustive);
    assert_phase(&predicted, 0, Phase::Forward, 4.0 * 20_480.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    assert_phase(&predicted, 0, Phase::BackwardData, 8.0 * 20_480.0 / 25e9 * 1e6 + 1.0, Bound::Memory);
}

/// Of the counted phases the total is the sum; memory is the whole step's, and must fit.
#[test]
fn counted_phases_and_memory() {
    let model = Model::named("alexnet").unwrap();
    let predict = |batch, precision: Precision, phases: &[Phase], input_gradient| {
        let plan = Plan::new(&model, Options { input_gradient, precision, ..Options::of_batch(batch) }).unwrap();
        let gpus = Gpu::built_in();
        let gpu = Gpu::find(&gpus, "v100-sxm2").unwrap();
        let question = Question { phases, ..asked(gpu, precision, Search::Exhaustive, Layout::Nchw) };
        Predicted::new(plan, &Constants::fitted(), question).unwrap()
    };
    let all = predict(64, Precision::F32, &Phase::ALL, false);
    let forward = predict(64, Precision::F32, &[Phase::Forward], false);
    assert!(forward.phases.iter().all(|phase| phase.op.phase == Phase::Forward));
    assert!(forward.total_us() < all.total_us() && forward.planned_bytes == all.planned_bytes);
    let first_data = |predicted: &Predicted| {
        predicted.phases.iter().any(|phase| phase.op == Op { layer: 0, phase: Phase::BackwardData })
    };
    assert!(!first_data(&all) && first_data(&predict(64, Precision::F32, &Phase::ALL, true)));
    // 61,100,840 parameters at twelve bytes are 733 MB in any precision; the images of f32, 64 · 150,528 · 4 bytes, halve.
    let half = predict(64, Precision::F16, &Phase::ALL, false);
    let parameters = 12 * 61_100_840;
    assert_eq!(all.planned_bytes - parameters, 2 * (half.planned_bytes - parameters));
    assert!(all.planned_bytes > parameters + 64 * 150_528 * 4);
    assert!(all.fits && !predict(1 << 16, Precision::F32, &Phase::ALL, false).fits);
}

#[test]
fn the_table_holds_what_the_datasheets_say() {
    let gpus = Gpu::built_in();
    assert!(gpus.len() >= 45);
    for (name, f32, f16, bandwidth, memory) in [
        ("V100-SXM2", 15.7, 125.0, 900.0, 16.0),
        ("a100 sxm", 19.5, 312.0, 1555.0, 40.0),
        ("A100 SXM 80 GB", 19.5, 312.0, 2039.0, 80.0),
        ("h100-sxm", 66.9, 989.4, 3350.0, 80.0),
        ("H200 SXM", 66.9, 989.4, 4800.0, 141.0),
    ] {
        let gpu = Gpu::find(&gpus, name).unwrap();
        assert_eq!((gpu.f32, gpu.f16, gpu.bandwidth, gpu.memory), (f32, Some(f16), bandwidth, memory), "{name}");
    }
    let on_tensor_cores = |name, precision| Gpu::find(&gpus, name).unwrap().uses_tensor_cores(precision);
    assert!(!on_tensor_cores("p100-sxm2", Precision::F16) && !on_tensor_cores("a100-sxm", Precision::F32));
    assert!(on_tensor_cores("v100-sxm2", Precision::F16) && on_tensor_cores("a100-sxm", Precision::Tf32));
    for gpu in &gpus {
        assert!(
            gpu.source.is_some() && gpu.l2_mb.is_some() && gpu.watts.is_some() && gpu.generation.is_some(),
            "{}",
            gpu.name
        );
        assert_eq!(gpu.tf32.is_some(), gpu.bf16.is_some(), "{}: both came with sm_80", gpu.name);
    }
}

#[track_caller]
fn assert_refused(text: &str, words: &[&str]) {
    let message = Gpu::parse(text, "mine.toml").unwrap_err().to_string();
    assert!(words.iter().all(|word| message.contains(word)) && message.lines().count() == 1, "{message}");
}

#[test]
fn tables_are_refused_with_file_and_line() {
    assert_refused(&format!("{PAPER}cores = 5\n"), &["mine.toml:12", "unknown key `cores`"]);
    assert_refused("[[gpu]]\nname = \"a\"\n", &["mine.toml:1", "missing `title`"]);
    assert_refused(&PAPER.replace("1.0\ntf32", "\"fast\"\ntf32"), &["mine.toml:6"]);
    assert_refused(
        &PAPER.replace("100.0", "-1.0"),
        &["mine.toml:", "bandwidth must be a number from 0.1 to 1000000, not -1.0"],
    );
    assert_refused(&PAPER.replace("100.0", "nan"), &["bandwidth must be", "not nan"]);
    assert_refused(&PAPER.replace("\"paper\"", "\"all\""), &["`all`"]);
    assert_refused(&format!("{PAPER}{PAPER}"), &["mine.toml:13", "two GPUs are named `paper`"]);
    assert_refused("gpu = []\n", &["no [[gpu]]"]);
    assert_refused("", &["mine.toml:1", "missing `gpu`"]);
    assert_refused("[[gpu]\n", &["mine.toml:1"]);
}

#[test]
fn unknown_names_and_missing_precisions_say_what_there_is() {
    let gpus = Gpu::built_in();
    let message = Gpu::find(&gpus, "A100").unwrap_err().to_string();
    assert!(
        message.contains("(did you mean a100-sxm or a100-sxm-80gb or a100-pcie or a100-pcie-80gb?)")
            && message.contains("h100-sxm"),
        "{message}"
    );
    let message = Gpu::find(&gpus, "tpu").unwrap_err().to_string();
    assert!(message.contains("`tpu`: give one of titan-x-maxwell, "), "{message}");
    let message = Gpu::find(&gpus, "t4").unwrap().ceilings(Precision::Bf16).unwrap_err().to_string();
    assert_eq!(message, "T4 has no bf16: it has f32, f16");
}
