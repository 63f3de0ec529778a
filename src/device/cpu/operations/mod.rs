//! The operations of the layer kinds, behind one interface. One file or folder per kind; `operation` alone matches on the kind.
//!
//! Operations work on plain slices, inside the thread pool of the caller, and allocate nothing.

mod activation;
mod add;
mod avgpool;
mod batchnorm;
mod concat;
pub mod conv;
mod dropout;
pub mod fc;
mod flatten;
mod layernorm;
mod lrn;
mod lrn_within;
mod max_unpool;
mod maxpool;
mod multiply;
mod pad_channels;
mod pick;
mod pool;
mod prelu;
mod scale;
pub(super) mod sgd;
mod softmax_loss;

use super::compute::simd::Isa;
use crate::device::order::Order;
use crate::device::{Algorithm, Training, Transform};
use crate::model::Kind;
use crate::plan::{F32_BYTES, LayerPlan, Phase};
use conv::AlgorithmChoice;
pub(super) use maxpool::Winners;

/// One layer made real: it runs its phases, and keeps what they share, such as masks and statistics.
pub trait Operation: Send {
    /// Computes the output.
    fn forward(&mut self, operands: Forward);

    /// Computes the gradient of one input, for each input whose gradient is wanted.
    fn backward_data(&mut self, operands: BackwardData);

    /// Computes the gradients of weights and biases, in layers that have them.
    fn backward_weights(&mut self, _operands: BackwardWeights) {}

    /// Scratch memory that a phase needs at least, in f32.
    fn workspace_floats(&self, _phase: Phase) -> usize {
        0
    }

    /// How a phase is computed, where there is a choice.
    fn algorithm(&self, _phase: Phase) -> Option<Algorithm> {
        None
    }

    /// A mask of one byte per output element, in memory order: 1 where it is kept.
    fn mask(&mut self) -> Option<&mut [u8]> {
        None
    }

    /// The places of the maxima of the last forward pass.
    fn positions(&self) -> Option<&Winners> {
        None
    }

    /// Mean cross-entropy of the last forward pass.
    fn loss(&mut self) -> Option<&mut f64> {
        None
    }
}

/// Operands of a forward pass. Activations are \[N, H, W, C\]; what a layer has not is empty.
#[derive(Default)]
pub struct Forward<'a> {
    /// The inputs: one for all kinds but those that join.
    pub inputs: &'a [&'a [f32]],
    /// Convolution weights \[R, S, C/groups, K\], fully connected ones \[outputs, inputs\], those of batchnorm \[C\].
    pub weights: &'a [f32],
    /// One per output channel.
    pub biases: &'a [f32],
    /// The positions of the maxima, of the pool whose positions the layer takes.
    pub positions: Option<&'a Winners>,
    /// The class of each image.
    pub labels: &'a [u32],
    /// Number of the training step, from 1: each draws masks of its own.
    pub step: u32,
    /// The output, which is written.
    pub output: &'a mut [f32],
    /// Scratch of at least [`Operation::workspace_floats`]; its contents do not matter.
    pub workspace: &'a mut [f32],
}

impl<'a> Forward<'a> {
    /// The first input, the only one of most kinds.
    fn input(&self) -> &'a [f32] {
        self.inputs[0]
    }
}

/// Operands of a backward_data pass for one input. What the layer's plan says is not read is empty.
#[derive(Default)]
pub struct BackwardData<'a> {
    /// Index of the input among the layer's.
    pub slot: usize,
    /// All inputs.
    pub inputs: &'a [&'a [f32]],
    /// The input.
    pub input: &'a [f32],
    /// The output of the forward pass.
    pub output: &'a [f32],
    /// Gradient of the loss with respect to the output.
    pub output_gradient: &'a [f32],
    /// As in [`Forward`].
    pub weights: &'a [f32],
    /// Gradient of the weights, computed before in the same step.
    pub weight_gradient: &'a [f32],
    /// Gradient of the biases, computed before in the same step.
    pub bias_gradient: &'a [f32],
    /// As in [`Forward`].
    pub positions: Option<&'a Winners>,
    /// The class of each image.
    pub labels: &'a [u32],
    /// Gradient of the loss with respect to the input, which is written.
    pub input_gradient: &'a mut [f32],
    /// Adds to `input_gradient` instead of overwriting it.
    pub accumulate: bool,
    /// As in [`Forward`].
    pub workspace: &'a mut [f32],
}

