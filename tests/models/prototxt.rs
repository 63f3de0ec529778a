//! Caffe's networks, written anew from their published form.

use std::path::Path;

use layertime::model::Model;
use layertime::plan::{Options, Plan};
use proptest::prelude::*;

use crate::onnx::counts;

fn committed(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/prototxt").join(name)).unwrap()
}

/// Sums of K·C/g·R·S + K, and of those weights times the output's pixels, by hand. bvlc_alexnet's are the published ones, and
/// caffenet differs in the order of pooling and normalisation alone.
#[test]
fn networks_of_caffe_have_their_counts() {
    for (file, parameters, macs) in [
        ("lenet.prototxt", 431_080, 2_293_000),
        ("cifar10_quick.prototxt", 145_578, 12_354_176),
        ("cifar10_full.prototxt", 89_578, 12_298_240),
        ("bvlc_alexnet.prototxt", 60_965_224, 724_406_816),
        ("caffenet.prototxt", 60_965_224, 724_406_816),
        ("bvlc_googlenet.prototxt", 13_378_280, 1_591_044_096),
    ] {
        let model = Model::from_prototxt(&committed(file), file).unwrap();
        assert_eq!(counts(&model), (parameters, macs), "{file}");
        assert_eq!(Model::parse(&model.to_toml(), "t.toml").unwrap().layers.len(), model.layers.len(), "{file}");
    }
    // The older form. 34,944 + 614,656 + 885,120 + 3,539,968 of the wide filters, the rest of 1 x 1.
    let nin = Model::from_prototxt(&committed("nin.prototxt"), "nin.prototxt").unwrap();
    assert_eq!(counts(&nin).0, 7_595_176);
    assert_eq!(counts(&nin), counts(&Model::named("nin").unwrap()));
}

/// Squeeze and excitation, as SENet's prototxt has it: a Scale along axis 0; and products of three blobs.
#[test]
fn products_of_blobs() {
    let text = r#"
input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "squeeze" type: "Pooling" bottom: "data" top: "squeeze" pooling_param { pool: AVE global_pooling: true } }
layer { name: "gate" type: "Sigmoid" bottom: "squeeze" top: "gate" }
layer { name: "excite" type: "Scale" bottom: "data" bottom: "gate" top: "excite" scale_param { axis: 0 } }
layer { name: "prod" type: "Eltwise" bottom: "excite" bottom: "data" bottom: "data" top: "prod"
        eltwise_param { operation: PROD } }
layer { name: "fc" type: "InnerProduct" bottom: "prod" top: "fc" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" top: "loss" }
"#;
    let model = Model::from_prototxt(text, "t.prototxt").unwrap();
    let names: Vec<(&str, &str)> = model.layers.iter().map(|layer| (layer.name.as_str(), layer.kind.name())).collect();
    assert_eq!(names[2..5], [("excite", "multiply"), ("prod", "multiply"), ("prod_2", "multiply")]);
    let scaled = text.replace("operation: PROD", "operation: SUM coeff: 1 coeff: 0.5 coeff: 1");
    let error = Model::from_prototxt(&scaled, "t.prototxt").unwrap_err().to_string();
    assert_eq!(error, "t.prototxt:6: layer `prod`: the coeff 0.5 is not known: 1 is");
}

/// Caffe's own kinds of other branches: PReLU, Slice at points and evenly, ShuffleChannel, a Scale by itself.
#[test]
fn slopes_slices_and_shuffles() {
    let layer = |name: &str, kind: &str, bottom: &str, rest: &str| {
        let top = if rest.contains("top:") { String::new() } else { format!("top: \"{name}\"") };
        format!("layer {{ name: \"{name}\" type: \"{kind}\" bottom: \"{bottom}\" {top} {rest} }}\n")
    };
    let text = [
        "input: \"data\" input_shape { dim: 1 dim: 6 dim: 4 dim: 4 }\n".to_owned(),
        layer("prelu", "PReLU", "data", "prelu_param { channel_shared: true }"),
        layer("shuffle", "ShuffleChannel", "prelu", "shuffle_channel_param { group: 3 }"),
        layer("scale", "Scale", "shuffle", "scale_param { bias_term: true }"),
        layer("cut", "Slice", "scale", "top: \"a\" top: \"b\" slice_param { slice_point: 2 }"),
        layer("halves", "Slice", "b", "top: \"c\" top: \"d\""),
        layer("sum", "Eltwise", "a\" bottom: \"c\" bottom: \"d", ""),
        layer("fc", "InnerProduct", "sum", "inner_product_param { num_output: 2 }"),
        layer("loss", "SoftmaxWithLoss", "fc", ""),
    ];
    let model = Model::from_prototxt(&text.concat(), "t.prototxt").unwrap();
    let toml = model.to_toml();
    for line in ["shared = true", "groups = 3", "bias = true", "from = 0\nchannels = 2", "from = 2\nchannels = 4"] {
        assert!(toml.contains(line), "{line}\n{toml}");
    }
    // One slope, 6 factors and 6 addends, 32 weights and 2 biases for each of 2 outputs.
    assert_eq!(counts(&model).0, 1 + 12 + 2 * 33);
}

