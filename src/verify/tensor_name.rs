//! The tensors that a step is checked by, under the names that exported files give them.

use crate::device::Tensor;
use crate::model::Source;
use crate::plan::{LayerPlan, Plan, Shape};

/// One of a layer's parameter tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parameter {
    Weight,
    Bias,
}

impl Parameter {
    pub const ALL: [Parameter; 2] = [Parameter::Weight, Parameter::Bias];

    pub fn name(self) -> &'static str {
        match self {
            Parameter::Weight => "weight",
            Parameter::Bias => "bias",
        }
    }

    /// Those that a layer has.
    pub fn of(layer: &LayerPlan) -> impl Iterator<Item = Parameter> + use<> {
        let counts = [layer.weights, layer.biases];
        Parameter::ALL.into_iter().zip(counts).filter(|&(_, count)| count > 0).map(|(part, _)| part)
    }
}

/// A tensor by its meaning; layers by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorName {
    Input,
    Labels,
    Loss,
    Output(usize),
    /// Gradient of the loss with respect to a layer's output.
    OutputGradient(usize),
    ImageGradient,
    /// Before the step.
    Parameter(usize, Parameter),
    Gradient(usize, Parameter),
    /// After the step.
    Updated(usize, Parameter),
    Momentum(usize, Parameter),
}

impl TensorName {
    /// The gradient of what `source` gives.
    pub fn gradient_of(source: Source) -> TensorName {
        match source {
            Source::Image => TensorName::ImageGradient,
            Source::Layer(layer) => TensorName::OutputGradient(layer),
        }
    }

    /// The key of an exported file's tensor, or `None` when the plan has nothing of that name.
    pub fn parse(name: &str, plan: &Plan) -> Option<TensorName> {
        let layer = |name: &str| plan.layers.iter().position(|layer| layer.name == name);
        let part = |name: &str| Parameter::ALL.into_iter().find(|part| part.name() == name);
        match name {
            "input" => return Some(TensorName::Input),
            "labels" => return Some(TensorName::Labels),
            "loss" => return Some(TensorName::Loss),
            "grad.input" => return Some(TensorName::ImageGradient),
            _ => {}
        }
        // Names of layers may hold dots themselves.
        let (what, rest) = name.split_once('.')?;
        match what {
            "output" => return Some(TensorName::Output(layer(rest)?)),
            "grad_output" => {
                let layer = layer(rest)?;
                return (!plan.layers[layer].kind.is_loss()).then_some(TensorName::OutputGradient(layer));
            }
            _ => {}
        }
        let (name, of) = rest.rsplit_once('.')?;
        let (layer, part) = (layer(name)?, part(of)?);
        Parameter::of(&plan.layers[layer]).find(|&existing| existing == part)?;
        match what {
            "param" => Some(TensorName::Parameter(layer, part)),
            "grad" => Some(TensorName::Gradient(layer, part)),
            "updated" => Some(TensorName::Updated(layer, part)),
            _ => None,
        }
    }

    /// The name in an exported file.
    pub fn name(self, plan: &Plan) -> String {
        let of = |what: &str, layer: usize| format!("{what}.{}", plan.layers[layer].name);
        let part = |what: &str, layer: usize, part: Parameter| format!("{}.{}", of(what, layer), part.name());
        match self {
            TensorName::Input => "input".into(),
            TensorName::Labels => "labels".into(),
            TensorName::Loss => "loss".into(),
            TensorName::ImageGradient => "grad.input".into(),
            TensorName::Output(layer) => of("output", layer),
            TensorName::OutputGradient(layer) => of("grad_output", layer),
            TensorName::Parameter(layer, which) => part("param", layer, which),
            TensorName::Gradient(layer, which) => part("grad", layer, which),
            TensorName::Updated(layer, which) => part("updated", layer, which),
            TensorName::Momentum(layer, which) => part("momentum", layer, which),
        }
    }

