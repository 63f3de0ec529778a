//! Windows, and zeros around images and beside channels.

use super::*;

/// Dilation, four pads, `auto_pad`, an earlier Pad, and means that leave padding out.
#[test]
fn windows_with_all_their_keys() {
    let with = |operator: &str, inputs: &[&str], keys: &[(&str, &[i64])]| {
        let mut with = node(operator, inputs, "y");
        with.attribute.extend(keys.iter().map(|&(name, ints)| AttributeProto {
            name: name.into(),
            ints: ints.to_vec(),
            ..AttributeProto::default()
        }));
        with
    };
    // All give as many values as the image has, 8 × 4 pixels with 4 channels.
    let kind = |window: NodeProto| {
        let mut graph = graph(vec![window]);
        graph.initializer[1] = weight("w", &[4, 4, 3, 3]);
        imported(graph).unwrap().remove(0)
    };
    let dilated = with("Conv", &["x", "w"], &[("dilations", &[2, 1]), ("pads", &[3, 1, 1, 1])]);
    let Kind::Conv(conv) = kind(dilated) else { panic!() };
    assert_eq!((conv.dilation, conv.pad), (Pair { h: 2, w: 1 }, Padding::sides([3, 1, 1, 1])));
    let mut same = with("Conv", &["x", "w"], &[]);
    let upper = AttributeProto { name: "auto_pad".into(), s: "SAME_UPPER".into(), ..AttributeProto::default() };
    same.attribute.push(upper);
    let Kind::Conv(conv) = kind(same) else { panic!() };
    assert_eq!(conv.pad, Padding::Same);
    let padded: [(&str, &[i64]); 2] = [("kernel_shape", &[3, 3]), ("pads", &[1, 1, 1, 1])];
    for (keys, counted) in [(&padded[..], false), (&[("kernel_shape", &[1, 1])], true)] {
        let Kind::AvgPool(AvgPool::Windows { count_include_pad, .. }) = kind(with("AveragePool", &["x"], keys)) else {
            panic!()
        };
        assert_eq!(count_include_pad, counted);
    }
    let pool = with("MaxPool", &["x"], &[("kernel_shape", &[3, 3]), ("pads", &[0, 0, 4, 2]), ("dilations", &[2, 1])]);
    let Kind::MaxPool(pool) = kind(pool) else { panic!() };
    assert_eq!((pool.pad, pool.dilation), (Padding::sides([0, 0, 4, 2]), Pair { h: 2, w: 1 }));
    let mean =
        with("AveragePool", &["x"], &[("kernel_shape", &[3, 3]), ("pads", &[2, 2, 2, 2]), ("dilations", &[2, 2])]);
    assert!(refused(graph(vec![mean])).ends_with("dilations of an average are not known: 1 is, and any of a maximum"));
}

#[test]
fn transposed_convolutions() {
    let ints = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        ..AttributeProto::default()
    };
    let keys = vec![ints("strides", &[2, 2]), ints("output_padding", &[0, 1]), ints("pads", &[1, 2, 3, 4])];
    let group = AttributeProto { name: "group".into(), i: 2, ..AttributeProto::default() };
    let attribute = [keys, vec![group]].concat();
    let up = NodeProto { attribute, ..node("ConvTranspose", &["x", "w"], "a") };
    let mut graph = graph(vec![up, node("GlobalAveragePool", &["a"], "y")]);
    graph.initializer.extend([weight("v", &[4, 5, 3, 3]), weight("narrow", &[10, 10])]);
    graph.node[0].input[1] = "v".into();
    graph.node[3].input[1] = "narrow".into();
    let Kind::ConvTranspose(up) = imported(graph.clone()).unwrap().remove(0) else { panic!() };
    let pairs = (up.kernel, up.stride, up.output_padding, up.pad);
    let expected = (Pair::square(3), Pair::square(2), Pair { h: 0, w: 1 }, Padding::sides([1, 2, 3, 4]));
    assert_eq!((pairs, up.channels, up.groups, up.bias), (expected, 10, 2, false));
    graph.node[0].attribute.push(ints("output_shape", &[9, 9]));
    assert!(refused(graph).ends_with("asks for an output_shape: pads and output_padding are known"));
}

/// Zeros around the image are the next window's padding; channels of zeros are a layer, whichever comes first in one Pad.
#[test]
fn channels_of_zeros() {
    let ints = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        ..AttributeProto::default()
    };
    // The image is read as 8 × 4 pixels with 4 channels, which lie last.
    let pad = NodeProto { attribute: vec![ints("pads", &[0, 1, 1, 2, 0, 1, 1, 3])], ..node("Pad", &["x"], "a") };
    let nodes = vec![pad, node("Conv", &["a", "w"], "b"), node("Relu", &["b"], "y")];
    let mut graph = graph(nodes);
    graph.initializer[1] = weight("w", &[4, 9, 3, 3]);
    let layers = imported(graph.clone()).unwrap();
    assert_eq!(layers[0], Kind::PadChannels(PadChannels { before: 2, after: 3 }));
    let Kind::Conv(conv) = &layers[1] else { panic!() };
    assert_eq!(conv.pad, Padding::sides([1; 4]));
    graph.node[0].attribute[0].ints[4] = 1;
    assert!(refused(graph).contains("are not those of images"));
}

/// As ENet joins `torch.zeros` to a pool's channels: of the batch's size, or of one that the file states.
#[test]
fn channels_joined_to_zeros() {
    let axis = |parts: &[&str]| {
        let axis = AttributeProto { name: "axis".into(), i: 3, ..AttributeProto::default() };
        NodeProto { attribute: vec![axis], ..node("Concat", parts, "y") }
    };
    // The image is read as 8 × 4 pixels with 4 channels, which lie last.
    let with = |parts: &[&str], channels: i64| {
        let zeros = [node("Shape", &["x"], "sizes"), node("ConstantOfShape", &["sizes"], "batch")];
        let fixed = node("ConstantOfShape", &["stated"], "fixed");
        let drawn = node("RandomUniformLike", &["batch"], "drawn");
        let nodes = zeros.into_iter().chain([fixed, drawn, node("Relu", &["x"], "z"), axis(parts)]);
        let mut graph = graph(nodes.collect());
        graph.initializer[0] = weight("fc", &[32 * channels, 10]);
        graph.initializer.push(TensorProto {
            name: "stated".into(),
            dims: vec![4],
            data_type: 7,
            raw_data: [1i64, 8, 4, 3].iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>().into(),
            ..TensorProto::default()
        });
        imported(graph)
    };
    let pad = |before: usize, after: usize| Kind::PadChannels(PadChannels { before, after });
    assert_eq!(with(&["x", "batch"], 8).unwrap()[0], pad(0, 4));
    assert_eq!(with(&["fixed", "batch", "x", "fixed"], 14).unwrap()[0], pad(7, 3));
    assert_eq!(with(&["batch", "x", "fixed", "z"], 15).unwrap()[..3], [RELU, pad(4, 3), Kind::Concat]);
    let refused = with(&["x", "drawn"], 8).unwrap_err();
    assert!(refused.contains("takes numbers that do not depend on the image"), "{refused}");
}
