//! That verification passes what is right and names what is not.

use std::collections::BTreeSet;

use super::test_session::{Mistake, TestDevice};
use super::*;
use crate::step::Op;

const TRAINING: Training =
    Training { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0005, seed: 7, dropout: true };

fn request(model: &str) -> Request {
    Request {
        model: Some(model.into()),
        batch: 2,
        image: None,
        precision: Precision::F32,
        input_gradient: true,
        training: TRAINING,
        reference: None,
    }
}

fn tiny_with(fault: Mistake) -> Report {
    run(&TestDevice::with_fault(Some(fault)), &request("tiny")).unwrap()
}

/// Layer and phase of everything that fails by itself.
fn failing(report: &Report) -> BTreeSet<(String, Option<Phase>)> {
    report.failures().map(|row| (row.layer.clone(), row.phase)).filter(|(_, phase)| phase.is_some()).collect()
}

fn tiny_ops() -> Vec<(Op, String)> {
    let options = Options { input_gradient: true, ..Options::of_batch(2) };
    let step = Step::new(Plan::new(&Model::named("tiny").unwrap(), options).unwrap());
    step.ops.iter().map(|&op| (op, step.plan.layers[op.layer].name.clone())).collect()
}

#[test]
fn a_right_device_passes_every_phase_of_every_layer() {
    let report = run(&TestDevice::with_fault(None), &request("tiny")).unwrap();
    assert!(report.passes(), "{:?}", report.failures().collect::<Vec<_>>());
    let seen: BTreeSet<_> = report.rows.iter().map(|row| (row.layer.clone(), row.phase)).collect();
    for (op, layer) in tiny_ops() {
        assert!(seen.contains(&(layer.clone(), Some(op.phase))), "{layer} {:?} was not looked at", op.phase);
    }
    // Loss, weights of 6 layers, biases of 5 (conv1 has none).
    let whole: Vec<&str> =
        report.rows.iter().filter(|row| row.phase.is_none()).map(|row| row.tensor.as_str()).collect();
    assert_eq!(whole.len(), 1 + 6 + 5, "{whole:?}");
    assert!(report.worst().unwrap().error > 0.0);
}

#[test]
fn a_wrong_phase_is_named_and_no_other() {
    for (op, layer) in tiny_ops() {
        let it = (layer, Some(op.phase));
        assert_eq!(failing(&tiny_with(Mistake::Scales(op, 1.001))), BTreeSet::from([it.clone()]));
        assert!(failing(&tiny_with(Mistake::Nan(op))).contains(&it), "{it:?}");
    }
}

#[test]
fn overwriting_ones_own_operands_does_not_hide() {
    for (op, layer) in tiny_ops() {
        if op.phase == Phase::Forward || (op.phase == Phase::BackwardData && layer != "loss") {
            let report = tiny_with(Mistake::Clobbers(op));
            assert!(failing(&report).contains(&(layer.clone(), Some(op.phase))), "{layer} {:?}", op.phase);
        }
    }
}

#[test]
fn what_a_step_before_leaves_behind_shows() {
    let failing = failing(&tiny_with(Mistake::KeepsGradients));
    assert!(failing.iter().all(|&(_, phase)| phase == Some(Phase::BackwardWeights)));
    assert_eq!(failing.len(), 6);
}

#[test]
fn masks_and_constants_matter() {
    let drop6 = BTreeSet::from([("drop6".to_owned(), Some(Phase::BackwardData))]);
    assert_eq!(failing(&tiny_with(Mistake::ForgetsMasks)), drop6);
    for fault in [Mistake::LearningRate(0.0101), Mistake::Momentum(0.91), Mistake::WeightDecay(0.001)] {
        let report = tiny_with(fault);
        assert!(failing(&report).iter().all(|&(_, phase)| phase == Some(Phase::WeightUpdate)), "{fault:?}");
        assert!(!report.passes(), "{fault:?}");
    }
    assert!(tiny_with(Mistake::Momentum(0.5)).failures().any(|row| row.phase.is_none()));
}

