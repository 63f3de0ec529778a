//! The walk over the graph, and what all operators share: operands, layers, errors.

use std::collections::HashMap;

use super::node::Node;
use super::proto::GraphProto;
use super::reduce::{self, Reduced};
use super::tensor::ConstTensor;
use super::value::{OnnxActivation, Pointwise, Value, View};
use super::{constants, curve, elementwise, linear, list, noise, spread, views, windows};
use crate::model::draft::Draft;
use crate::model::{Kind, Layer, Source};
use crate::units::quotable;

/// Elementwise operators that may stand between an activation and a recognised function.
const DEEPEST_CURVE: usize = 64;

/// Weight of the losses of further outputs: GoogLeNet's (Szegedy et al. 2014, section 5), since a graph does not tell. It takes no time.
const AUXILIARY: f32 = 0.3;

/// Outputs that a note names.
const MOST_NAMED: usize = 8;

/// Why an operator gives no value.
#[derive(Debug)]
pub enum Fault {
    /// The operator itself is to blame.
    Here(String),
    /// An operator before it was.
    Before(String),
}

impl From<String> for Fault {
    fn from(message: String) -> Fault {
        Fault::Here(message)
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Fault {
        Fault::Here(message.into())
    }
}

pub type Imports<T> = Result<T, Fault>;

/// A graph on its way to layers.
pub struct Import<'a> {
    graph: &'a GraphProto,
    pub opset: i64,
    pub draft: Draft,
    /// By name.
    pub values: HashMap<&'a str, Value>,
    /// How often each value is read.
    readers: HashMap<&'a str, usize>,
    /// Layers whose batch norm the exporter has folded into their weights.
    pub folded: usize,
}

