//! Shapes, counts and memory of the built-in networks against published figures and hand arithmetic.

use layertime::model::kind::Group;
use layertime::model::{Model, Source};
use layertime::plan::{Options, Phase, Plan, Share};
use layertime::step::Step;
use proptest::prelude::*;

fn plan(model: &str, batch: usize) -> Plan {
    let options = Options::of_batch(batch);
    Plan::new(&Model::named(model).unwrap(), options).unwrap()
}

fn forward_macs(plan: &Plan, group: Option<Group>) -> u64 {
    let wanted = |layer: &&layertime::plan::LayerPlan| group.is_none_or(|group| layer.group() == group);
    plan.layers.iter().filter(wanted).map(|layer| layer.cost(Phase::Forward).macs).sum()
}

fn layer<'p>(plan: &'p Plan, name: &str) -> &'p layertime::plan::LayerPlan {
    plan.layers.iter().find(|layer| layer.name == name).unwrap()
}

/// torchvision's model metadata and the papers; alexnet-2012 is Caffe's bvlc_alexnet.
#[test]
fn parameters_and_multiply_adds_are_the_published_ones() {
    for (model, parameters, macs, fc_parameters, fc_macs) in [
        ("alexnet", 61_100_840, 714_188_480, 96.0, 8.2),
        ("alexnet-2012", 60_965_224, 724_406_816, 96.2, 8.1),
        ("vgg11", 132_863_336, 7_609_090_048, 93.1, 1.6),
        ("vgg16", 138_357_544, 15_470_264_320, 89.4, 0.8),
        ("vgg19", 143_667_240, 19_632_062_464, 86.1, 0.6),
    ] {
        let plan = plan(model, 1);
        assert_eq!(plan.parameters(), parameters, "{model}");
        assert_eq!(forward_macs(&plan, None), macs, "{model}");
        let fc: u64 = plan.layers.iter().filter(|l| l.group() == Group::Fc).map(|l| l.parameters()).sum();
        assert!((100.0 * fc as f64 / parameters as f64 - fc_parameters).abs() < 0.05, "{model}");
        let share = 100.0 * forward_macs(&plan, Some(Group::Fc)) as f64 / macs as f64;
        assert!((share - fc_macs).abs() < 0.06, "{model}: {share}");
    }
}

/// The two figures of the well-known answer about VGG-16: 64·224²·27 and 256·56²·2304.
#[test]
fn vgg16_layers_that_are_quoted() {
    let plan = plan("vgg16", 1);
    assert_eq!(layer(&plan, "conv1_1").cost(Phase::Forward).macs, 86_704_128);
    assert_eq!(layer(&plan, "conv3_2").cost(Phase::Forward).macs, 1_849_688_064);
}

/// Output sizes of AlexNet in torchvision and in the paper.
#[test]
fn alexnet_shapes() {
    let modern = plan("alexnet", 1);
    for (name, shape) in [
        ("conv1", "64x55x55"),
        ("pool1", "64x27x27"),
        ("conv2", "192x27x27"),
        ("pool2", "192x13x13"),
        ("conv5", "256x13x13"),
        ("pool5", "256x6x6"),
        ("avgpool", "256x6x6"),
        ("fc6", "4096"),
        ("fc8", "1000"),
    ] {
        assert_eq!(layer(&modern, name).output.to_string(), shape, "{name}");
    }
    let paper = plan("alexnet-2012", 1);
    for (name, shape) in [
        ("conv1", "96x55x55"),
        ("pool1", "96x27x27"),
        ("conv2", "256x27x27"),
        ("pool2", "256x13x13"),
        ("conv3", "384x13x13"),
        ("pool5", "256x6x6"),
    ] {
        assert_eq!(layer(&paper, name).output.to_string(), shape, "{name}");
    }
    // Groups halve what each filter sees: 256 · 48 · 5 · 5.
    assert_eq!(layer(&paper, "conv2").weights, 307_200);
}