#[test]
fn ties_are_left_out_where_a_library_chooses_otherwise() {
    let model = std::env::temp_dir().join(format!("layertime-ties-{}.toml", std::process::id()));
    std::fs::write(&model, TIES).unwrap();
    let devices = [
        (TestDevice::with_fault(None), true),
        (TestDevice::whose_last_maximum_wins(true), true),
        (TestDevice::whose_last_maximum_wins(false), false),
    ];
    for (device, passes) in devices {
        let report = run(&device, &request(model.to_str().unwrap())).unwrap();
        assert_eq!(report.passes(), passes, "{:?}", report.failures().collect::<Vec<_>>());
    }
    std::fs::remove_file(&model).unwrap();
}

/// A ReLU before a pool leaves windows of zeros.
const TIES: &str = r#"
name = "ties"
input = [4, 16, 16]
[[layer]]
name = "relu"
kind = "relu"
[[layer]]
name = "pool"
kind = "maxpool"
kernel = 2
[[layer]]
name = "fc"
kind = "fc"
outputs = 5
[[layer]]
name = "loss"
kind = "softmax_loss"
"#;

/// ‖(3, 4)‖ = 5; an update that came out as nothing is still allowed what its terms would make of it, 0.5 of 5 here.
#[test]
fn an_update_that_cancels_is_held_against_its_terms() {
    let bound = |least_update| updated_bound(&[3.0, 4.0], |index| [3.0, 4.0][index], least_update);
    assert_eq!(bound(0.0), 1e-5);
    assert!((bound(0.5) - (1e-5 + 1e-2 * 0.1)).abs() < 1e-12);
    // An update of (0, 1) is larger than that of 0.5.
    let moved = updated_bound(&[3.0, 3.0], |index| [3.0, 4.0][index], 0.5);
    assert!((moved - (1e-5 + 1e-2 * 0.2)).abs() < 1e-12);
}

/// Bounds from tests/reference/winograd.py: 13 x 13 rounds to 1e-3, 6 x 6 and less within a plain sum's bound. Half precisions are no tighter.
#[test]
fn a_phase_is_bound_by_its_algorithm_too() {
    let check = |transform, bound| {
        let algorithm = Algorithm { name: "engine 7 k2=3".into(), workspace_bytes: 0, transform };
        let (layer, phase, tensor) = ("conv1".into(), Some(Phase::Forward), "output.conv1".into());
        let check = Check { layer, phase, tensor, error: 2e-3, bound, algorithm: None }.by(Some(algorithm));
        (check.bound, check.passes(), check.algorithm)
    };
    let name = Some("engine 7 k2=3".to_owned());
    assert_eq!(check(Transform::Plain, 1e-5), (1e-5, false, name.clone()));
    assert_eq!(check(Transform::Fourier, 1e-5).0, 1e-5);
    for tile in [None, Some(4), Some(6), Some(8)] {
        assert_eq!(check(Transform::Winograd(tile), 1e-5).0, 1e-5, "{tile:?}");
    }
    assert_eq!(check(Transform::Winograd(Some(13)), 1e-5), (1e-2, true, name));
    assert_eq!(check(Transform::Winograd(Some(13)), 2e-2).0, 2e-2);
    assert_eq!(check(Transform::Winograd(Some(6)), 2e-3).0, 2e-3);
}

