//! A model with everything inferred for one batch size and image size: shapes, parameter counts, costs, memory.
//!
//! Pure arithmetic. [`kinds`] holds the rules of each layer kind.

mod cost;
pub mod kinds;
mod layer;
mod precision;
pub mod roofline;
mod shape;

pub use cost::{Bound, Cost, F32_BYTES};
pub use kinds::{ChannelPick, ConvGeometry, FcGeometry, Geometry, Mover, PoolGeometry, Reads, Window};
pub use precision::Precision;
pub use roofline::Roofline;
pub use shape::Shape;

use crate::model::{Kind, Model, Source, kind::Group};
use kinds::rules;

/// One part of what training does to a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The layer's output.
    Forward,
    /// The gradient of the layer's input.
    BackwardData,
    /// The gradient of weights and bias.
    BackwardWeights,
    /// The mean over all ranks of the gradients of weights and bias; with one rank there is none.
    AllReduce,
    /// Under f16: whether all gradients are finite, and the factor that keeps them in range. It belongs to the loss.
    LossScale,
    /// Momentum SGD of weights and bias.
    WeightUpdate,
}

impl Phase {
    /// All phases, in the order of tables.
    pub const ALL: [Phase; 6] = [
        Phase::Forward,
        Phase::BackwardData,
        Phase::BackwardWeights,
        Phase::AllReduce,
        Phase::LossScale,
        Phase::WeightUpdate,
    ];

    /// The phase of a convolution that a transposed one's phase is: forward and backward_data change places.
    pub fn exchanged(self) -> Phase {
        match self {
            Phase::Forward => Phase::BackwardData,
            Phase::BackwardData => Phase::Forward,
            Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => self,
        }
    }

    /// The phase's word in tables and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Forward => "forward",
            Phase::BackwardData => "backward_data",
            Phase::BackwardWeights => "backward_weights",
            Phase::AllReduce => "all_reduce",
            Phase::LossScale => "loss_scale",
            Phase::WeightUpdate => "weight_update",
        }
    }
}

/// The model at one batch size and image size.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The network.
    pub model: Model,
    /// Images in the batch, of this rank.
    pub batch: usize,
    /// Whose images these are among those of all ranks.
    pub share: Share,
    /// Arithmetic, and the type that activations are stored in.
    pub precision: Precision,
    /// Shape of the batch of images.
    pub input: Shape,
    /// As in [`Model::layers`].
    pub layers: Vec<LayerPlan>,
}

/// One layer with its shapes.
#[derive(Clone, Debug)]
pub struct LayerPlan {
    /// The layer's name in the model.
    pub name: String,
    /// Kind and parameters.
    pub kind: Kind,
    /// The sizes that the layer's operations work with.
    pub geometry: Geometry,
    /// The owner of each input's values: flatten layers are looked through, since they only rename memory.
    pub inputs: Vec<Source>,
    /// Shapes of the inputs, as their layers give them.
    pub input_shapes: Vec<Shape>,
    /// Shape of the output.
    pub output: Shape,
    /// Sizes of the weights; empty where there are none. \[K, C/groups, R, S\] of a convolution, \[out, in\] of a fully connected layer.
    pub weight_shape: Vec<usize>,
    /// Number of weights; 0 where there are none.
    pub weights: u64,
    /// Number of biases; 0 where there are none.
    pub biases: u64,
    /// Inputs whose gradient is wanted, one entry per input.
    pub input_gradients: Vec<bool>,
    /// For each input, whether backward_data adds to a gradient that another reader's backward_data wrote before.
    pub accumulate: Vec<bool>,
    /// Size of an element of activations, gradients and the weights that are read; masters and momentum are f32.
    pub element_bytes: u64,
    /// The max pooling layer whose positions an unpooling takes. The second of `inputs` is then that layer's own input.
    pub positions_of: Option<usize>,
    /// An unpooling takes the positions of this layer's maxima.
    pub gives_positions: bool,
    /// Gradients that the loss-scale check looks at: all there are, in the loss under f16, else none.
    pub checked_gradients: u64,
    /// Ranks that train together, each on a batch of its own.
    pub ranks: usize,
}

/// One rank among those that train together, each on as many other images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its number, from 0.
    pub rank: usize,
    /// How many there are.
    pub ranks: usize,
}

impl Share {
    /// A rank that trains alone.
    pub const ALONE: Share = Share { rank: 0, ranks: 1 };
}

/// Why a model cannot be planned as asked.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A layer does not fit its inputs.
    #[error("{place}: layer `{layer}`: {message}")]
    Layer {
        /// The model's description, with the line on which the layer begins if it has one.
        place: String,
        /// Name of the layer.
        layer: String,
        /// Why, in words.
        message: String,
    },
    /// The image that was asked for is too small.
    #[error("image {h}x{w} is too small for {model}: {least}")]
    ImageTooSmall {
        /// Name of the model.
        model: String,
        /// Height that was asked for.
        h: usize,
        /// Width that was asked for.
        w: usize,
        /// The layer that does not fit, and the least image that does, in words.
        least: String,
    },
}

/// The conditions that a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Images in the batch.
    pub batch: usize,
    /// Height and width in place of the model's own.
    pub image: Option<[usize; 2]>,
    /// Arithmetic.
    pub precision: Precision,
    /// Compute the gradient of the image too.
    pub input_gradient: bool,
    /// The rank, where several train together.
    pub share: Share,
}

