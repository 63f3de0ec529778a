use super::constants::{
    ByPass, ByPhase, ByUnit, ConvConstants, GemmConstants, Generations, Memory, Overhead, Programs, Reach,
};
use super::*;
use crate::device::options::Search;
use crate::model::Model;
use crate::plan::Options;
use crate::plan::Precision;

/// One TFLOP/s and 100 GB/s in f32; twice, four and eight times the rate in the others. Of Volta's generation, whose reach is 1.
pub(super) const PAPER: &str = "
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
        gemm: GemmConstants {
            cores: 0.5,
            tensor: 0.5,
            narrow: 0.0,
            narrow_before_volta: 0.0,
            narrow_tensor: 0.0,
            short: 0.0,
            waves: 0.0,
        },
        memory: Memory {
            pool: way,
            batchnorm: way,
            lrn: way,
            elementwise: way,
            update: 0.5,
            operands: 0.5,
            fused: 0.2,
            load: f64::INFINITY,
            l2: 2.0,
        },
        power: 0.5,
        doubled: 0.5,
        feed: f64::INFINITY,
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
    // The 16 columns of the input's gradient count as 32, half a tile.
    assert_phase(&direct, 0, Phase::BackwardData, 2.0 * 8.388608 / 0.25 + 1.0, Bound::Compute);
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
    // 16 columns are computed for one: 2 · 16 · 163,840 operations at 0.5 TFLOP/s are 10.48576 µs; the bytes take longer.
    assert_phase(&predicted, 0, Phase::Forward, 4.0 * 180_244.0 / 50e9 * 1e6 + 1.0, Bound::Memory);
    // Before Volta 32 are: 20.97152 µs.
    let old = PAPER.replace("volta", "pascal");
    let old = predict_on(&old, "", 1, Precision::F32, Search::Exhaustive);
    let pascal = Constants::fitted().generation.pascal;
    assert_phase(&old, 0, Phase::Forward, 20.97152 / pascal.cores + 1.0, Bound::Compute);
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

/// The paper GPU's four multiprocessors have 64 lanes and 7,812.5 clocks a µs together. At 12.8 bytes a clock they take as long as the
/// memory's 100 GB/s do, and both together twice as long; 16-bit elements come at half of that.
#[test]
fn multiprocessors_load_so_much_in_a_clock() {
    let mut constants = paper();
    constants.memory.load = 12.8;
    let gpu = &Gpu::parse(PAPER, "paper").unwrap()[0];
    let forward = |precision| {
        let plan = predict("", 1, precision, Search::Heuristic).plan;
        let question = asked(gpu, precision, Search::Heuristic, Layout::Nchw);
        Predicted::new(plan, &constants, question).unwrap()
    };
    assert_phase(&forward(Precision::F32), 0, Phase::Forward, 2.0 * 14.41952 + 1.0, Bound::Memory);
    assert_phase(&forward(Precision::F16), 0, Phase::Forward, 3.0 * 7.20976 + 1.0, Bound::Memory);
}

/// Fed with 1,024 FLOP a clock, tensor cores of 8 TFLOP/s wait as long as they compute; with the 32-bit operands of TF32 two
/// TFLOP/s wait half as long.
#[test]
fn tensor_cores_wait_for_operands() {
    let mut constants = paper();
    constants.feed = 1024.0;
    constants.conv.winograd = by_phase(0.1, 0.1, 0.1);
    let gpu = &Gpu::parse(PAPER, "paper").unwrap()[0];
    let forward = |precision, us: f64| {
        let plan = predict(CONV, 8, precision, Search::Heuristic).plan;
        let question = asked(gpu, precision, Search::Heuristic, Layout::Nhwc);
        let predicted = Predicted::new(plan, &constants, question).unwrap();
        assert_phase(&predicted, 0, Phase::Forward, us + 1.0, Bound::Compute);
    };
    forward(Precision::F16, 2.0 * 75.497472 / 4.0);
    forward(Precision::Tf32, 1.5 * 75.497472);
}

/// Twice the lanes, with as many schedulers: half of them stay idle on paper.
#[test]
fn doubled_lanes_are_not_all_busy() {
    let mut constants = paper();
    constants.generation.ampere_ga10x = Reach { cores: 1.0, tensor: 1.0, bandwidth: 1.0 };
    let gpu = &Gpu::parse(&PAPER.replace("volta", "ampere-ga10x"), "paper").unwrap()[0];
    let plan = predict(CONV, 8, Precision::F32, Search::Heuristic).plan;
    let question = asked(gpu, Precision::F32, Search::Heuristic, Layout::Nchw);
    let predicted = Predicted::new(plan, &constants, question).unwrap();
    assert_phase(&predicted, 0, Phase::Forward, 2.0 * 75.497472 + 1.0, Bound::Compute);
}

/// Channels last and 16 bits: batch normalisation does the ReLU behind it for a fifth of a pass of its own. A ReLU behind the sum of
/// two normalised maps counts, one behind a convolution does not, nor do other orders, elements and programs.
#[test]
fn what_is_behind_a_batch_normalisation() {
    let layer = |name: &str, kind: &str| format!("[[layer]]\nname = \"{name}\"\nkind = \"{kind}\"\n");
    let one = CONV.replace("kernel = 3\npad = 1", "kernel = 1");
    let model = [one, layer("early", "relu"), layer("norm", "batchnorm"), layer("late", "relu")].concat();
    let gpu = &Gpu::parse(PAPER, "paper").unwrap()[0];
    let us = |precision, layout, program| {
        let plan = predict(&model, 8, precision, Search::Heuristic).plan;
        let question = Question { program, ..asked(gpu, precision, Search::Heuristic, layout) };
        let constants = Constants { program: Programs::each(|_| paper().program.layertime), ..paper() };
        let predicted = Predicted::new(plan, &constants, question).unwrap();
        [1, 3].map(|layer| {
            let op = Op { layer, phase: Phase::Forward };
            predicted.phases.iter().find(|phase| phase.op == op).unwrap().us - 1.0
        })
    };
    let close = |[one, other]: [f64; 2], factor: f64| assert!((other / one - factor).abs() < 1e-9, "{one} {other}");
    close(us(Precision::F16, Layout::Nhwc, Program::Tensorflow), 0.2);
    close(us(Precision::F16, Layout::Nhwc, Program::Layertime), 1.0);
    close(us(Precision::F16, Layout::Nchw, Program::Tensorflow), 1.0);
    close(us(Precision::Tf32, Layout::Nhwc, Program::Tensorflow), 1.0);
    let plan = Plan::new(&Model::named("resnet18").unwrap(), Options::of_batch(1)).unwrap();
    let behind = |layer: &crate::plan::LayerPlan| {
        PhaseWork::of(&plan.layers, layer, Phase::Forward, 1.0).does == work::Does::BehindNorm
    };
    // One ReLU and one sum in each of eight blocks, one ReLU behind each sum, and the first.
    assert_eq!(plan.layers.iter().filter(|layer| behind(layer)).count(), 25);
}

/// 16-bit elements come with channels last where the program turns to them.
#[test]
fn programs_have_their_memory_order() {
    for program in Program::ALL {
        let turns = [Program::Layertime, Program::Tensorflow, Program::TensorflowXla].contains(&program);
        assert_eq!(program.layout(Precision::F16) == Layout::Nhwc, turns, "{program}");
        assert_eq!(program.layout(Precision::Tf32) == Layout::Nhwc, program == Program::Layertime, "{program}");
        assert_eq!(program.layout(Precision::F32), Layout::Nchw);
    }
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