/// A batch norm of two values per channel divides by what may be the rounding of its input: a device that is off by half of what each
/// phase may be moves the first gradients further than plain f32 does, and is right.
#[test]
fn a_device_may_be_as_far_off_as_its_own_phases_say() {
    let mut text = "name = \"pairs\"\ninput = [3, 8, 8]\n".to_owned();
    for index in 1..=3 {
        text += &format!("[[layer]]\nname = \"fc{index}\"\nkind = \"fc\"\noutputs = 1024\nbias = false\n");
        text += &format!("[[layer]]\nname = \"bn{index}\"\nkind = \"batchnorm\"\n");
        text += &format!("[[layer]]\nname = \"relu{index}\"\nkind = \"relu\"\n");
    }
    text +=
        "[[layer]]\nname = \"fc\"\nkind = \"fc\"\noutputs = 5\n[[layer]]\nname = \"loss\"\nkind = \"softmax_loss\"\n";
    let file = std::env::temp_dir().join(format!("layertime-pairs-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let request = request(file.to_str().unwrap());
    for part in [1e-7, 5e-6] {
        let report = run(&TestDevice::with_fault(Some(Mistake::Rounds(part))), &request).unwrap();
        assert!(report.passes(), "{part}: {:?}", report.failures().collect::<Vec<_>>());
    }
    // Beyond the bound of a phase nothing is rounding.
    let report = run(&TestDevice::with_fault(Some(Mistake::Rounds(1e-3))), &request).unwrap();
    assert!(failing(&report).contains(&("fc1".to_owned(), Some(Phase::Forward))));
    assert!(report.failures().any(|row| row.phase.is_none()));
    std::fs::remove_file(&file).unwrap();
}

/// 24 residual blocks of two convolutions with batch norms: rounding alone moves the first gradients by much, and a hundredth in one
/// phase of one layer is found all the same, and nothing else.
#[test]
fn a_hundredth_in_one_phase_of_a_deep_network_is_named() {
    let mut text = "name = \"deep\"\ninput = [3, 6, 6]\n".to_owned();
    let mut layer = |lines: String| text += &format!("[[layer]]\n{lines}\n");
    let conv =
        |name: String| format!("name = \"{name}\"\nkind = \"conv\"\nchannels = 4\nkernel = 3\npad = 1\nbias = false");
    let norm = |name: String| format!("name = \"{name}\"\nkind = \"batchnorm\"");
    let relu = |name: String| format!("name = \"{name}\"\nkind = \"relu\"");
    layer(conv("block0.relu".into()));
    for block in 1..=24 {
        let name = |part: &str| format!("block{block}.{part}");
        [conv(name("conv1")), norm(name("bn1")), relu(name("relu1")), conv(name("conv2")), norm(name("bn2"))]
            .into_iter()
            .for_each(&mut layer);
        let before = block - 1;
        let inputs = format!("inputs = [\"block{block}.bn2\", \"block{before}.relu\"]");
        layer(format!("name = \"block{block}.add\"\nkind = \"add\"\n{inputs}"));
        layer(relu(name("relu")));
    }
    layer("name = \"fc\"\nkind = \"fc\"\noutputs = 5".into());
    layer("name = \"loss\"\nkind = \"softmax_loss\"".into());
    let file = std::env::temp_dir().join(format!("layertime-deep-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let request = request(file.to_str().unwrap());
    let model = Model::read(&file).unwrap();
    let right = run(&TestDevice::with_fault(None), &request).unwrap();
    assert!(right.passes(), "{:?}", right.failures().collect::<Vec<_>>());
    let place = |name: &str| model.layers.iter().position(|layer| layer.name == name).unwrap();
    for (layer, phase) in [
        ("block1.conv1", Phase::BackwardWeights),
        ("block2.bn1", Phase::BackwardData),
        ("block12.conv2", Phase::BackwardData),
        ("block12.bn2", Phase::Forward),
        ("block24.conv2", Phase::Forward),
        ("fc", Phase::WeightUpdate),
    ] {
        let op = Op { layer: place(layer), phase };
        let report = run(&TestDevice::with_fault(Some(Mistake::Scales(op, 1.01))), &request).unwrap();
        assert_eq!(failing(&report), BTreeSet::from([(layer.to_owned(), Some(phase))]));
    }
    std::fs::remove_file(&file).unwrap();
}