#[test]
fn costs_scale_with_the_batch_and_the_first_layer_has_no_backward_data() {
    let (one, eight) = (plan("alexnet", 1), plan("alexnet", 8));
    assert_eq!(forward_macs(&eight, None), 8 * forward_macs(&one, None));
    assert!(!layer(&one, "conv1").has(Phase::BackwardData));
    assert!(layer(&one, "conv2").has(Phase::BackwardData));
    assert!(!layer(&one, "relu1").has(Phase::BackwardWeights));
    // conv2 at batch 8: 192·27²·64·25 multiply-adds per image, the same in each direction.
    for phase in [Phase::Forward, Phase::BackwardData, Phase::BackwardWeights] {
        assert_eq!(layer(&eight, "conv2").cost(phase).macs, 8 * 223_948_800, "{phase:?}");
    }
    // 4096·9216 weights and 4096 biases: weight, gradient and momentum read, weight and momentum written.
    assert_eq!(layer(&eight, "fc6").cost(Phase::WeightUpdate).bytes, 5 * 4 * (37_748_736 + 4096));
    let options = Options { input_gradient: true, ..Options::of_batch(1) };
    let forced = Plan::new(&Model::named("alexnet").unwrap(), options).unwrap();
    assert!(layer(&forced, "conv1").has(Phase::BackwardData));
}

/// Each gradient of fc6 once in and once out: 4096·9216 weights and 4096 biases.
#[test]
fn ranks_reduce_the_gradients_of_layers_with_weights() {
    let alexnet = Model::named("alexnet").unwrap();
    let together = Plan::new(&alexnet, Options { share: Share { rank: 1, ranks: 4 }, ..Options::of_batch(8) }).unwrap();
    let alone = plan("alexnet", 8);
    for (layer, alone) in together.layers.iter().zip(&alone.layers) {
        assert_eq!(layer.has(Phase::AllReduce), layer.has(Phase::WeightUpdate), "{}", layer.name);
        assert!(!alone.has(Phase::AllReduce), "{}", layer.name);
        let others = layer.phases().filter(|&phase| phase != Phase::AllReduce);
        assert!(others.eq(alone.phases()), "{}", layer.name);
    }
    let cost = layer(&together, "fc6").cost(Phase::AllReduce);
    assert_eq!((cost.macs, cost.flops, cost.bytes), (0, 37_752_832, 2 * 4 * 37_752_832));
    let ops = Step::new(together).ops;
    let order = |layer: usize| ops.iter().filter(|op| op.layer == layer).map(|op| op.phase).collect::<Vec<_>>();
    use Phase::{AllReduce, BackwardData, BackwardWeights, Forward, WeightUpdate};
    assert_eq!(order(0), [Forward, BackwardWeights, AllReduce, WeightUpdate]);
    assert_eq!(order(3), [Forward, BackwardWeights, BackwardData, AllReduce, WeightUpdate]);
}

fn described(layers: &str) -> Result<Plan, layertime::plan::PlanError> {
    let text = format!("name = \"t\"\ninput = [3, 16, 16]\n{layers}");
    let model = Model::parse(&text, "t.toml").unwrap_or_else(|error| panic!("{error}"));
    Plan::new(&model, Options::of_batch(2))
}

/// A three-way branch: whoever comes first in the backward order writes the gradient, the other two add.
#[test]
fn branches_accumulate_in_backward_order() {
    let plan = described(
        r#"
[[layer]]
name = "stem"
kind = "conv"
channels = 4
kernel = 1
[[layer]]
name = "left"
kind = "relu"
[[layer]]
name = "right"
kind = "conv"
channels = 4
kernel = 1
inputs = ["stem"]
[[layer]]
name = "sum"
kind = "add"
inputs = ["left", "right", "stem"]
[[layer]]
name = "fc"
kind = "fc"
outputs = 5
[[layer]]
name = "loss"
kind = "softmax_loss"
"#,
    )
    .unwrap();
    assert_eq!(layer(&plan, "sum").accumulate, [false, false, false]);
    assert_eq!(layer(&plan, "right").accumulate, [true]);
    assert_eq!(layer(&plan, "left").accumulate, [true]);
    assert_eq!(layer(&plan, "sum").inputs, [Source::Layer(1), Source::Layer(2), Source::Layer(0)]);
}