impl<'a> Import<'a> {
    pub fn new(graph: &'a GraphProto, opset: i64, draft: Draft) -> Import<'a> {
        let mut readers = HashMap::new();
        let outputs = graph.output.iter().map(|output| &output.name);
        for name in graph.node.iter().flat_map(|node| &node.input).chain(outputs) {
            *readers.entry(name.as_str()).or_insert(0) += 1;
        }
        Import { graph, opset, draft, values: HashMap::new(), readers, folded: 0 }
    }

    /// Gives every output of every node a value. A graph's nodes are sorted, so an unknown input is a fault or a cycle.
    pub fn run(&mut self) {
        for (index, proto) in self.graph.node.iter().enumerate() {
            let node = Node { index, proto };
            let values = self.operator(node).unwrap_or_else(|fault| {
                let message = self.explain(node, fault);
                vec![Value::Missing(message); proto.output.len()]
            });
            for (name, value) in proto.output.iter().zip(values).filter(|(name, _)| !name.is_empty()) {
                self.values.insert(name, value);
            }
        }
    }

    fn operator(&mut self, node: Node<'a>) -> Imports<Vec<Value>> {
        if !matches!(node.proto.domain.as_str(), "" | "ai.onnx") {
            return Err(format!("operators of the domain {} are not known", quotable(&node.proto.domain)).into());
        }
        if node.operator() == "Split" {
            return views::split(self, node);
        }
        let value = match node.operator() {
            "Conv" => windows::conv(self, node),
            "ConvTranspose" => windows::conv_transpose(self, node),
            "MaxPool" => windows::max_pool(self, node),
            "AveragePool" => windows::average_pool(self, node),
            "GlobalAveragePool" => reduce::global_pool(self, node, Reduced::Mean),
            "GlobalMaxPool" => reduce::global_pool(self, node, Reduced::Max),
            "Pad" => windows::pad(self, node),
            "BatchNormalization" => windows::batch_norm(self, node),
            "LayerNormalization" => windows::layer_norm(self, node),
            "LRN" => windows::lrn(self, node),
            "Dropout" => windows::dropout(self, node),
            "Gemm" => linear::gemm(self, node),
            "MatMul" => linear::matmul(self, node),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Min" | "Max" | "Sum" => elementwise::binary(self, node),
            "Clip" => elementwise::clip(self, node),
            "PRelu" => windows::prelu(self, node),
            "Slice" if views::is_of_activation(self, node) => views::slice(self, node),
            "SplitToSequence" => views::split_to_sequence(self, node),
            "SequenceAt" => views::sequence_at(self, node),
            "Concat" => views::concat(self, node),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" => views::reshape(self, node),
            "ReduceMean" => reduce::over_pixels(self, node, Reduced::Mean),
            "ReduceMax" => reduce::over_pixels(self, node, Reduced::Max),
            "Expand" => spread::expand(self, node),
            "Floor" => noise::floor(self, node),
            "Identity" | "Cast" | "CastLike" => self.value(node, 0),
            "RandomUniformLike" => noise::random_like(self, node),
            "Less" => noise::less(self, node),
            "Range" => list::range(self, node),
            "Softmax" | "LogSoftmax" => self.activation(node, 0).map(Value::Softmax),
            "Gather" => match self.value(node, 0)? {
                Value::List(all) => list::gather(self, node, all),
                _ => constants::fold(self, node),
            },
            "Constant" | "ConstantOfShape" | "Shape" | "Slice" | "Ceil" => constants::fold(self, node),
            operator if curve::unary(operator, None, None).is_some() => elementwise::unary(self, node),
            operator => Err(Fault::Here(nearest(operator))),
        }?;
        Ok(vec![value])
    }

    /// One line: the node, its operator, the opset, and what is wrong.
    fn explain(&self, node: Node, fault: Fault) -> String {
        match fault {
            Fault::Before(message) => message,
            Fault::Here(message) => {
                let name = if node.proto.name.is_empty() { &node.proto.output.join(", ") } else { &node.proto.name };
                let (name, operator) = (quotable(name), quotable(node.operator()));
                format!("node `{name}` ({operator}, opset {}): {message}", self.opset)
            }
        }
    }

    /// The value of an input.
    pub fn value(&self, node: Node<'a>, input: usize) -> Imports<Value> {
        let Some(name) = node.input(input) else {
            return Err(format!("has no input number {input}").into());
        };
        match self.values.get(name) {
            Some(Value::Missing(message)) => Err(Fault::Before(message.clone())),
            Some(value) => Ok(value.clone()),
            None => {
                Err(format!("takes `{}`, which nothing before it gives: a cycle, or a damaged file", quotable(name))
                    .into())
            }
        }
    }

    /// An input that is a constant, if it is there.
    pub fn tensor(&self, node: Node<'a>, input: usize) -> Imports<Option<ConstTensor>> {
        match node.input(input) {
            None => Ok(None),
            Some(name) => match self.value(node, input)? {
                Value::Tensor(tensor) => Ok(Some(tensor)),
                _ => Err(format!("`{}` must be a constant", quotable(name)).into()),
            },
        }
    }

    /// An input that depends on the image, as a layer's output.
    pub fn activation(&mut self, node: Node<'a>, input: usize) -> Imports<OnnxActivation> {
        match self.value(node, input)? {
            Value::Activation(activation) => Ok(activation),
            Value::Pointwise(curve) => {
                let activation = self.computed(&curve)?;
                if let Some(name) = node.input(input) {
                    self.values.insert(name, Value::Activation(activation));
                }
                Ok(activation)
            }
            Value::Softmax(_) => Err("takes a softmax within the network: a transformer cannot be described".into()),
            Value::Tensor(tensor) => Err(format!("`{}` is a constant where a batch is wanted", quotable(&tensor.name)).into()),
            Value::Noise(_) => {
                Err("takes numbers that do not depend on the image, as a transformer does: only networks of convolutions can be described".into())
            }
            Value::Parts(..) => Err("takes a sequence where a batch is wanted".into()),
            Value::Spread(_) => Err("takes one pixel's values at every pixel: a product with an image is known".into()),
            Value::LocalNorm(_) => Err("takes the squares of a LocalResponseNorm: a division by them is known".into()),
            Value::List(_) | Value::Places(_) => Err("takes a list where a batch is wanted".into()),
            Value::Missing(message) => Err(Fault::Before(message)),
        }
    }

    /// An input whose view is of an image; others have no layer that takes them.
    pub fn image(&mut self, node: Node<'a>, input: usize) -> Imports<OnnxActivation> {
        let activation = self.activation(node, input)?;
        match activation.view {
            View::ChannelsFirst | View::ChannelsLast => Ok(activation),
            view => Err(format!("takes {}: [N, channels, height, width] is wanted", view.words()).into()),
        }
    }

    /// The layer that computes a curve; where there is none for the whole, layers for its parts.
    fn computed(&mut self, curve: &Pointwise) -> Imports<OnnxActivation> {
        let node = self.node(curve.node);
        if curve.samples.is_identity() {
            return Ok(curve.base);
        }
        if curve.depth > DEEPEST_CURVE {
            return Err("ends a chain of more than 64 elementwise operators that no layer computes".into());
        }
        if let Some(kind) = curve.samples.kind() {
            return self.layer(node, None, kind, &[curve.base]);
        }
        elementwise::in_parts(self, node).map_err(|fault| Fault::Before(self.explain(node, fault)))
    }

    /// Adds a layer that keeps its first input's view.
    pub fn layer(
        &mut self,
        node: Node,
        weight: Option<&ConstTensor>,
        kind: Kind,
        inputs: &[OnnxActivation],
    ) -> Imports<OnnxActivation> {
        if inputs.iter().any(|input| input.pad != [0; 4]) {
            return Err("takes zeros around an image, which only a convolution or a pooling can do itself".into());
        }
        let name = node.layer_name(weight.map(|weight| weight.name.as_str()));
        let source = self.draft.push(&name, kind, inputs.iter().map(|input| input.source).collect())?;
        Ok(OnnxActivation::viewed(source, inputs[0].view))
    }

    /// A node of the graph by its place.
    pub fn node(&self, index: usize) -> Node<'a> {
        Node { index, proto: &self.graph.node[index] }
    }

