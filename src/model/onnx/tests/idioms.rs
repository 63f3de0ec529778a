//! Ways in which people write the same thing in PyTorch, as its exporters put them down.

use super::*;
use crate::model::kind::{Conv, Dropout, Dropped, Lrn, MaxPool, PRelu, Slice};

fn with_ints(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
    node.attribute.push(AttributeProto { name: name.into(), ints: ints.to_vec(), ..AttributeProto::default() });
    node
}

fn with_int(mut node: NodeProto, name: &str, i: i64) -> NodeProto {
    node.attribute.push(AttributeProto { name: name.into(), i, ..AttributeProto::default() });
    node
}

/// A network of images of 8 channels that come first, 8 × 8 pixels, whose `y` has so many values.
fn wide(nodes: Vec<NodeProto>, values: i64, initializers: Vec<TensorProto>) -> Result<Vec<Kind>, String> {
    let mut graph = GraphProto { input: vec![input("x", &[-1, 8, 8, 8])], ..graph(nodes) };
    graph.initializer[0] = weight("fc", &[values, 10]);
    graph.initializer.extend(initializers);
    imported(graph)
}

const MEAN: Kind = Kind::AvgPool(AvgPool::Adaptive { output: Pair { h: 1, w: 1 } });

/// `x * gate.expand_as(x)`: the product spreads the gate by itself. Elsewhere the values at every pixel would be wanted.
#[test]
fn a_gate_that_is_expanded() {
    let gated = |last: NodeProto, sizes: &[i64]| {
        let nodes = vec![
            node("GlobalAveragePool", &["x"], "a"),
            node("Sigmoid", &["a"], "b"),
            node("Expand", &["b", "sizes"], "c"),
            last,
        ];
        wide(nodes, 512, vec![list("sizes", sizes)])
    };
    for inputs in [["x", "c"], ["c", "x"]] {
        let kinds = gated(node("Mul", &inputs, "y"), &[2, 8, 8, 8]).unwrap();
        assert_eq!(kinds[..3], [MEAN, SIGMOID, Kind::Multiply]);
    }
    let shown = gated(node("Relu", &["c"], "y"), &[1, 8, 8, 8]).unwrap_err();
    assert!(shown.ends_with("takes one pixel's values at every pixel: a product with an image is known"), "{shown}");
    let other = gated(node("Mul", &["x", "c"], "y"), &[1, 8, 4, 8]).unwrap_err();
    assert_eq!(other, "node `y` (Mul, opset 17): multiplies by values that are spread over [8, 4, 8] per image");
    let kept = wide(vec![node("Expand", &["x", "sizes"], "y")], 512, vec![list("sizes", &[1, 1, 8])]).unwrap_err();
    assert!(kept.contains("(Expand, opset 17): spreads [8, 8, 8] per image over other sizes"), "{kept}");
    let same = wide(vec![node("Expand", &["x", "sizes"], "y")], 512, vec![list("sizes", &[2, 1, 8, 1])]).unwrap();
    assert_eq!(same[0], Kind::Flatten);
}

/// Means and maxima over pixels: by one operator, one after the other, or of pixels in a row.
#[test]
fn pixels_become_one_number_in_many_ways() {
    let windows = |h: usize, w: usize| {
        let (kernel, pad) = (Pair { h, w }, Padding::NONE);
        Kind::AvgPool(AvgPool::Windows { kernel, stride: kernel, pad, ceil: false, count_include_pad: true })
    };
    let largest = |h: usize, w: usize| {
        let (kernel, dilation) = (Pair { h, w }, Pair::square(1));
        Kind::MaxPool(MaxPool { kernel, stride: Some(kernel), pad: Padding::NONE, dilation, ceil: false })
    };
    let reduce = |operator: &str, input: &str, output: &str, axes: &[i64]| {
        with_int(with_ints(node(operator, &[input], output), "axes", axes), "keepdims", 0)
    };
    let squeeze = |input: &str, output: &str, axis: i64| with_ints(node("Squeeze", &[input], output), "axes", &[axis]);
    let row = node("Reshape", &["x", "row"], "a");
    let mean = node("GlobalAveragePool", &["x"], "a");
    for (nodes, expected) in [
        (vec![mean, squeeze("a", "b", -1), squeeze("b", "y", -1)], vec![MEAN]),
        (vec![reduce("ReduceMean", "x", "a", &[3]), reduce("ReduceMean", "a", "y", &[2])], vec![windows(1, 8), MEAN]),
        (vec![row.clone(), reduce("ReduceMean", "a", "y", &[-1])], vec![MEAN]),
        (vec![row.clone(), reduce("ReduceMax", "a", "y", &[2])], vec![largest(8, 8)]),
        (vec![reduce("ReduceMax", "x", "y", &[-1, -2])], vec![largest(8, 8)]),
        (vec![node("GlobalMaxPool", &["x"], "y")], vec![largest(8, 8)]),
    ] {
        let kinds = wide(nodes, 8, vec![list("row", &[0, 8, -1])]).unwrap();
        assert_eq!(kinds[..kinds.len() - 2].iter().filter(|kind| **kind != Kind::Flatten).count(), expected.len());
        assert_eq!(kinds[..expected.len()], expected);
    }
    // A row of pixels is an image again.
    let nodes =
        vec![row.clone(), node("Relu", &["a"], "b"), node("Reshape", &["b", "image"], "c"), node("Relu", &["c"], "y")];
    let kinds = wide(nodes, 512, vec![list("row", &[0, 8, -1]), list("image", &[0, 8, 8, 8])]).unwrap();
    assert_eq!(kinds[..2], [RELU, RELU]);
    let attention = wide(
        vec![row, with_ints(node("Transpose", &["a"], "y"), "perm", &[0, 2, 1])],
        512,
        vec![list("row", &[0, 8, -1])],
    );
    assert!(attention.unwrap_err().contains("puts pixels before channels, as a transformer does"));
    let channels = wide(vec![reduce("ReduceMean", "x", "y", &[1])], 64, Vec::new()).unwrap_err();
    assert!(
        channels.ends_with("takes means over sizes [1] of [N, channels, height, width]: over pixels they are known")
    );
}

