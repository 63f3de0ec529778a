//! The tensors that a step is checked by, under the names that exported files give them.

use crate::device::Tensor;
use crate::model::Source;
use crate::plan::{LayerPlan, Plan, Shape};

/// One of a layer's parameter tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    Weight,
    Bias,
}

impl Part {
    pub const ALL: [Part; 2] = [Part::Weight, Part::Bias];

    pub fn name(self) -> &'static str {
        match self {
            Part::Weight => "weight",
            Part::Bias => "bias",
        }
    }

    /// Those that a layer has.
    pub fn of(layer: &LayerPlan) -> impl Iterator<Item = Part> + use<> {
        let counts = [layer.weights, layer.biases];
        Part::ALL.into_iter().zip(counts).filter(|&(_, count)| count > 0).map(|(part, _)| part)
    }
}

/// A tensor by its meaning; layers by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    Input,
    Labels,
    Loss,
    Output(usize),
    /// Gradient of the loss with respect to a layer's output.
    OutputGradient(usize),
    ImageGradient,
    /// Before the step.
    Parameter(usize, Part),
    Gradient(usize, Part),
    /// After the step.
    Updated(usize, Part),
    Momentum(usize, Part),
}

impl Key {
    /// The gradient of what `source` gives.
    pub fn gradient_of(source: Source) -> Key {
        match source {
            Source::Image => Key::ImageGradient,
            Source::Layer(layer) => Key::OutputGradient(layer),
        }
    }

    /// The key of an exported file's tensor, or `None` when the plan has nothing of that name.
    pub fn parse(name: &str, plan: &Plan) -> Option<Key> {
        let layer = |name: &str| plan.layers.iter().position(|layer| layer.name == name);
        let part = |name: &str| Part::ALL.into_iter().find(|part| part.name() == name);
        let loss = |key: Key| (key != Key::OutputGradient(plan.loss())).then_some(key);
        match name.split('.').collect::<Vec<_>>()[..] {
            ["input"] => Some(Key::Input),
            ["labels"] => Some(Key::Labels),
            ["loss"] => Some(Key::Loss),
            ["grad", "input"] => Some(Key::ImageGradient),
            ["output", name] => Some(Key::Output(layer(name)?)),
            ["grad_output", name] => loss(Key::OutputGradient(layer(name)?)),
            [what, name, of] => {
                let (layer, part) = (layer(name)?, part(of)?);
                Part::of(&plan.layers[layer]).find(|&existing| existing == part)?;
                match what {
                    "param" => Some(Key::Parameter(layer, part)),
                    "grad" => Some(Key::Gradient(layer, part)),
                    "updated" => Some(Key::Updated(layer, part)),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The name in an exported file.
    pub fn name(self, plan: &Plan) -> String {
        let of = |what: &str, layer: usize| format!("{what}.{}", plan.layers[layer].name);
        let part = |what: &str, layer: usize, part: Part| format!("{}.{}", of(what, layer), part.name());
        match self {
            Key::Input => "input".into(),
            Key::Labels => "labels".into(),
            Key::Loss => "loss".into(),
            Key::ImageGradient => "grad.input".into(),
            Key::Output(layer) => of("output", layer),
            Key::OutputGradient(layer) => of("grad_output", layer),
            Key::Parameter(layer, which) => part("param", layer, which),
            Key::Gradient(layer, which) => part("grad", layer, which),
            Key::Updated(layer, which) => part("updated", layer, which),
            Key::Momentum(layer, which) => part("momentum", layer, which),
        }
    }

    /// Sizes in canonical order.
    pub fn sizes(self, plan: &Plan) -> Vec<usize> {
        let shape = |Shape { n, c, h, w }: Shape| vec![n, c, h, w];
        match self {
            Key::Input | Key::ImageGradient => shape(plan.input),
            Key::Labels => vec![plan.batch],
            Key::Loss => vec![1],
            Key::Output(layer) | Key::OutputGradient(layer) => shape(plan.layers[layer].output),
            Key::Parameter(layer, part)
            | Key::Gradient(layer, part)
            | Key::Updated(layer, part)
            | Key::Momentum(layer, part) => parameter_sizes(&plan.layers[layer], part),
        }
    }

    /// Where a session has it. A flatten layer's tensors are those of the layer whose memory it renames.
    pub fn tensor(self, plan: &Plan) -> Tensor {
        match self {
            Key::Input => Tensor::Input,
            Key::Labels => Tensor::Labels,
            Key::Loss => Tensor::Loss,
            Key::ImageGradient => Tensor::InputGradient,
            Key::Output(layer) => value(memory_of(plan, layer)),
            Key::OutputGradient(layer) => gradient(memory_of(plan, layer)),
            Key::Parameter(layer, Part::Weight) | Key::Updated(layer, Part::Weight) => Tensor::Weight(layer),
            Key::Parameter(layer, Part::Bias) | Key::Updated(layer, Part::Bias) => Tensor::Bias(layer),
            Key::Gradient(layer, Part::Weight) => Tensor::WeightGradient(layer),
            Key::Gradient(layer, Part::Bias) => Tensor::BiasGradient(layer),
            Key::Momentum(layer, Part::Weight) => Tensor::WeightMomentum(layer),
            Key::Momentum(layer, Part::Bias) => Tensor::BiasMomentum(layer),
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

fn parameter_sizes(layer: &LayerPlan, part: Part) -> Vec<usize> {
    match part {
        Part::Weight => layer.weight_shape.clone(),
        Part::Bias => vec![layer.biases as usize],
    }
}