    /// Tells if nobody else reads the node's input.
    pub fn is_only_reader(&self, node: Node, input: usize) -> bool {
        node.input(input).is_some_and(|name| self.readers.get(name) == Some(&1))
    }

    /// The layers up to the first of the graph's outputs that has one value per class, and a loss; further outputs like it are auxiliary.
    pub fn finish(mut self) -> Result<(Vec<Layer>, Vec<String>), String> {
        let graph = self.graph;
        let found: Vec<Result<Source, String>> = graph.output.iter().map(|output| self.logits(&output.name)).collect();
        let Some((place, logits)) =
            found.iter().enumerate().find_map(|(at, found)| found.as_ref().ok().map(|&of| (at, of)))
        else {
            return Err(found.into_iter().find_map(Result::err).unwrap_or_else(|| "its graph has no output".into()));
        };
        let no_loss = |message| format!("the network does not end in one value per class: its loss {message}");
        let (mut auxiliary, mut others) = (Vec::new(), Vec::new());
        for (output, found) in graph.output.iter().zip(found).skip(place + 1) {
            match found {
                Ok(source) if source != logits && self.draft.shape(source) == self.draft.shape(logits) => {
                    let name = self.draft.layer(source).map_or(String::new(), |layer| format!("{}.loss", layer.name));
                    self.draft.loss(&name, source, AUXILIARY).map_err(no_loss)?;
                    auxiliary.push(quotable(&output.name));
                }
                Ok(_) | Err(_) => others.push(quotable(&output.name)),
            }
        }
        let notes = self.notes(&auxiliary, &others);
        Ok((self.draft.finish(logits).map_err(no_loss)?, notes))
    }

    fn logits(&mut self, output: &'a str) -> Result<Source, String> {
        match self.values.get(output).cloned() {
            Some(Value::Activation(logits) | Value::Softmax(logits)) => Ok(logits.source),
            Some(Value::Pointwise(curve)) => {
                let node = self.node(curve.node);
                let logits = self.computed(&curve).map_err(|fault| self.explain(node, fault))?;
                Ok(logits.source)
            }
            Some(Value::Missing(message)) => Err(message),
            Some(
                Value::Tensor(_)
                | Value::Noise(_)
                | Value::Parts(..)
                | Value::List(_)
                | Value::Places(_)
                | Value::Spread(_)
                | Value::LocalNorm(_),
            ) => Err(format!("its output `{}` has no value for each class of an image", quotable(output))),
            None => Err(format!("no node gives its output `{}`", quotable(output))),
        }
    }

    fn notes(&self, auxiliary: &[String], others: &[String]) -> Vec<String> {
        let mut notes = Vec::new();
        let named = |outputs: &[String]| match outputs {
            [first @ .., _] if first.len() >= MOST_NAMED => {
                format!("{} and {} more", outputs[..MOST_NAMED].join(", "), outputs.len() - MOST_NAMED)
            }
            few => few.join(", "),
        };
        if self.folded > 0 {
            notes.push(format!(
                "exported for inference: {} batch norms are missing; export with training=… to measure them",
                self.folded
            ));
        }
        if !auxiliary.is_empty() {
            let outputs = named(auxiliary);
            notes.push(format!(
                "further outputs have auxiliary losses, with the weight {AUXILIARY} of GoogLeNet's: {outputs}"
            ));
        }
        if !others.is_empty() {
            notes.push(format!("further outputs are left out: {}", named(others)));
        }
        notes
    }
}

/// An operator that is not known, and the nearest that is.
fn nearest(operator: &str) -> String {
    let help = match operator {
        "LpPool" | "GlobalLpPool" | "MaxRoiPool" => {
            "MaxPool, AveragePool, GlobalMaxPool and GlobalAveragePool are known"
        }
        "Selu" | "ThresholdedRelu" | "Shrink" | "Reciprocal" => {
            "Relu, LeakyRelu, Elu, Sigmoid, Tanh and Gelu are known"
        }
        "Where" => {
            "where it comes from an adaptive pooling whose output does not divide the image, export an image that it divides"
        }
        "DepthToSpace" | "SpaceToDepth" => "ConvTranspose enlarges images, a Conv with strides makes them smaller",
        "ReduceL2" | "ReduceSum" | "ReduceMin" | "ReduceProd" | "ReduceL1" => {
            "ReduceMean and ReduceMax over pixels are known; take parametrizations of weights off before the export"
        }
        "ConvInteger" | "QLinearConv" | "DeformConv" => "Conv and ConvTranspose are known",
        "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" | "QLinearMatMul" => {
            "export the network before quantisation"
        }
        "InstanceNormalization" | "GroupNormalization" => {
            "BatchNormalization, LayerNormalization over channels and LRN are known"
        }
        "Resize" | "Upsample" => "ConvTranspose enlarges images",
        "If" | "Loop" | "Scan" => "export the network with its branches taken; a LocalResponseNorm with dynamo=True",
        "LSTM" | "GRU" | "RNN" | "Attention" | "Einsum" => "only networks of convolutions can be described",
        _ => "see docs/networks.md for the operators that are known",
    };
    format!("the operator is not known: {help}")
}
