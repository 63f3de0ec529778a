//! Graphs made by hand: operators one by one, and what is refused.

mod windows;

use std::io::Cursor;

use prost::Message;

use super::proto::*;
use super::read;
use crate::model::Kind;
use crate::model::kind::{Activation, AvgPool, Elu, LeakyRelu, PadChannels, Padding, Pair, Slice};

mod damaged;
mod idioms;
mod outputs;

const RELU: Kind = Kind::Activation(Activation::Relu);
const SIGMOID: Kind = Kind::Activation(Activation::Sigmoid);

fn dims(sizes: &[i64]) -> Option<TypeProto> {
    let dim = sizes.iter().map(|&size| DimensionProto { dim_value: (size > 0).then_some(size) }).collect();
    Some(TypeProto { tensor_type: Some(TensorTypeProto { shape: Some(TensorShapeProto { dim }) }) })
}

fn input(name: &str, sizes: &[i64]) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), r#type: dims(sizes) }
}

fn weight(name: &str, sizes: &[i64]) -> TensorProto {
    TensorProto { name: name.into(), dims: sizes.to_vec(), data_type: 1, ..TensorProto::default() }
}

/// A constant of whole numbers.
fn list(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: vec![values.len() as i64],
        data_type: 7,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
        ..TensorProto::default()
    }
}

fn scalar(name: &str, value: f32) -> TensorProto {
    let raw_data = value.to_le_bytes().to_vec().into();
    TensorProto { name: name.into(), data_type: 1, raw_data, ..TensorProto::default() }
}

fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: operator.into(),
        ..NodeProto::default()
    }
}

/// A network of `nodes` from `x` to `y`, then a fully connected layer of 8 · 4 · 4 inputs.
fn graph(nodes: Vec<NodeProto>) -> GraphProto {
    let mut nodes = nodes;
    nodes.push(node("Flatten", &["y"], "flat"));
    nodes.push(node("MatMul", &["flat", "fc"], "logits"));
    GraphProto {
        node: nodes,
        name: "g".into(),
        initializer: vec![
            weight("fc", &[128, 10]),
            weight("w", &[8, 8, 3, 3]),
            scalar("zero", 0.0),
            scalar("one", 1.0),
            scalar("half", 0.5),
        ],
        input: vec![input("x", &[-1, 8, 4, 4])],
        output: vec![input("logits", &[-1, 10])],
    }
}

fn imported(graph: GraphProto) -> Result<Vec<Kind>, String> {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() };
    read(Cursor::new(model.encode_to_vec()))
        .map(|imported| imported.layers.into_iter().map(|layer| layer.kind).collect())
}

/// The kinds before the flatten.
fn kinds(nodes: Vec<NodeProto>) -> Vec<Kind> {
    let mut kinds = imported(graph(nodes)).unwrap();
    kinds.truncate(kinds.len() - 3);
    kinds
}

fn refused(graph: GraphProto) -> String {
    imported(graph).unwrap_err()
}

#[test]
fn functions_are_recognised_in_parts_and_whole() {
    assert_eq!(kinds(vec![node("Relu", &["x"], "y")]), [RELU]);
    assert_eq!(kinds(vec![node("Max", &["x", "zero"], "y")]), [RELU]);
    assert_eq!(kinds(vec![node("Clip", &["x", "zero"], "y")]), [RELU]);
    let by_hand = vec![
        node("Neg", &["x"], "a"),
        node("Exp", &["a"], "b"),
        node("Add", &["one", "b"], "c"),
        node("Div", &["one", "c"], "y"),
    ];
    assert_eq!(kinds(by_hand), [SIGMOID]);
    let silu = vec![node("Sigmoid", &["x"], "a"), node("Mul", &["x", "a"], "y")];
    assert_eq!(kinds(silu), [Kind::Activation(Activation::Silu)]);
    // ONNX's own defaults: a slope of 0.01, an alpha of 1.
    let (leaky, elu) = (LeakyRelu { slope: 0.01 }, Elu { alpha: 1.0 });
    for (operator, function) in [
        ("Tanh", Activation::Tanh),
        ("HardSwish", Activation::Hardswish),
        ("Gelu", Activation::Gelu),
        ("LeakyRelu", Activation::LeakyRelu(leaky)),
        ("Elu", Activation::Elu(elu)),
    ] {
        assert_eq!(kinds(vec![node(operator, &["x"], "y")]), [Kind::Activation(function)]);
    }
    // No single layer, but a layer each.
    assert_eq!(kinds(vec![node("Relu", &["x"], "a"), node("Sigmoid", &["a"], "y")]), [RELU, SIGMOID]);
    let shortcut = vec![node("Relu", &["x"], "a"), node("Add", &["x", "a"], "y")];
    assert_eq!(kinds(shortcut), [RELU, Kind::Add]);
    // Times one is nothing.
    assert_eq!(kinds(vec![node("Mul", &["x", "one"], "a"), node("Identity", &["a"], "y")]), []);
}