/// As GoogLeNet's auxiliary heads; a loss of weight zero is only looked at.
/// Caffe's size of a Deconvolution's output is stride · (size − 1) + kernel − 2 · pad: 2 · 3 + 4 − 2 = 8.
#[test]
fn deconvolutions() {
    let text = "input: \"data\" input_shape { dim: 1 dim: 6 dim: 4 dim: 4 }\n\
                layer { name: \"up\" type: \"Deconvolution\" bottom: \"data\" top: \"up\" convolution_param { \
                num_output: 3 kernel_size: 4 stride: 2 pad: 1 group: 3 bias_term: false } }\n\
                layer { name: \"fc\" type: \"InnerProduct\" bottom: \"up\" top: \"fc\" inner_product_param { num_output: 2 } }\n\
                layer { name: \"loss\" type: \"SoftmaxWithLoss\" bottom: \"fc\" }";
    let model = Model::from_prototxt(text, "t.prototxt").unwrap();
    let plan = Plan::new(&model, Options::of_batch(1)).unwrap();
    let up = &plan.layers[0];
    assert_eq!((up.kind.name(), up.output.to_string(), up.weights), ("conv_transpose", "3x8x8".into(), 6 * 16));
}

#[test]
fn losses_have_their_weights() {
    let model = Model::from_prototxt(&committed("bvlc_googlenet.prototxt"), "t.prototxt").unwrap();
    let losses = |model: &Model| -> Vec<(String, f32)> {
        let weight = |layer: &layertime::model::Layer| Some((layer.name.clone(), layer.kind.loss_weight()?));
        model.layers.iter().filter_map(weight).collect()
    };
    let expected = [("loss1/loss", 0.3), ("loss2/loss", 0.3), ("loss3/loss3", 1.0)];
    assert_eq!(losses(&model), expected.map(|(name, weight)| (name.to_owned(), weight)));
    let last_alone = committed("bvlc_googlenet.prototxt").replace("loss_weight: 0.3", "loss_weight: 0");
    let model = Model::from_prototxt(&last_alone, "t.prototxt").unwrap();
    assert_eq!(losses(&model), [("loss3/loss3".to_owned(), 1.0)]);
    // Two heads of 4² · 128 inputs each, 512 and 528 channels before them.
    let heads = 512 * 128 + 528 * 128 + 2 * 128 + 2 * (2048 * 1024 + 1024 + 1024 * 1000 + 1000);
    assert_eq!(counts(&model).0, 13_378_280 - heads);
}

#[test]
fn what_is_not_known_is_one_line_with_its_place() {
    let layer = |layer: &str| {
        let text = format!("input: \"data\"\ninput_shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }}\n{layer}");
        Model::from_prototxt(&text, "t.prototxt").unwrap_err().to_string()
    };
    for (text, expected) in [
        (
            "layer { name: \"a\" type: \"SPP\" bottom: \"data\" top: \"a\" }",
            "t.prototxt:3: layer `a`: the kind `SPP` is not known",
        ),
        (
            "layer { name: \"a\" type: \"ReLU\" bottom: \"b\" top: \"a\" }",
            "t.prototxt:3: layer `a`: reads `b`, which no layer",
        ),
        (
            "layer { name: \"a\" type: \"InnerProduct\" bottom: \"data\" top: \"a\" inner_product_param { num_output: -1 } }",
            "t.prototxt:3: layer `a`: num_output must be a whole number from 1 to 1048576, not `-1`",
        ),
        (
            "layer { name: \"a\" type: \"Dropout\" bottom: \"data\" top: \"a\" dropout_param { dropout_ratio: nan } }",
            "t.prototxt:3: layer `a`: dropout_ratio must be a number from 0 to below 1, not `nan`",
        ),
        ("layer { name: \"a\"", "t.prototxt:3: ends within a message"),
        ("layer { name: \"a\" type: \"ReLU\" bottom: \"data\" top: \"a\" }", "t.prototxt:1: has no Softmax"),
        (&"a {".repeat(100), "t.prototxt:3: nests more than 32 messages"),
    ] {
        assert!(layer(text).starts_with(expected), "{}", layer(text));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_refused_or_read(
        changes in prop::collection::vec((any::<prop::sample::Index>(), "[ -~\n]", any::<bool>()), 1..8),
    ) {
        let mut text = committed("cifar10_quick.prototxt");
        for (at, letter, insert) in changes {
            let at = at.index(text.len());
            text.replace_range(at..at + usize::from(!insert), &letter);
        }
        if let Err(error) = Model::from_prototxt(&text, "t.prototxt") {
            prop_assert_eq!(error.to_string().lines().count(), 1);
        }
    }
}
