use super::*;
use crate::device::options::Search;
use crate::model::Model;
use crate::plan::Options;
use crate::plan::Precision;
use crate::predict::fractions::{ConvFractions, Convolutions, Gemm, LaunchCost, Memory, Tile};

/// One TFLOP/s and 100 GB/s in f32; twice, four and eight times the rate in the others.
const PAPER: &str = "
[[gpu]]
name = \"paper\"
title = \"Paper GPU\"
f32 = 1.0
tf32 = 2.0
f16 = 8.0
bandwidth = 100.0
memory = 1.0
sms = 4
";

/// Half the peak forward, a quarter for the input's gradient, a fifth for the weights'; half the bandwidth; 1 µs.
fn fractions() -> Fractions {
    let heuristic = ConvFractions { forward: 0.5, backward_data: 0.25, backward_weights: 0.2 };
    let search = ConvFractions { forward: 1.0, backward_data: 1.0, backward_weights: 1.0 };
    Fractions {
        conv: Convolutions { heuristic, search },
        gemm: Gemm { forward: 0.5, backward: 0.8 },
        memory: Memory { streaming: 0.5, pooling_backward: 0.25 },
        launch: LaunchCost { us: 1.0 },
        tile: Tile { side: 64 },
    }
}

fn predict(layers: &str, batch: usize, precision: Precision, search: Search) -> Predicted {
    let head = "name = \"paper\"\ninput = [16, 32, 32]\n";
    let tail =
        "[[layer]]\nname = \"fc\"\nkind = \"fc\"\noutputs = 10\n[[layer]]\nname = \"loss\"\nkind = \"softmax_loss\"\n";
    let model = Model::parse(&format!("{head}{layers}{tail}"), "paper").unwrap();
    let plan = Plan::new(&model, Options { input_gradient: true, precision, ..Options::of_batch(batch) }).unwrap();
    let gpu = &Gpu::parse(PAPER, "paper").unwrap()[0];
    Predicted::new(plan, &fractions(), Question { gpu, precision, search, phases: &Phase::ALL }).unwrap()
}

#[track_caller]
fn assert_phase(predicted: &Predicted, layer: usize, phase: Phase, us: f64, bound: Bound) {
    let op = Op { layer, phase };
    let found = predicted.phases.iter().find(|predicted| predicted.op == op).unwrap();
    assert!((found.us - us).abs() < 1e-6 * us, "{phase:?}: {} is not {us}", found.us);
    assert_eq!(found.bound, bound, "{phase:?}");
}

const CONV: &str = "[[layer]]\nname = \"conv\"\nkind = \"conv\"\nchannels = 32\nkernel = 3\npad = 1\n";

/// Eight images of 16x32x32 to 32x32x32 by 3x3: 8 · 32 · 1024 · 144 = 37,748,736 multiply-adds, 75.497472 MFLOP, and
/// 131,072 + 262,144 values with 4,608 weights and 32 biases. 8,192 pixels are 128 tiles: all multiprocessors are busy.
#[test]
fn a_convolution_on_paper() {
    let heuristic = predict(CONV, 8, Precision::F32, Search::Heuristic);
    // 75.497472 MFLOP at 0.5, 0.25 and 0.2 TFLOP/s, and the launch; the bytes, 1.6 MB at 50 GB/s, take 32 µs.
    assert_phase(&heuristic, 0, Phase::Forward, 150.994944 + 1.0, Bound::Compute);
    assert_phase(&heuristic, 0, Phase::BackwardData, 301.989888 + 1.0, Bound::Compute);
    assert_phase(&heuristic, 0, Phase::BackwardWeights, 377.48736 + 1.0, Bound::Compute);
    // 4,640 parameters, five times four bytes each, at 50 GB/s: 1.856 µs.
    assert_phase(&heuristic, 0, Phase::WeightUpdate, 1.856 + 1.0, Bound::Memory);
    let search = predict(CONV, 8, Precision::F32, Search::Exhaustive);
    assert_phase(&search, 0, Phase::Forward, 75.497472 + 1.0, Bound::Compute);
}

/// On tensor cores no algorithm beats the direct count, and 16-bit elements halve the bytes but not the update's.
#[test]
fn precisions() {
    let tf32 = predict(CONV, 8, Precision::Tf32, Search::Exhaustive);
    assert_phase(&tf32, 0, Phase::Forward, 75.497472 + 1.0, Bound::Compute);
    // (131,072 + 262,144 + 4,640) values of two bytes: 795,712 bytes, 15.91424 µs; the multiply-adds at 4 TFLOP/s take
    // 18.874368 µs.
    let half = predict(CONV, 8, Precision::F16, Search::Exhaustive);
    assert_phase(&half, 0, Phase::Forward, 18.874368 + 1.0, Bound::Compute);
    assert_phase(&half, 0, Phase::WeightUpdate, 1.856 + 1.0, Bound::Memory);
}