#[test]
fn what_does_not_fit_says_what_would() {
    let vgg = Model::named("vgg16").unwrap();
    let error = Plan::new(&vgg, Options { image: Some([16, 16]), ..Options::of_batch(1) }).unwrap_err();
    assert!(error.to_string().contains("the least that fits is 32"), "{error}");
    let error = described(
        "[[layer]]\nname=\"c\"\nkind=\"conv\"\nchannels=4\nkernel=40\n[[layer]]\nname=\"l\"\nkind=\"softmax_loss\"\n",
    );
    assert!(error.unwrap_err().to_string().contains("window 40x40 is larger than its input 16x16"));
    let error = described(
        "[[layer]]\nname=\"c\"\nkind=\"conv\"\nchannels=4\nkernel=3\ngroups=2\n[[layer]]\nname=\"l\"\nkind=\"softmax_loss\"\n",
    );
    assert!(error.unwrap_err().to_string().contains("3 input channels do not divide into 2 groups"));
}

/// Lives, by its own reckoning from the order of the step: an activation from its forward to its last reader's backward.
#[test]
fn the_arena_is_smaller_than_its_tensors_and_holds_the_largest_moment() {
    let plan = plan("alexnet", 4);
    let tensors: usize = plan.layers.iter().map(|layer| 2 * layer.output.elements()).sum();
    let step = Step::new(plan.clone());
    assert!(step.arena.elements < tensors * 2 / 3, "{} of {tensors}", step.arena.elements);
    // conv1's output must outlive relu1's forward beside relu1's own: two tensors of 64·55·55 for four images.
    assert!(step.arena.elements >= 2 * 4 * 64 * 55 * 55);
}

proptest! {
    /// PyTorch's documented output size, with the window dropped that would begin in the right padding.
    #[test]
    fn pooling_windows_cover_what_the_formula_says(
        size in 1usize..40, kernel in 1usize..8, stride in 1usize..6, pad in 0usize..4, dilation in 1usize..5, ceil: bool,
    ) {
        let extent = (kernel - 1) * dilation + 1;
        prop_assume!(2 * pad <= kernel && size + 2 * pad >= extent);
        let pool = layertime::model::kind::MaxPool {
            kernel: layertime::model::kind::Pair::square(kernel),
            stride: Some(layertime::model::kind::Pair::square(stride)),
            pad: layertime::model::kind::Pair::square(pad).into(),
            dilation: layertime::model::kind::Pair::square(dilation),
            ceil,
        };
        let input = layertime::plan::Shape { n: 1, c: 1, h: size, w: size };
        let exact = (size + 2 * pad - extent) as f64 / stride as f64;
        let mut expected = (if ceil { exact.ceil() } else { exact.floor() }) as usize + 1;
        if ceil && (expected - 1) * stride >= size + pad {
            expected -= 1;
        }
        let windows: Vec<Vec<usize>> = (0..expected)
            .map(|index| (0..kernel).map(move |tap| index * stride + tap * dilation))
            .map(|taps| taps.filter_map(|padded| padded.checked_sub(pad)).filter(|&position| position < size).collect())
            .collect();
        let geometry = layertime::plan::PoolGeometry::max(&pool, input);
        if windows.iter().any(Vec::is_empty) {
            prop_assert!(geometry.unwrap_err().to_string().contains("its dilation steps over it"));
            return Ok(());
        }
        let geometry = geometry.unwrap();
        prop_assert_eq!(geometry.rows.len(), expected);
        for (window, inside) in geometry.rows.iter().zip(windows) {
            prop_assert!(window.elements().eq(inside.iter().copied()));
            prop_assert!(window.start <= inside[0] && window.end > inside[inside.len() - 1]);
            prop_assert!(window.counted >= inside.len() && window.counted <= extent);
        }
    }
}