#[test]
fn what_cannot_be_described_is_one_line_with_node_operator_and_opset() {
    let unknown = refused(graph(vec![node("Einsum", &["x"], "y")]));
    assert_eq!(
        unknown,
        "node `y` (Einsum, opset 17): the operator is not known: only networks of convolutions can be described"
    );
    let attention = refused(graph(vec![node("MatMul", &["x", "x"], "y")]));
    assert!(attention.ends_with("as attention does: a transformer cannot be described"), "{attention}");
    let scaled = refused(graph(vec![node("Mul", &["x", "half"], "y")]));
    assert!(
        scaled.starts_with("node `y` (Mul, opset 17): no layer computes this function of its input: relu"),
        "{scaled}"
    );
    let cycle = refused(graph(vec![node("Relu", &["b"], "a"), node("Relu", &["a"], "b"), node("Relu", &["b"], "y")]));
    assert_eq!(
        cycle,
        "node `a` (Relu, opset 17): takes `b`, which nothing before it gives: a cycle, or a damaged file"
    );
    // An operator that the network's output does not need may be unknown.
    assert_eq!(kinds(vec![node("TopK", &["x"], "unused"), node("Relu", &["x"], "y")]), [RELU]);
}

/// Beyond its range a number is refused in the words that descriptions have.
#[test]
fn attributes_out_of_range_are_refused() {
    let whole = |name: &str, ints: &[i64]| {
        let (name, ints, i) = (name.into(), ints.to_vec(), ints[0]);
        AttributeProto { name, ints, i, ..AttributeProto::default() }
    };
    for (operator, attribute, wanted) in [
        ("Conv", whole("strides", &[-1, 1]), "`strides` must be whole numbers from 1 to 1048576, not [-1, 1]"),
        ("Conv", whole("dilations", &[0, 1]), "`dilations` must be whole numbers from 1 to 1048576, not [0, 1]"),
        ("Conv", whole("pads", &[-1, 0, 0, 0]), "`pads` must be whole numbers from 0 to 1048576, not [-1, 0, 0, 0]"),
        ("Conv", whole("group", &[0]), "`group` must be a whole number from 1 to 1048576, not 0"),
        ("MaxPool", whole("kernel_shape", &[1 << 40, 2]), "1 to 1048576, not [1099511627776, 2]"),
        ("LRN", whole("size", &[-5]), "`size` must be a whole number from 1 to 1048576, not -5"),
    ] {
        let layer = NodeProto { attribute: vec![attribute], ..node(operator, &["x", "v"], "y") };
        let mut graph = graph(vec![layer]);
        graph.initializer.push(weight("v", &[8, 4, 3, 3]));
        let message = refused(graph);
        assert!(
            message.starts_with(&format!("node `y` ({operator}, opset 17): ")) && message.ends_with(wanted),
            "{message}"
        );
    }
}