/// `x.div(keep) * (keep + torch.rand(…)).floor_()`, with the division before the mask.
#[test]
fn stochastic_depth_that_is_rounded_down() {
    let nodes = |number: &str| {
        vec![
            node("Shape", &["x"], "sizes"),
            node("RandomUniformLike", &["one4"], "drawn"),
            node("Add", &["drawn", number], "raised"),
            node("Floor", &["raised"], "mask"),
            node("Gelu", &["x"], "a"),
            node("Div", &["a", "half"], "b"),
            node("Mul", &["b", "mask"], "y"),
        ]
    };
    let one4 = || vec![TensorProto { dims: vec![1, 1, 1, 1], ..scalar("one4", 1.0) }, scalar("two", 2.0)];
    let kinds = wide(nodes("half"), 512, one4()).unwrap();
    let dropped = Kind::Dropout(Dropout { p: 0.5, of: Dropped::Image });
    assert_eq!(kinds[..2], [Kind::Activation(Activation::Gelu), dropped]);
    let certain = wide(nodes("two"), 512, one4()).unwrap_err();
    assert!(certain.contains("(Floor, opset 17): only a probability and random numbers are rounded down"), "{certain}");
}

/// The TorchScript exporter turns PyTorch's pads (left, right, top, bottom) around by Reshape, a Slice backwards and Transpose.
#[test]
fn pads_that_the_graph_turns_around() {
    let backwards = ["pairs", "last", "before_first", "rows", "back"];
    let nodes = vec![
        node("Reshape", &["pads", "by_two"], "pairs"),
        node("Slice", &backwards, "turned"),
        with_ints(node("Transpose", &["turned"], "across"), "perm", &[1, 0]),
        node("Reshape", &["across", "all"], "onnx"),
        node("Pad", &["x", "onnx"], "padded"),
        node("Conv", &["padded", "w"], "y"),
    ];
    let initializers = [("pads", &[1, 2, 3, 4, 0, 0, 0, 0][..]), ("by_two", &[-1, 2]), ("last", &[-1]), ("all", &[-1])];
    let steps = [("before_first", &[i64::MIN + 1][..]), ("rows", &[0]), ("back", &[-1])];
    let initializers = initializers.into_iter().chain(steps).map(|(name, values)| list(name, values)).collect();
    // 8 + 3 + 4 − 2 rows of 8 + 1 + 2 − 2 pixels.
    let kinds = wide(nodes, 8 * 13 * 9, initializers).unwrap();
    let Kind::Conv(Conv { pad, .. }) = &kinds[0] else { panic!() };
    assert_eq!(*pad, Padding::sides([3, 1, 4, 2]));
}

/// ONNX puts [C] along the width, PyTorch along the channels.
#[test]
fn slopes_as_pytorch_has_them() {
    let with = |width: i64| {
        let mut graph = graph(vec![node("PRelu", &["x", "slopes"], "y")]);
        graph.input = vec![input("x", &[-1, 8, 2, width])];
        graph.initializer[0] = weight("fc", &[16 * width, 10]);
        graph.initializer.push(weight("slopes", &[8]));
        imported(graph)
    };
    assert_eq!(with(6).unwrap()[0], Kind::PRelu(PRelu { shared: false }));
    let both = with(8).unwrap_err();
    assert!(both.ends_with("has slopes of sizes [8], for channels or for columns: [8, 1, 1] is known"), "{both}");
}

