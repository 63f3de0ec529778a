//! Sizes and names that no exporter writes.

use super::*;

fn of_sizes(sizes: &[Option<i64>]) -> String {
    let dim = sizes.iter().map(|&dim_value| DimensionProto { dim_value }).collect();
    let shape = TypeProto { tensor_type: Some(TensorTypeProto { shape: Some(TensorShapeProto { dim }) }) };
    let image = ValueInfoProto { name: "x".into(), r#type: Some(shape) };
    refused(GraphProto { input: vec![image], ..graph(vec![node("Relu", &["x"], "y")]) })
}

#[test]
fn sizes_of_the_image() {
    for bad in [0, -8, 65_537, 1 << 40, i64::MIN] {
        let expected = format!("gives its input `x` a size of {bad}: whole numbers from 1 to 65536 are wanted");
        assert_eq!(of_sizes(&[Some(1), Some(3), Some(bad), None]), expected);
    }
    for free in [None, Some(-1)] {
        let message = of_sizes(&[free, Some(3), free, Some(8)]);
        assert_eq!(message, "leaves a size of its input `x` free: export it for images of one size");
    }
    let none = refused(GraphProto { input: Vec::new(), ..graph(vec![node("Relu", &["x"], "y")]) });
    assert_eq!(none, "has no input: a network of one batch of images is wanted");
}

/// A message stays a line of a terminal, however long the file's names are.
#[test]
fn long_names_are_cut() {
    let long = "n".repeat(100_000);
    let with = |nodes: Vec<NodeProto>| refused(graph(nodes));
    let messages = [
        with(vec![node("Foo", &["x"], &long), node("Relu", &[&long], "y")]),
        with(vec![node(&long, &["x"], "y")]),
        with(vec![node("Relu", &[&long], "y")]),
        with(vec![NodeProto { domain: long.clone(), ..node("Relu", &["x"], "y") }]),
        with(vec![node("Clip", &["x", &long], "y")]),
        refused(GraphProto { input: vec![input(&long, &[-1, 8, 4])], ..graph(vec![node("Relu", &["x"], "y")]) }),
        refused(GraphProto { output: vec![input(&long, &[])], ..graph(vec![node("Relu", &["x"], "y")]) }),
        refused(GraphProto { initializer: vec![weight(&long, &[-1])], ..graph(vec![node("Relu", &["x"], "y")]) }),
    ];
    for message in messages {
        assert!(message.len() < 300 && message.contains("nnn"), "{message}");
    }
}

#[test]
fn a_kernel_that_is_not_that_of_the_weights() {
    let kernel_shape = AttributeProto { name: "kernel_shape".into(), ints: vec![5, 5], ..AttributeProto::default() };
    let conv = NodeProto { attribute: vec![kernel_shape], ..node("Conv", &["x", "v"], "y") };
    let mut graph = graph(vec![conv]);
    graph.initializer.push(weight("v", &[4, 4, 3, 3]));
    let expected = "node `y` (Conv, opset 17): `kernel_shape` [5, 5] is not that of its weights, [3, 3]";
    assert_eq!(refused(graph), expected);
}

/// Tensors without elements, one of whose sizes is huge: no list of its places is made, and no product of sizes overflows.
#[test]
fn empty_constants_of_huge_sizes() {
    let with = |sizes: &[i64], arranged: NodeProto| {
        let nodes = vec![node("ConstantOfShape", &["sizes"], "k"), arranged, node("Reshape", &["x", "q"], "y")];
        let mut graph = graph(nodes);
        graph.initializer.extend([
            list("sizes", sizes),
            list("from", &[0]),
            list("to", &[i64::MAX]),
            list("axis", &[1]),
        ]);
        graph.initializer.push(list("huge", &[0, 1 << 40, 1 << 40]));
        refused(graph)
    };
    let slice = || node("Slice", &["k", "from", "to", "axis"], "q");
    assert!(with(&[0, 1 << 40], slice()).contains("(Slice, opset 17): takes a part of too many places"));
    for sizes in [&[0, 1 << 40, 1 << 40][..], &[1 << 40, 1 << 40, 0], &[1 << 62]] {
        for arranged in [slice(), node("Transpose", &["k"], "q"), node("Add", &["k", "k"], "q")] {
            let message = with(sizes, arranged);
            assert!(message.contains("(ConstantOfShape, opset 17): asks for sizes that make no tensor"), "{message}");
        }
    }
    let reshaped = with(&[0], node("Reshape", &["k", "huge"], "q"));
    assert!(reshaped.contains("(Reshape, opset 17): makes [0, 1099511627776, 1099511627776] of [0]"), "{reshaped}");
}