#[test]
fn inputs_that_are_no_image_are_refused() {
    let with =
        |inputs: Vec<ValueInfoProto>| refused(GraphProto { input: inputs, ..graph(vec![node("Relu", &["x"], "y")]) });
    let image = || input("x", &[-1, 8, 4, 4]);
    assert!(with(vec![image(), input("z", &[-1, 8, 4, 4])]).starts_with("has 2 inputs (x, z)"));
    assert!(with(vec![]).starts_with("has no input"));
    assert!(with(vec![input("x", &[-1, 128])]).contains("of 2 sizes: images have 4"));
    assert!(with(vec![input("x", &[-1, 8, -1, -1])]).contains("leaves a size of its input `x` free"));
    assert!(with(vec![ValueInfoProto { name: "x".into(), r#type: None }]).contains("does not tell the shape"));
    // Sizes that no memory holds.
    let mut huge = graph(vec![node("Conv", &["x", "w"], "y")]);
    huge.initializer[1] = weight("w", &[i64::MAX, 8, 3, 3]);
    assert!(refused(huge).starts_with("the sizes of `w` make no tensor"));
}

/// onnxscript's optimizer folds batch norms into convolutions in either form, and names a bias that it adds after the weights.
#[test]
fn a_folded_batch_norm_leaves_the_convolution_its_own_bias() {
    let with = |form: &str, bias: &str| {
        let mut conv = node("Conv", &["x", "c.weight", bias], "y");
        let class =
            format!("['torch.nn.modules.batchnorm.BatchNorm2d', 'aten._native_batch_norm_legit_{form}.default']");
        let scopes = "['', 'n', 'norm']".to_owned();
        let entries = [("pkg.torch.onnx.class_hierarchy", class), ("pkg.torch.onnx.name_scopes", scopes)];
        conv.metadata_props = entries.map(|(key, value)| StringStringEntryProto { key: key.into(), value }).to_vec();
        let mut graph = graph(vec![conv]);
        graph.initializer.extend([weight("c.weight", &[4, 4, 1, 1]), weight(bias, &[4])]);
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        read(Cursor::new(model.encode_to_vec())).unwrap()
    };
    for (bias, own) in [("c.bias", true), ("c.weight_bias", false)] {
        let layers = with("functional", bias).layers;
        let Kind::Conv(conv) = &layers[0].kind else { panic!() };
        assert_eq!((conv.bias, layers[1].kind.name(), &*layers[1].name), (own, "batchnorm", "n"), "{bias}");
        let notes = with("no_training", bias).notes;
        assert!(notes[0].starts_with("exported for inference: 1 batch norms are missing"), "{notes:?}");
    }
}

/// Parts of the channels as PyTorch's exporters write them: Slice, Split of opset 13, and dynamo's sequences; and what joins them.
#[test]
fn parts_of_channels() {
    let with = |nodes: Vec<NodeProto>| {
        let mut graph = GraphProto { input: vec![input("x", &[-1, 8, 4, 4])], ..graph(nodes) };
        let scalar = TensorProto { dims: Vec::new(), ..list("four", &[4]) };
        graph.initializer.extend([list("start", &[2]), list("end", &[4]), list("axis", &[3]), list("one_part", &[1])]);
        graph.initializer.push(list("huge", &[i64::MAX, i64::MAX]));
        graph.initializer.extend([
            list("parts", &[1, 3]),
            scalar,
            TensorProto { dims: Vec::new(), ..list("first", &[0]) },
        ]);
        imported(graph)
    };
    let axis = |mut node: NodeProto| {
        node.attribute.push(AttributeProto { name: "axis".into(), i: 3, ..AttributeProto::default() });
        node
    };
    let slice = |from: usize, channels: usize| Kind::Slice(Slice { from, channels });
    // The image is read as 8 × 4 pixels with 4 channels, which lie last.
    let joined = |nodes: Vec<NodeProto>, parts: &[&str]| {
        let nodes = nodes.into_iter().chain([axis(node("Concat", parts, "y"))]).collect();
        with(nodes).unwrap().into_iter().take(2).collect::<Vec<Kind>>()
    };
    let sliced = node("Slice", &["x", "start", "end", "axis"], "a");
    assert_eq!(joined(vec![sliced], &["a", "a"])[0], slice(2, 2));
    let mut split = axis(node("Split", &["x", "parts"], "a"));
    split.output.push("b".into());
    assert_eq!(joined(vec![split], &["a", "b"]), [slice(0, 1), slice(1, 3)]);
    let sequence = vec![axis(node("SplitToSequence", &["x", "parts"], "s")), node("SequenceAt", &["s", "first"], "a")];
    assert_eq!(joined(sequence, &["a", "a", "a", "a"])[0], slice(0, 1));
    // One part is all of it.
    let whole = vec![axis(node("SplitToSequence", &["x", "four"], "s")), node("SequenceAt", &["s", "first"], "a")];
    let whole = whole.into_iter().chain([node("Relu", &["a"], "y")]).collect();
    assert_eq!(with(whole).unwrap()[0], RELU);
    let uneven =
        with(vec![axis(node("SplitToSequence", &["x", "one_part"], "s")), node("SequenceAt", &["s", "first"], "y")]);
    assert!(uneven.unwrap_err().contains("splits 4 channels into 1 other parts"));
    let mut huge = axis(node("Split", &["x", "huge"], "y"));
    huge.output.push("b".into());
    assert!(with(vec![huge]).unwrap_err().contains("splits 4 channels into 2 other parts"));
}

/// As exporters write squeeze and excitation, whichever factor comes first; views of the same order are wanted.
#[test]
fn products_of_two_activations() {
    let sigmoid = Kind::Activation(Activation::Sigmoid);
    let mean = Kind::AvgPool(AvgPool::Adaptive { output: Pair::square(1) });
    for inputs in [["x", "b"], ["b", "x"]] {
        let nodes =
            vec![node("GlobalAveragePool", &["x"], "a"), node("Sigmoid", &["a"], "b"), node("Mul", &inputs, "y")];
        assert_eq!(kinds(nodes), [mean.clone(), sigmoid.clone(), Kind::Multiply]);
    }
    assert_eq!(kinds(vec![node("Mul", &["x", "x"], "y")]), [Kind::Multiply]);
    let flat = vec![node("Flatten", &["x"], "a"), node("Mul", &["x", "a"], "y")];
    assert_eq!(refused(graph(flat)), "node `y` (Mul, opset 17): joins [N, height, width, channels] with [N, elements]");
}

/// Doubling a value 10,000 times would double a tree of operators as often.
#[test]
fn long_chains_end_in_bounded_time() {
    let name = |index: usize| if index == 0 { "x".to_owned() } else { format!("v{index}") };
    let mut nodes: Vec<NodeProto> =
        (0..10_000).map(|index| node("Max", &[&name(index), &name(index)], &name(index + 1))).collect();
    nodes.push(node("Identity", &[&name(10_000)], "y"));
    let error = refused(graph(nodes));
    assert!(error.lines().count() == 1 && error.contains("Max"), "{error}");
}

/// A mean of channels-last images as `dynamo=True` copies it into other memory: a list of all numbers, and the places to pick them
/// from: those of PyTorch's `as_strided`, 8 for each image.
#[test]
fn a_list_of_all_images_gives_the_images_again() {
    let whole = |name: &str, values: &[i64]| TensorProto {
        name: name.into(),
        dims: if name == "list" || name == "axes" { vec![values.len() as i64] } else { Vec::new() },
        data_type: 7,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
        ..TensorProto::default()
    };
    let ints = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        ..AttributeProto::default()
    };
    let with = |stride: &str, mean: &str| {
        let single = |mut shape: NodeProto| {
            shape.attribute.push(AttributeProto { name: "end".into(), i: 1, ..AttributeProto::default() });
            shape
        };
        let unsqueezed = |mut unsqueeze: NodeProto, axes: &[i64]| {
            unsqueeze.attribute.push(ints("axes", axes));
            unsqueeze
        };
        let nodes = vec![
            node("GlobalAveragePool", &["x"], "mean"),
            node("Reshape", &[mean, "list"], "numbers"),
            single(node("Shape", &["x"], "batch")),
            node("Range", &["none", "batch", "single"], "images"),
            node("Mul", &["images", stride], "starts"),
            unsqueezed(node("Unsqueeze", &["starts"], "starts4"), &[1, 2, 3]),
            node("Range", &["none", "eight", "single"], "channels"),
            unsqueezed(node("Unsqueeze", &["channels"], "channels4"), &[0, 2, 3]),
            node("Add", &["starts4", "channels4"], "places"),
            node("Gather", &["numbers", "places"], "y"),
        ];
        let mut graph = graph(nodes);
        graph.input = vec![input("x", &[-1, 8, 8, 8])];
        graph.initializer[0] = weight("fc", &[8, 10]);
        graph.initializer.extend([
            whole("list", &[-1]),
            whole("none", &[0]),
            whole("single", &[1]),
            whole("eight", &[8]),
        ]);
        imported(graph)
    };
    let names: Vec<&str> = with("eight", "mean").unwrap().iter().map(Kind::name).collect();
    assert_eq!(names, ["avgpool", "fc", "softmax_loss"]);
    for (stride, mean) in [("single", "mean"), ("eight", "x")] {
        let message = with(stride, mean).unwrap_err();
        assert!(message.starts_with("node `y` (Gather, opset 17): picks numbers out of all images"), "{message}");
    }
}
