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

/// The options of windows by their three spellings, and those that change no shape: Conv (12 + 2 · 2 − 3) / 2 + 1 = 7 rows,
/// (10 + 2 − (2 · 3 − 1)) / 1 + 1 = 8 columns; the pooling's 7 rows give ⌈(7 − 2) / 2⌉ + 1 = 4, or 3 rounded down.
#[test]
fn options_of_windows() {
    let net = |pooling: &str| {
        let text = format!(
            "name: \"n\" input: \"data\" input_dim: [1, 4, 12, 10]\n\
             layer {{ name: \"conv\" type: \"Convolution\" bottom: \"data\" top: \"conv\" \
             param {{ lr_mult: 1 decay_mult: 1 }} param {{ lr_mult: 2 decay_mult: 0 }} convolution_param {{ \
             num_output: 6 pad_h: 2 pad_w: 1 kernel_h: 3 kernel_w: 3 stride_h: 2 stride_w: 1 dilation: 1 dilation: 2 \
             group: 2 bias_term: false engine: CUDNN weight_filler {{ type: \"msra\" }} }} }}\n\
             layer {{ name: \"pool\" type: \"Pooling\" bottom: \"conv\" top: \"pool\" pooling_param {{ {pooling} }} }}\n\
             layer {{ name: \"fc\" type: \"InnerProduct\" bottom: \"pool\" top: \"fc\" inner_product_param {{ num_output: 2 }} }}\n\
             layer {{ name: \"loss\" type: \"SoftmaxWithLoss\" bottom: \"fc\" bottom: \"label\" }}"
        );
        Model::from_prototxt(&text, "t.prototxt")
    };
    let shapes = |pooling: &str| {
        let plan = Plan::new(&net(pooling).unwrap(), Options::of_batch(1)).unwrap();
        plan.layers[..2].iter().map(|layer| layer.output.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shapes("pool: MAX kernel_size: 2 stride: 2 engine: CAFFE"), ["6x7x8", "6x4x4"]);
    assert_eq!(shapes("pool: MAX kernel_size: 2 stride: 2 round_mode: FLOOR")[1], "6x3x4");
    assert_eq!(shapes("pool: AVE kernel_h: 3 kernel_w: 2 stride_h: 2 pad_h: 1 pad_w: 0")[1], "6x4x7");
    for pooling in ["pool: AVE global_pooling: true", "pool: MAX global_pooling: True"] {
        assert_eq!(shapes(pooling)[1], "6");
    }
    for (pooling, message) in [
        ("kernel_size: 2 round_mode: DOWN", "round_mode must be CEIL or FLOOR, not `DOWN`"),
        ("kernel_size: 2 global_pooling: yes", "global_pooling must be true or false, not `yes`"),
        ("pool: STOCHASTIC kernel_size: 2", "the pool STOCHASTIC is not known: MAX and AVE are"),
    ] {
        assert_eq!(net(pooling).unwrap_err().to_string(), format!("t.prototxt:3: layer `pool`: {message}"));
    }
}

/// Images and labels as old and new files give them, and layers of some phases, levels and stages alone.
#[test]
fn inputs_and_rules() {
    let with = |inputs: &str| {
        let text = format!(
            "{inputs}\nlayers {{ name: \"up\" type: DECONVOLUTION bottom: \"data\" top: \"up\" blobs_lr: 1 blobs_lr: 2 \
             weight_decay: 1 weight_decay: 0 convolution_param {{ num_output: 2 kernel_size: 2 }} }}\n\
             layers {{ name: \"cut\" type: SLICE bottom: \"up\" top: \"a\" top: \"b\" slice_param {{ slice_dim: 1 }} }}\n\
             layers {{ name: \"s\" type: SIGMOID bottom: \"a\" top: \"a\" }} layers {{ name: \"t\" type: TANH bottom: \"b\" top: \"b\" }}\n\
             layers {{ name: \"sum\" type: ELTWISE bottom: \"a\" bottom: \"b\" top: \"sum\" }}\n\
             layers {{ name: \"fc\" type: INNER_PRODUCT bottom: \"sum\" top: \"fc\" inner_product_param {{ num_output: 2 }} }}\n\
             layers {{ name: \"acc\" type: ACCURACY bottom: \"fc\" bottom: \"label\" include: {{ phase: TEST }} }}\n\
             layers {{ name: \"top\" type: ARGMAX bottom: \"fc\" top: \"top\" }}\n\
             layers {{ name: \"loss\" type: SOFTMAX_LOSS bottom: \"fc\" bottom: \"label\" exclude {{ stage: \"deploy\" }} }}\n\
             layers {{ name: \"chances\" type: SOFTMAX bottom: \"fc\" top: \"chances\" include {{ stage: \"deploy\" }} }}"
        );
        Model::from_prototxt(&text, "t.prototxt").map(|model| (model.input, model.layers.len()))
    };
    let sizes = "shape { dim: 1 dim: 3 dim: 8 dim: 6 }";
    for inputs in [
        "input: \"data\" input: \"label\" input_dim: 9 input_dim: 3 input_dim: 8 input_dim: 6 input_dim: 9 input_dim: 1 input_dim: 1 input_dim: 1",
        "input: \"data\" input_shape { dim: 1 dim: 3 dim: 8 dim: 6 } input: \"label\" input_shape { dim: 1 }",
        &format!(
            "layers {{ type: \"Input\" top: \"data\" top: \"label\" input_param {{ {sizes} shape {{ dim: 1 }} }} }}"
        ),
        &format!(
            "layers {{ type: DUMMY_DATA top: \"data\" top: \"label\" dummy_data_param {{ {sizes} shape {{ dim: 1 }} }} }}"
        ),
        "layers { type: DUMMY_DATA top: \"data\" top: \"label\" dummy_data_param { num: 1 num: 1 channels: 3 channels: 1 height: 8 \
         height: 1 width: 6 width: 1 } }",
        "layers { type: MEMORY_DATA top: \"data\" top: \"label\" memory_data_param { batch_size: 1 channels: 3 height: 8 width: 6 } }",
        "layers { type: IMAGE_DATA top: \"data\" top: \"label\" image_data_param { new_height: 8 new_width: 6 } }",
        // The reader of the test images is no input.
        "layers { type: DATA top: \"data\" include { phase: TEST } data_param { crop_size: 9 } }\n\
         layers { type: IMAGE_DATA top: \"data\" include { phase: TRAIN min_level: 0 } image_data_param { new_height: 8 new_width: 6 } }",
    ] {
        // up, a, b, s, t, sum, fc and the loss.
        assert_eq!(with(inputs).unwrap(), ([3, 8, 6], 8), "{inputs}");
    }
    let crops = "layers { type: WINDOW_DATA top: \"data\" top: \"label\" window_data_param { crop_size: 8 } }";
    assert_eq!(with(crops).unwrap().0, [3, 8, 8]);
    let oldest =
        with("layers { layer { name: \"c\" type: \"conv\" num_output: 2 } bottom: \"data\" top: \"c\" }").unwrap_err();
    let expected = "t.prototxt:1: is in Caffe's oldest form: write it anew with Caffe's upgrade_net_proto_text";
    assert_eq!(oldest.to_string(), expected);
    let few = with("layers { type: \"Input\" top: \"data\" input_param { shape { dim: 1 dim: 3 } } }")
        .unwrap_err()
        .to_string();
    assert!(few.ends_with("images, channels, height, width; not `1, 3`"), "{few}");
}

/// As GoogLeNet's auxiliary heads; a loss of weight zero is only looked at.
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
        (
            "layer { name: \"a\" type: \"InnerProduct\" bottom: \"data\" top: \"a\" inner_product_param { num_output: 2 axis: 2 } }",
            "t.prototxt:3: layer `a`: axis 2 is not known: 1 is, behind the images",
        ),
        (
            "layer { name: \"a\" type: \"LRN\" bottom: \"data\" top: \"a\" lrn_param { norm_region: WITHIN } }",
            "t.prototxt:3: layer `a`: norm_region must be ACROSS_CHANNELS or WITHIN_CHANNEL, not `WITHIN`",
        ),
        ("input_shape { dim: [1, 3", "t.prototxt:3: found the end where a key or a value is wanted"),
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
