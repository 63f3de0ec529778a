//! The rules of each layer kind: shapes, parameters, what its phases read, how much they compute.
//!
//! One file per kind. Memory, cost, initial values and devices ask these rules in place of matching on the kind.

mod activation;
mod batchnorm;
mod conv;
mod conv_transpose;
mod dropout;
mod fc;
mod flatten;
mod join;
mod layernorm;
mod lrn;
mod max_unpool;
mod multiply;
mod pick;
mod pool;
mod prelu;
mod scale;
mod softmax_loss;

pub use conv::ConvGeometry;
pub use fc::FcGeometry;
pub use max_unpool::MaxUnpool;
pub use pick::ChannelPick;
pub use pool::{PoolGeometry, Window};

use super::{LayerPlan, Phase, Shape};
use crate::model::Kind;
use crate::model::kind::{Padding, Pair};

/// The rules of a layer kind. The parameters of a kind implement them.
pub trait Rules {
    /// Output, geometry and parameters for inputs of these shapes.
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit>;

    /// The tensors that backward_data reads, on the device that needs most.
    ///
    /// cuDNN's pooling and LRN read input and output; every ReLU is content with its output.
    fn backward_data_reads(&self) -> Reads;

    /// Operations of `phase` that are not multiply-adds of weights: additions, comparisons, exponentials, each as one.
    ///
    /// Asked of forward, backward_data and backward_weights only.
    fn operations(&self, layer: &LayerPlan, phase: Phase) -> u64;

    /// The way through memory of a kind that is no matrix product.
    fn mover(&self) -> Mover {
        Mover::Elementwise
    }

    /// The treatment of an input whose elements a flatten left in another order than its shape tells.
    fn after_flatten(&self) -> AfterFlatten;

    /// Centre and half-width of the uniform distribution that first weights are drawn from.
    ///
    /// 1/√fan-in around zero is PyTorch's default for convolutions and fully connected layers.
    fn initial_weights(&self, fan_in: f32) -> (f32, f32) {
        (0.0, fan_in.sqrt().recip())
    }
}

/// Ways through memory, which differ in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mover {
    /// Pooling.
    Pool,
    /// Normalisation with a mean and a variance.
    Batchnorm,
    /// Local response normalisation.
    Lrn,
    /// Element by element.
    Elementwise,
}

/// The rules of a kind.
pub fn rules(kind: &Kind) -> &dyn Rules {
    match kind {
        Kind::Conv(conv) => conv,
        Kind::ConvTranspose(conv) => conv,
        Kind::Fc(fc) => fc,
        Kind::Activation(function) => function,
        Kind::MaxPool(pool) => pool,
        Kind::AvgPool(pool) => pool,
        Kind::Lrn(lrn) => lrn,
        Kind::Dropout(dropout) => dropout,
        Kind::Flatten => &flatten::Flatten,
        Kind::BatchNorm(norm) => norm,
        Kind::LayerNorm(norm) => norm,
        Kind::Scale(scale) => scale,
        Kind::PRelu(prelu) => prelu,
        Kind::Slice(slice) => slice,
        Kind::ChannelShuffle(shuffle) => shuffle,
        Kind::PadChannels(pad) => pad,
        Kind::MaxUnpool => &max_unpool::MaxUnpool,
        Kind::Add => &join::Add,
        Kind::Multiply => &multiply::Multiply,
        Kind::Concat => &join::Concat,
        Kind::SoftmaxLoss(loss) => loss,
    }
}

/// The findings of planning one layer.
pub struct Planned {
    /// Shape of the output.
    pub output: Shape,
    /// Sizes that the layer's operations work with.
    pub geometry: Geometry,
    /// Sizes of the weights; empty where there are none. \[K, C/groups, R, S\] of a convolution, \[C, K/groups, R, S\] of a transposed one, \[out, in\] of a fully connected layer.
    pub weight_shape: Vec<usize>,
    /// Number of biases.
    pub biases: usize,
}

impl Planned {
    /// A layer without parameters whose shapes say everything.
    pub fn plain(output: Shape) -> Planned {
        Planned::windowed(output, Geometry::Shapes)
    }

    /// A layer without parameters.
    pub fn windowed(output: Shape, geometry: Geometry) -> Planned {
        Planned { output, geometry, weight_shape: Vec::new(), biases: 0 }
    }
}

/// The sizes that a layer's operations work with, as planning found and checked them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Geometry {
    /// A convolution's; of a transposed one that from its output to its input.
    Conv(ConvGeometry),
    /// A fully connected layer's.
    Fc(FcGeometry),
    /// The windows of max and average pooling; of unpooling those of the pool whose positions it takes.
    Pool(PoolGeometry),
    /// The shapes of inputs and output say everything.
    Shapes,
}

/// The tensors that a phase reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The layer's inputs.
    pub inputs: bool,
    /// The layer's output.
    pub output: bool,
    /// The gradient of the loss with respect to the output.
    pub output_gradient: bool,
    /// A dropout layer's mask, of the output's size.
    pub mask: bool,
    /// The weights.
    pub weights: bool,
    /// The biases, or the gradients that stand for them in batchnorm.
    pub biases: bool,
}

impl Reads {
    /// The gradient of the output alone.
    pub const OUTPUT_GRADIENT: Reads =
        Reads { inputs: false, output: false, output_gradient: true, mask: false, weights: false, biases: false };
}

/// The treatment of an input behind a flatten: in NHWC its elements are in an order that its shape does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterFlatten {
    /// Works element by element or channel by channel, and leaves the order as it is.
    Keeps,
    /// Has the order in its weights, and gives its output in the device's own order.
    Restores,
    /// Puts its inputs one behind the other.
    Joins,
    /// Needs neighbouring channels to be neighbours.
    Refuses,
}

/// Why a layer does not fit its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// A larger image would do.
    #[error(
        "window {}x{} is larger than its input {}x{} with padding {}",
        kernel.h, kernel.w, input.h, input.w, padding_name(*padding)
    )]
    Window {
        /// Height and width of the window.
        kernel: Pair,
        /// The input that it does not fit in.
        input: Shape,
        /// Padding before and behind the image.
        padding: [Pair; 2],
    },
    /// Another reason, in words.
    #[error("{0}")]
    Other(String),
}

impl Misfit {
    /// Fails where a window with its padding is larger than the input.
    fn check_window(kernel: Pair, input: Shape, padding: [Pair; 2]) -> Result<(), Misfit> {
        let [before, after] = padding;
        let fits = input.h + before.h + after.h >= kernel.h && input.w + before.w + after.w >= kernel.w;
        if fits { Ok(()) } else { Err(Misfit::Window { kernel, input, padding }) }
    }
}

/// One side's of each pair where opposite sides are equal, else all four.
fn padding_name([before, after]: [Pair; 2]) -> String {
    if before == after {
        return format!("{}x{}", before.h, before.w);
    }
    Padding::Sides { before, after }.to_string()
}

fn elements(shape: Shape) -> u64 {
    shape.elements() as u64
}
