//! A model with everything inferred for one batch size and image size: shapes, parameter counts, costs, memory.
//!
//! Pure arithmetic. One file per layer kind that has arithmetic of its own.

mod conv;
mod cost;
mod fc;
mod layer;
mod pool;
mod shape;

pub use conv::ConvGeometry;
pub use cost::{Bound, Cost, F32_BYTES};
pub use pool::{PoolGeometry, Window};
pub use shape::Shape;

use crate::model::{Kind, Model, Source, kind::Group};

/// One part of what training does to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Forward,
    /// The gradient of the layer's input.
    BackwardData,
    /// The gradient of weights and bias.
    BackwardWeights,
    /// Under f16: whether all gradients are finite, and the factor that keeps them in range. It belongs to the loss.
    LossScale,
    WeightUpdate,
}

impl Phase {
    pub const ALL: [Phase; 5] =
        [Phase::Forward, Phase::BackwardData, Phase::BackwardWeights, Phase::LossScale, Phase::WeightUpdate];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::BackwardData => "backward_data",
            Phase::BackwardWeights => "backward_weights",
            Phase::LossScale => "loss_scale",
            Phase::WeightUpdate => "weight_update",
        }
    }
}

/// The model at one batch size and image size.
#[derive(Clone, Debug)]
pub struct Plan {
    pub model: Model,
    pub batch: usize,
    pub input: Shape,
    pub layers: Vec<LayerPlan>,
}

/// One layer with its shapes.
#[derive(Clone, Debug)]
pub struct LayerPlan {
    pub name: String,
    pub kind: Kind,
    /// Where each input's values are: flatten layers are looked through, since they only rename memory.
    pub inputs: Vec<Source>,
    pub input_shapes: Vec<Shape>,
    pub output: Shape,
    /// Number of weights and of biases; 0 where there are none.
    pub weights: u64,
    pub biases: u64,
    /// Inputs whose gradient is wanted, one entry per input.
    pub input_gradients: Vec<bool>,
    /// For each input, whether backward_data adds to a gradient that another reader's backward_data wrote before.
    pub accumulate: Vec<bool>,
    /// Size of an element of activations, gradients and the weights that are read; masters and momentum are f32.
    pub element_bytes: u64,
    /// Gradients that the loss-scale check looks at: all there are, in the loss under f16, else none.
    pub checked_gradients: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("{file}:{line}: layer `{layer}`: {message}")]
    Layer { file: String, layer: String, line: usize, message: String },
    #[error("image {h}x{w} is too small for {model}: {least}")]
    ImageTooSmall { model: String, h: usize, w: usize, least: String },
}

/// What a plan is made for, beside the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub batch: usize,
    /// Height and width in place of the model's own.
    pub image: Option<[usize; 2]>,
    /// Compute the gradient of the image too.
    pub input_gradient: bool,
}

/// The largest batch that can be asked for.
pub const LARGEST_BATCH: usize = 1 << 20;
/// The largest image side that can be asked for.
pub const LARGEST_IMAGE: usize = 1 << 16;

/// Height and width as they are written everywhere: 224x224.
pub fn image_name([height, width]: [usize; 2]) -> String {
    format!("{height}x{width}")
}

impl Plan {
    pub fn new(model: &Model, options: Options) -> Result<Plan, PlanError> {
        let [c, h, w] = model.input;
        let [h, w] = options.image.unwrap_or([h, w]);
        let input = Shape { n: options.batch, c, h, w };
        let layers =
            layer::plan_all(model, input, options.input_gradient).map_err(|fault| fault.explain(model, options))?;
        Ok(Plan { model: model.clone(), batch: options.batch, input, layers })
    }

    /// The plan with elements of another size; `loss_scale` adds the check that f16 needs.
    pub fn stored_in(mut self, element_bytes: u64, loss_scale: bool) -> Plan {
        let (gradients, loss) = (self.parameters(), self.loss());
        self.layers.iter_mut().for_each(|layer| layer.element_bytes = element_bytes);
        self.layers[loss].checked_gradients = if loss_scale { gradients } else { 0 };
        self
    }

    /// Height and width of the image.
    pub fn image(&self) -> [usize; 2] {
        [self.input.h, self.input.w]
    }

    pub fn shape_of(&self, source: Source) -> Shape {
        match source {
            Source::Image => self.input,
            Source::Layer(index) => self.layers[index].output,
        }
    }

    pub fn parameters(&self) -> u64 {
        self.layers.iter().map(LayerPlan::parameters).sum()
    }

    /// Index of the softmax_loss layer.
    pub fn loss(&self) -> usize {
        self.layers.len() - 1
    }

    pub fn classes(&self) -> usize {
        self.layers[self.loss()].output.image_elements()
    }
}

impl LayerPlan {
    pub fn parameters(&self) -> u64 {
        self.weights + self.biases
    }

    pub fn output_channels(&self) -> u64 {
        self.output.c as u64
    }

    pub fn group(&self) -> Group {
        self.kind.group()
    }

    /// Shape of the first input, the only one for all kinds but add and concat.
    pub fn input(&self) -> Shape {
        self.input_shapes[0]
    }

    /// Whether training does this to the layer at all. A phase that does not exist has no mark and no row.
    pub fn has(&self, phase: Phase) -> bool {
        match phase {
            _ if self.kind == Kind::Flatten => false,
            Phase::Forward => true,
            Phase::BackwardData => self.input_gradients.iter().any(|&wanted| wanted),
            Phase::BackwardWeights | Phase::WeightUpdate => self.weights > 0,
            Phase::LossScale => self.checked_gradients > 0,
        }
    }

    pub fn phases(&self) -> impl Iterator<Item = Phase> + '_ {
        Phase::ALL.into_iter().filter(|&phase| self.has(phase))
    }

    pub fn cost(&self, phase: Phase) -> Cost {
        cost::of(self, phase)
    }
}