    /// Sizes in canonical order.
    pub fn sizes(self, plan: &Plan) -> Vec<usize> {
        let shape = |Shape { n, c, h, w }: Shape| vec![n, c, h, w];
        match self {
            TensorName::Input | TensorName::ImageGradient => shape(plan.input),
            TensorName::Labels => vec![plan.batch],
            TensorName::Loss => vec![1],
            TensorName::Output(layer) | TensorName::OutputGradient(layer) => shape(plan.layers[layer].output),
            TensorName::Parameter(layer, part)
            | TensorName::Gradient(layer, part)
            | TensorName::Updated(layer, part)
            | TensorName::Momentum(layer, part) => parameter_sizes(&plan.layers[layer], part),
        }
    }

    /// The session's tensor. A flatten layer's tensors are those of the layer whose memory it renames.
    pub fn tensor(self, plan: &Plan) -> Tensor {
        match self {
            TensorName::Input => Tensor::Input,
            TensorName::Labels => Tensor::Labels,
            TensorName::Loss => Tensor::Loss,
            TensorName::ImageGradient => Tensor::InputGradient,
            TensorName::Output(layer) => value(memory_of(plan, layer)),
            TensorName::OutputGradient(layer) => gradient(memory_of(plan, layer)),
            TensorName::Parameter(layer, Parameter::Weight) | TensorName::Updated(layer, Parameter::Weight) => {
                Tensor::Weight(layer)
            }
            TensorName::Parameter(layer, Parameter::Bias) | TensorName::Updated(layer, Parameter::Bias) => {
                Tensor::Bias(layer)
            }
            TensorName::Gradient(layer, Parameter::Weight) => Tensor::WeightGradient(layer),
            TensorName::Gradient(layer, Parameter::Bias) => Tensor::BiasGradient(layer),
            TensorName::Momentum(layer, Parameter::Weight) => Tensor::WeightMomentum(layer),
            TensorName::Momentum(layer, Parameter::Bias) => Tensor::BiasMomentum(layer),
        }
    }
}

/// The tensor that a source's values are in.
pub fn value(source: Source) -> Tensor {
    match source {
        Source::Image => Tensor::Input,
        Source::Layer(layer) => Tensor::Output(layer),
    }
}

/// The tensor that the gradient of a source's values is in.
pub fn gradient(source: Source) -> Tensor {
    match source {
        Source::Image => Tensor::InputGradient,
        Source::Layer(layer) => Tensor::OutputGradient(layer),
    }
}

/// The layer itself, or what a flatten layer renames.
pub fn memory_of(plan: &Plan, layer: usize) -> Source {
    match plan.layers[layer].kind.is_view() {
        true => plan.layers[layer].inputs[0],
        false => Source::Layer(layer),
    }
}

fn parameter_sizes(layer: &LayerPlan, part: Parameter) -> Vec<usize> {
    match part {
        Parameter::Weight => layer.weight_shape.clone(),
        Parameter::Bias => vec![layer.biases as usize],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::plan::Options;

    #[test]
    fn names_of_layers_may_hold_dots() {
        let plan = Plan::new(&Model::named("resnet18").unwrap(), Options::of_batch(1)).unwrap();
        let layer = plan.layers.iter().position(|layer| layer.name == "layer1.0.conv1").unwrap();
        for name in [
            TensorName::Output(layer),
            TensorName::OutputGradient(layer),
            TensorName::Parameter(layer, Parameter::Weight),
            TensorName::Gradient(layer, Parameter::Weight),
            TensorName::Updated(layer, Parameter::Weight),
        ] {
            assert_eq!(TensorName::parse(&name.name(&plan), &plan), Some(name));
        }
        // A convolution without biases.
        assert_eq!(TensorName::parse("param.layer1.0.conv1.bias", &plan), None);
        assert_eq!(TensorName::parse("grad.input", &plan), Some(TensorName::ImageGradient));
    }
}
