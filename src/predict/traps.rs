//! Traps that predictions have fallen into, held on every GPU of the table with the fitted constants.

use super::tests::asked;
use super::*;
use crate::model::Model;
use crate::plan::Options;

/// Predicted by the fitted constants, in layertime's own step.
fn fitted(gpu: &Gpu, model: &str, batch: usize, precision: Precision, layout: Layout) -> Predicted {
    let model = Model::named(model).unwrap();
    let plan = Plan::new(&model, Options { precision, ..Options::of_batch(batch) }).unwrap();
    Predicted::new(plan, &Constants::fitted(), asked(gpu, precision, Search::Exhaustive, layout)).unwrap()
}

/// In no layer and phase is a precision of tensor cores slower than f32, on GeForce cards and all others: the library may run f32's
/// algorithms. f16 has one phase more, the check of gradients. Left out are GPUs that compute f16 on ordinary cores, of which
/// measurements say that it is slower in places.
#[test]
fn tensor_cores_are_never_slower_than_f32() {
    for gpu in Gpu::built_in() {
        for precision in [Precision::Tf32, Precision::F16, Precision::Bf16] {
            if gpu.peak(precision).is_none() || !gpu.uses_tensor_cores(precision) {
                continue;
            }
            for (model, batch) in [("alexnet", 1), ("alexnet", 128), ("vgg16", 16), ("resnet50", 32)] {
                let f32 = fitted(&gpu, model, batch, Precision::F32, Layout::Nchw);
                let other = fitted(&gpu, model, batch, precision, Layout::Nchw);
                for phase in other.phases.iter().filter(|phase| phase.op.phase != Phase::LossScale) {
                    let same = f32.phases.iter().find(|same| same.op == phase.op).unwrap();
                    assert!(phase.us <= same.us * 1.0001, "{} {model} {batch} {precision}: {phase:?}", gpu.name);
                }
            }
        }
    }
}

/// AlexNet's first convolution has three channels, which tensor cores pad to eight: f16 gains less there than in the third.
#[test]
fn f16_with_few_channels_gains_less() {
    for name in ["v100-sxm2", "a100-sxm", "rtx-3090"] {
        let gpu = Gpu::find(&Gpu::built_in(), name).unwrap().clone();
        let gain = |layer: &str| {
            let us = |precision| {
                let predicted = fitted(&gpu, "alexnet", 128, precision, Layout::Nchw);
                let index = predicted.plan.layers.iter().position(|known| known.name == layer).unwrap();
                let op = Op { layer: index, phase: Phase::Forward };
                predicted.phases.iter().find(|phase| phase.op == op).unwrap().us
            };
            us(Precision::F32) / us(Precision::F16)
        };
        assert!(gain("conv1") < gain("conv3"), "{name}: {} and {}", gain("conv1"), gain("conv3"));
        assert!((1.0..4.0).contains(&gain("conv1")), "{name}: {}", gain("conv1"));
    }
}

/// All of `tiny` fits in an A100's 40 MB, so its weights come faster than from memory; AlexNet's 244 MB do not fit, and its
/// fully connected layers at batch 1 take at least what memory needs for them.
#[test]
fn what_fits_in_the_l2_stays_there() {
    let gpus = Gpu::built_in();
    let gpu = Gpu::find(&gpus, "a100-sxm").unwrap();
    let without = Gpu { l2_mb: None, ..gpu.clone() };
    let us = |gpu: &Gpu, model| fitted(gpu, model, 1, Precision::F32, Layout::Nchw).total_us();
    assert!(us(gpu, "tiny") <= us(&without, "tiny"));
    let alexnet = fitted(gpu, "alexnet", 1, Precision::F32, Layout::Nchw);
    for name in ["fc6", "fc7"] {
        let layer = alexnet.plan.layers.iter().position(|layer| layer.name == name).unwrap();
        let op = Op { layer, phase: Phase::Forward };
        let phase = alexnet.phases.iter().find(|phase| phase.op == op).unwrap();
        assert!(phase.us > phase.cost.bytes as f64 / gpu.bandwidth / 1e3, "{name}: {phase:?}");
    }
}

/// A step of one image takes every launch, and no less than half of a step of two; no batch is faster than a smaller one.
#[test]
fn a_batch_of_one() {
    let launch = Constants::fitted().program.layertime.launch_us;
    for gpu in Gpu::built_in() {
        for model in ["alexnet", "resnet50"] {
            let us: Vec<f64> = [1, 2, 4, 8, 16]
                .map(|batch| fitted(&gpu, model, batch, Precision::F32, Layout::Nchw))
                .iter()
                .map(|predicted| {
                    assert!(predicted.total_us() >= launch * predicted.phases.len() as f64);
                    predicted.total_us()
                })
                .collect();
            for pair in us.windows(2) {
                assert!(pair[0] <= pair[1] * 1.0001 && pair[1] <= 2.05 * pair[0], "{} {model}: {us:?}", gpu.name);
            }
        }
    }
}

/// Each phase's interval holds its time, shares stay between 0 and 100 %, and the step is known better than its parts.
#[test]
fn intervals_hold_their_figures() {
    let gpus = Gpu::built_in();
    for name in ["v100-sxm2", "h100-sxm"] {
        let gpu = Gpu::find(&gpus, name).unwrap();
        let predicted = fitted(gpu, "alexnet", 64, Precision::F32, Layout::Nchw);
        let total = predicted.interval_us(|_| true);
        assert!(total.low < predicted.total_us() && predicted.total_us() < total.high);
        assert_eq!(predicted.interval_pct(|_| true), Interval { low: 100.0, high: 100.0 });
        for phase in &predicted.phases {
            let (us, pct) = (predicted.interval_us(|op| op == phase.op), predicted.interval_pct(|op| op == phase.op));
            let share = 100.0 * phase.us / predicted.total_us();
            assert!(us.low < phase.us && phase.us < us.high && us.high / us.low > total.high / total.low);
            assert!(0.0 < pct.low && pct.low < share && share < pct.high && pct.high < 100.0);
        }
    }
    // A generation without single layers among the published figures is less sure.
    let reach = |name| {
        let ends =
            fitted(Gpu::find(&gpus, name).unwrap(), "alexnet", 64, Precision::F32, Layout::Nchw).interval_us(|_| true);
        ends.high / ends.low
    };
    assert!(reach("h100-sxm") > reach("v100-sxm2"));
}