/// Operands of a backward_weights pass.
#[derive(Default)]
pub struct BackwardWeights<'a> {
    /// The input.
    pub input: &'a [f32],
    /// Gradient of the loss with respect to the output.
    pub output_gradient: &'a [f32],
    /// Gradient of the weights, which is written; laid out as the weights.
    pub weight_gradient: &'a mut [f32],
    /// Gradient of the biases, which is written; empty where there are none.
    pub bias_gradient: &'a mut [f32],
    /// As in [`Forward`].
    pub workspace: &'a mut [f32],
}

/// Conditions that all operations of a session are made for.
pub(super) struct Setting {
    pub threads: usize,
    pub isa: Isa,
    pub choice: AlgorithmChoice,
    pub training: Training,
}

/// Makes the operation of layer `index`. `order` is that of its (first) input.
pub(super) fn operation(index: usize, layer: &LayerPlan, order: &Order, setting: &Setting) -> Box<dyn Operation> {
    let &Setting { threads, isa, choice, training } = setting;
    let input = layer.input();
    match &layer.kind {
        Kind::Conv(_) => Box::new(conv::ConvOp::new(*layer.conv(), threads, isa, choice)),
        Kind::ConvTranspose(_) => Box::new(conv::ConvTransposeOp::new(layer, threads, isa, choice)),
        Kind::Fc(_) => Box::new(fc::FcOp::new(*layer.fc(), threads, isa)),
        Kind::Activation(function) => Box::new(activation::ActivationOp(*function)),
        Kind::MaxPool(_) => Box::new(maxpool::MaxPoolOp::new(layer.pool().clone())),
        Kind::AvgPool(_) => Box::new(avgpool::AvgPoolOp::new(layer.pool().clone())),
        Kind::Lrn(lrn) if lrn.within_channel => Box::new(lrn_within::LrnWithinOp::new(lrn, input, threads)),
        Kind::Lrn(lrn) => Box::new(lrn::LrnOp::new(lrn, input.c, threads)),
        Kind::Dropout(dropout) => {
            let together = dropout.of.together(input.image_elements(), input.h * input.w) as u32;
            let positions = order.positions().into_iter().map(|position| position / together).collect();
            Box::new(dropout::DropoutOp::new(&training, index, dropout.p, positions, input.n))
        }
        Kind::Flatten => Box::new(flatten::FlattenOp),
        Kind::BatchNorm(norm) => Box::new(batchnorm::BatchNormOp::new(norm, input.c, input.elements())),
        Kind::LayerNorm(norm) => {
            let pixels = input.elements() / input.c;
            Box::new(layernorm::LayerNormOp::new(norm.eps, input.c, pixels))
        }
        Kind::Scale(_) => Box::new(scale::ScaleOp::new(input.c, input.elements() / input.c)),
        Kind::PRelu(_) => Box::new(prelu::PReluOp::new(input.c, input.elements() / input.c)),
        Kind::Slice(slice) => Box::new(pick::PickOp::new(slice.pick(input.c))),
        Kind::ChannelShuffle(shuffle) => Box::new(pick::PickOp::new(shuffle.pick(input.c))),
        Kind::PadChannels(pad) => Box::new(pad_channels::PadChannelsOp::new(pad, input.c)),
        Kind::MaxUnpool => Box::new(max_unpool::MaxUnpoolOp::new(layer.pool().clone())),
        Kind::Add => Box::new(add::AddOp),
        Kind::Multiply => Box::new(multiply::MultiplyOp::new(layer)),
        Kind::Concat => Box::new(concat::ConcatOp::new(layer)),
        Kind::SoftmaxLoss(loss) => Box::new(softmax_loss::SoftmaxLossOp::new(loss, input.n)),
    }
}

/// Names an algorithm, with its scratch memory in f32.
fn algorithm(name: &str, workspace_floats: usize) -> Option<Algorithm> {
    Some(Algorithm {
        name: name.into(),
        workspace_bytes: F32_BYTES * workspace_floats as u64,
        transform: Transform::Plain,
    })
}