impl Options {
    /// This many images of the model's own size, in f32, without the image's gradient.
    pub fn of_batch(batch: usize) -> Options {
        Options { batch, image: None, precision: Precision::F32, input_gradient: false, share: Share::ALONE }
    }
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
    /// Infers every shape. Fails where a layer does not fit its inputs.
    pub fn new(model: &Model, options: Options) -> Result<Plan, PlanError> {
        let Options { batch, image, precision, input_gradient, share } = options;
        let [c, h, w] = model.input;
        let [h, w] = image.unwrap_or([h, w]);
        let input = Shape { n: batch, c, h, w };
        let layers = layer::plan_all(model, input, input_gradient).map_err(|misfit| misfit.explain(model, options))?;
        let mut plan = Plan { model: model.clone(), batch, share, precision, input, layers };
        for layer in &mut plan.layers {
            (layer.element_bytes, layer.ranks) = (precision.element_bytes(), share.ranks);
        }
        if precision.needs_loss_scale() {
            let loss = plan.loss();
            plan.layers[loss].checked_gradients = plan.parameters();
        }
        Ok(plan)
    }

    /// Height and width of the image.
    pub fn image(&self) -> [usize; 2] {
        [self.input.h, self.input.w]
    }

    /// Shape of a layer's output, or of the image.
    pub fn shape_of(&self, source: Source) -> Shape {
        match source {
            Source::Image => self.input,
            Source::Layer(index) => self.layers[index].output,
        }
    }

    /// Weights and biases of all layers.
    pub fn parameters(&self) -> u64 {
        self.layers.iter().map(LayerPlan::parameters).sum()
    }

    /// Index of the last layer, a softmax_loss.
    pub fn loss(&self) -> usize {
        self.layers.len() - 1
    }

    /// Classes that the losses choose from.
    pub fn classes(&self) -> usize {
        self.layers[self.loss()].output.image_elements()
    }
}

impl LayerPlan {
    /// Weights and biases.
    pub fn parameters(&self) -> u64 {
        self.weights + self.biases
    }

    /// Channels of the output.
    pub fn output_channels(&self) -> u64 {
        self.output.c as u64
    }

    /// The group that the verdict counts the layer in.
    pub fn group(&self) -> Group {
        self.kind.group()
    }

    /// Shape of the first input, the only one for all kinds but those that join.
    pub fn input(&self) -> Shape {
        self.input_shapes[0]
    }

    /// The sizes of a convolution.
    ///
    /// # Panics
    /// If the layer is of another kind.
    pub fn conv(&self) -> &ConvGeometry {
        match &self.geometry {
            Geometry::Conv(conv) => conv,
            other => unreachable!("{} is planned as {other:?}", self.kind.name()),
        }
    }

    /// The sizes of a fully connected layer.
    ///
    /// # Panics
    /// If the layer is of another kind.
    pub fn fc(&self) -> &FcGeometry {
        match &self.geometry {
            Geometry::Fc(fc) => fc,
            other => unreachable!("{} is planned as {other:?}", self.kind.name()),
        }
    }

    /// The windows of max or average pooling, or of the pool whose positions an unpooling takes.
    ///
    /// # Panics
    /// If the layer is of another kind.
    pub fn pool(&self) -> &PoolGeometry {
        match &self.geometry {
            Geometry::Pool(pool) => pool,
            other => unreachable!("{} is planned as {other:?}", self.kind.name()),
        }
    }

    /// Tells if training does this to the layer at all. A phase that does not exist has no mark and no row.
    pub fn has(&self, phase: Phase) -> bool {
        match phase {
            _ if self.kind.is_view() => false,
            Phase::Forward => true,
            Phase::BackwardData => self.input_gradients.iter().any(|&wanted| wanted),
            Phase::BackwardWeights | Phase::WeightUpdate => self.weights > 0,
            Phase::AllReduce => self.weights > 0 && self.ranks > 1,
            Phase::LossScale => self.checked_gradients > 0,
        }
    }

    /// The phases that training has for the layer.
    pub fn phases(&self) -> impl Iterator<Item = Phase> + '_ {
        Phase::ALL.into_iter().filter(|&phase| self.has(phase))
    }

    /// The tensors that a phase reads, on the device that needs most.
    pub fn reads(&self, phase: Phase) -> Reads {
        let (weights, biases) = (self.weights > 0, self.biases > 0);
        match phase {
            Phase::Forward => Reads { inputs: true, weights, biases, ..Reads::default() },
            Phase::BackwardData => rules(&self.kind).backward_data_reads(),
            Phase::BackwardWeights => Reads { inputs: true, ..Reads::OUTPUT_GRADIENT },
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => Reads::default(),
        }
    }

    /// Multiply-adds, operations and bytes of a phase.
    pub fn cost(&self, phase: Phase) -> Cost {
        cost::of(self, phase)
    }

    /// Centre and half-width of the uniform distribution that first weights are drawn from.
    pub fn initial_weights(&self) -> (f32, f32) {
        rules(&self.kind).initial_weights(self.fan_in())
    }

    /// Its way through memory, where it is no matrix product.
    pub fn mover(&self) -> Mover {
        rules(&self.kind).mover()
    }

    /// Weights that one output sees.
    pub fn fan_in(&self) -> f32 {
        (self.weights / self.output_channels()) as f32
    }
}