/// One image of 16,384 values to 10: 163,840 weights. Bytes rule: forward reads 16,384 + 163,850 values and writes 10.
#[test]
fn a_fully_connected_layer_is_bound_by_its_weights() {
    let predicted = predict("", 1, Precision::F32, Search::Exhaustive);
    assert_phase(&predicted, 0, Phase::Forward, 4.0 * 180_244.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    assert_phase(&predicted, 0, Phase::WeightUpdate, 20.0 * 163_850.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    // In f16 half the bytes forward, and as many in the update.
    let half = predict("", 1, Precision::F16, Search::Exhaustive);
    assert_phase(&half, 0, Phase::Forward, 2.0 * 180_244.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    assert_phase(&half, 0, Phase::WeightUpdate, 20.0 * 163_850.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    // Ten scores: the launch is all there is.
    let loss = predicted.phases.iter().find(|phase| phase.op == Op { layer: 1, phase: Phase::Forward }).unwrap();
    assert!(loss.bound == Bound::Latency && loss.us < 1.01);
}

/// One image of 16x8x8 pixels is one tile by one: a quarter of the GPU. 64 · 32 · 144 · 2 = 589,824 FLOP.
#[test]
fn few_tiles_leave_multiprocessors_idle() {
    let pool = "[[layer]]\nname = \"pool\"\nkind = \"maxpool\"\nkernel = 4\n";
    let predicted = predict(&format!("{pool}{CONV}"), 1, Precision::F32, Search::Exhaustive);
    assert_phase(&predicted, 1, Phase::Forward, 0.589824 * 4.0 + 1.0, Bound::Compute);
    let predicted = predict(&format!("{pool}{CONV}"), 2, Precision::F32, Search::Exhaustive);
    assert_phase(&predicted, 1, Phase::Forward, 2.0 * 0.589824 * 2.0 + 1.0, Bound::Compute);
}

/// AlexNet's conv3 at batch 1: 169 pixels are three tiles, 384 channels six, 192 channels three. In alexnet-2012 conv4 has two
/// groups of 192 channels to 192.
#[test]
fn tiles_of_alexnet() {
    let plan = |model| Plan::new(&Model::named(model).unwrap(), Options::of_batch(1));
    let count = |model, name: &str| {
        let plan = plan(model).unwrap();
        let layer = plan.layers.iter().find(|layer| layer.name == name).unwrap();
        Phase::ALL.map(|phase| tiles::of(layer, phase, 64))
    };
    assert_eq!(count("alexnet", "conv3"), [Some(3 * 6), Some(3 * 3), None, None, None]);
    assert_eq!(count("alexnet", "fc7"), [None; 5]);
    assert_eq!(count("alexnet-2012", "conv4"), [Some(2 * 3 * 3), Some(2 * 3 * 3), None, None, None]);
    assert_eq!(count("alexnet", "pool1"), [None; 5]);
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
        let question = Question { gpu, precision, search: Search::Exhaustive, phases };
        Predicted::new(plan, &Fractions::fitted(), question).unwrap()
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
    assert!(gpus.len() >= 13);
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
        assert!(gpu.source.is_some() && gpu.l2_mb.is_some(), "{}", gpu.name);
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
    assert_refused(&format!("{PAPER}cores = 5\n"), &["mine.toml:11", "unknown key `cores`"]);
    assert_refused("[[gpu]]\nname = \"a\"\n", &["mine.toml:1", "missing `title`"]);
    assert_refused(&PAPER.replace("1.0\ntf32", "\"fast\"\ntf32"), &["mine.toml:5"]);
    assert_refused(
        &PAPER.replace("100.0", "-1.0"),
        &["mine.toml:", "bandwidth must be a number from 0.1 to 1000000, not -1.0"],
    );
    assert_refused(&PAPER.replace("100.0", "nan"), &["bandwidth must be", "not nan"]);
    assert_refused(&PAPER.replace("\"paper\"", "\"all\""), &["`all`"]);
    assert_refused(&format!("{PAPER}{PAPER}"), &["mine.toml:12", "two GPUs are named `paper`"]);
    assert_refused("gpu = []\n", &["no [[gpu]]"]);
    assert_refused("", &["mine.toml:1", "missing `gpu`"]);
    assert_refused("[[gpu]\n", &["mine.toml:1"]);
}

#[test]
fn unknown_names_and_missing_precisions_say_what_there_is() {
    let gpus = Gpu::built_in();
    let message = Gpu::find(&gpus, "A100").unwrap_err().to_string();
    assert!(message.contains("(did you mean a100-sxm or a100-sxm-80gb?)") && message.contains("h100-sxm"), "{message}");
    let message = Gpu::find(&gpus, "tpu").unwrap_err().to_string();
    assert!(message.contains("`tpu`: give one of titan-x-maxwell, "), "{message}");
    let message = Gpu::find(&gpus, "t4").unwrap().ceilings(Precision::Bf16).unwrap_err().to_string();
    assert_eq!(message, "T4 has no bf16: it has f32, f16");
}