/// A batch norm that dynamo's optimizer has folded into a fully connected layer comes back, or is missed.
#[test]
fn a_batch_norm_behind_a_fully_connected_layer() {
    let with = |form: &str, bias: &str| {
        let mut gemm = with_int(node("Gemm", &["x0", "f.weight", bias], "a"), "transB", 1);
        let class =
            format!("['torch.nn.modules.batchnorm.BatchNorm1d', 'aten._native_batch_norm_legit_{form}.default']");
        let entries =
            [("pkg.torch.onnx.class_hierarchy", class), ("pkg.torch.onnx.name_scopes", "['', 'n', 'norm']".into())];
        gemm.metadata_props = entries.map(|(key, value)| StringStringEntryProto { key: key.into(), value }).to_vec();
        let mut graph = graph(vec![node("Flatten", &["x"], "x0"), gemm, node("Relu", &["a"], "y")]);
        graph.initializer[0] = weight("fc", &[6, 10]);
        graph.initializer.extend([weight("f.weight", &[6, 128]), weight(bias, &[6])]);
        let model = ModelProto { graph: Some(graph), ..ModelProto::default() };
        read(Cursor::new(model.encode_to_vec())).unwrap()
    };
    for (bias, own) in [("f.bias", true), ("f.weight_bias", false)] {
        let layers = with("functional", bias).layers;
        let Kind::Fc(fc) = &layers[1].kind else { panic!() };
        assert_eq!((fc.bias, layers[2].kind.name(), &*layers[2].name), (own, "batchnorm", "n"), "{bias}");
        let notes = with("no_training", bias).notes;
        assert!(notes[0].starts_with("exported for inference: 1 batch norms are missing"), "{notes:?}");
    }
}

/// `x[:, :, ::2, ::2]`, the shortcut of ResNets for CIFAR; parts of an image are refused.
#[test]
fn every_second_pixel() {
    let rows = |from: &str| vec![node("Slice", &["x", from, "end", "axis", "step"], "y")];
    let bounds = || {
        let lists = [("zero1", 0), ("one1", 1), ("end", i64::MAX), ("axis", 2), ("step", 2)];
        lists.map(|(name, value)| list(name, &[value])).to_vec()
    };
    let kinds = wide(rows("zero1"), 256, bounds()).unwrap();
    let Kind::MaxPool(MaxPool { kernel, stride, .. }) = &kinds[0] else { panic!("{kinds:?}") };
    assert_eq!((*kernel, *stride), (Pair::square(1), Some(Pair { h: 2, w: 1 })));
    let part = wide(rows("one1"), 256, bounds()).unwrap_err();
    assert!(part.contains("takes a part of the image: every row and column"), "{part}");
    // Parts of the channels stay what they are.
    let channels = with_ints(with_ints(node("Slice", &["x"], "y"), "starts", &[0]), "ends", &[4]);
    let kinds = wide(vec![with_ints(channels, "axes", &[1])], 256, Vec::new()).unwrap();
    assert_eq!(kinds[0], Kind::Slice(Slice { from: 0, channels: 4 }));
}

/// `nn.LocalResponseNorm(5, alpha, beta, k)` by dynamo: squares, zeros beside the channels, their mean, alpha, k and beta.
#[test]
fn a_local_response_norm_in_parts() {
    let with = |kernel: &[i64], power: &str| {
        let nodes = vec![
            node("Relu", &["x"], "a"),
            node("Mul", &["a", "a"], "squares"),
            node("Reshape", &["squares", "five"], "channels"),
            node("Pad", &["channels", "pads"], "padded"),
            with_ints(node("AveragePool", &["padded"], "means"), "kernel_shape", kernel),
            with_ints(node("Squeeze", &["means"], "four"), "axes", &[1]),
            node("Mul", &["four", "alpha"], "b"),
            node("Add", &["b", "one"], "c"),
            node("Pow", &["c", power], "d"),
            node("Div", &["a", "d"], "y"),
        ];
        let lists =
            [list("five", &[2, 1, 8, 8, -1]), list("pads", &[0, 0, 2, 0, 0, 0, 0, 2, 0, 0]), scalar("alpha", 1e-4)];
        wide(nodes, 512, lists.to_vec())
    };
    let lrn = Lrn { size: 5, alpha: 1e-4, beta: 0.5, k: 1.0, within_channel: false };
    assert_eq!(with(&[5, 1, 1], "half").unwrap()[..3], [RELU, Kind::Lrn(lrn), Kind::Flatten]);
    let narrow = with(&[3, 1, 1], "half").unwrap_err();
    assert!(narrow.contains("(AveragePool, opset 17): takes other means than a LocalResponseNorm"), "{narrow}");
    let open = with(&[5, 1, 1], "x").unwrap_err();
    assert!(open.contains("(Pow, opset 17): calculates with squares otherwise than a LocalResponseNorm"), "{open}");
}
