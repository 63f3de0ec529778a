//! Graphs with several outputs.

use super::*;
use crate::model::kind::SoftmaxLoss;

/// GoogLeNet's outputs in training: the classes, and those of a head halfway; then features, a softmax of the classes, and a constant.
#[test]
fn further_outputs_like_the_first_are_auxiliary_losses() {
    let mut graph = graph(vec![node("Relu", &["x"], "y")]);
    graph.node.push(node("MatMul", &["flat", "head"], "aux"));
    graph.node.push(node("Softmax", &["logits"], "chances"));
    graph.initializer.push(weight("head", &[128, 10]));
    graph.output.extend(["aux", "flat", "chances", "one"].map(|name| input(name, &[])));
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    let model = ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() };
    let read = read(Cursor::new(model.encode_to_vec())).unwrap();
    let losses: Vec<(&str, &Kind)> = read
        .layers
        .iter()
        .map(|layer| (&*layer.name, &layer.kind))
        .filter(|(_, kind)| kind.loss_weight().is_some())
        .collect();
    let loss = |loss_weight| Kind::SoftmaxLoss(SoftmaxLoss { loss_weight });
    assert_eq!(losses, [("aux.loss", &loss(0.3)), ("loss", &loss(1.0))]);
    let notes = [
        "further outputs have auxiliary losses, with the weight 0.3 of GoogLeNet's: aux",
        "further outputs are left out: flat, chances, one",
    ];
    assert_eq!(read.notes, notes);
}
