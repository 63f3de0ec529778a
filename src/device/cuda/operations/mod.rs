//! Layers on the device: one file per kind, each an [`Operation`] of cuDNN, cuBLAS or own kernels.
//!
//! Operations are enqueued on one stream, allocate nothing and wait for nothing. Only [`operation`] matches on the kind.

mod activation;
mod add;
mod avgpool;
mod batchnorm;
mod bias;
mod channels;
mod concat;
mod conv;
mod divisor;
mod dropout;
mod fc;
mod layernorm;
mod loss_scale;
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
mod sgd;
mod softmax_loss;
mod view;

pub use conv::{AlgorithmChooser, AlgorithmRequest, ConvAddresses, ConvOp, ConvTransposeOp};
pub use loss_scale::LossScale;
pub use maxpool::Positions;
pub use sgd::{Sgd, Update};
pub use softmax_loss::LossBuffers;

use super::driver::{Buffer, CallError, Handles};
use super::failure::Failure;
use super::gpu::SharedGpu;
use crate::device::order::Order;
use crate::device::{Algorithm, Training};
use crate::model::Kind;
use crate::plan::{LayerPlan, Phase};

/// A layer on the device: its descriptors, its kernels, and the memory that it keeps between phases.
pub trait Operation: Send {
    /// Enqueues the computation of the output.
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError>;

    /// Enqueues the computation of one input's gradient.
    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError>;

    /// Enqueues the computation of the gradients of weights and biases. Layers without any are never asked.
    fn backward_weights(&self, _handles: &Handles, _at: &BackwardWeights) -> Result<(), CallError> {
        Ok(())
    }

    /// Device memory that the layer holds for itself.
    fn bytes(&self) -> usize {
        0
    }

    /// The algorithm of forward or of a backward phase, where the library has more than one.
    fn algorithm(&self, _phase: Phase) -> Option<Algorithm> {
        None
    }

    /// The convolution whose algorithms are to be chosen.
    fn convolution(&mut self) -> Option<&mut ConvOp> {
        None
    }

    /// A dropout layer's mask: one byte per element, 1 where kept.
    fn mask(&self) -> Option<&Buffer> {
        None
    }

    /// The places of a max pooling layer's maxima, where an unpooling takes them.
    fn positions(&self) -> Option<Positions> {
        None
    }

    /// The buffers of the loss, which keeps its output by itself.
    fn loss(&self) -> Option<&LossBuffers> {
        None
    }
}

/// Device addresses of a layer's parameters, as its arithmetic reads them, and of their gradients.
#[derive(Clone, Copy)]
pub struct ParameterAddresses {
    /// Weights; gamma of batchnorm.
    pub weights: u64,
    /// Biases; beta of batchnorm.
    pub biases: u64,
    /// Gradient of the weights.
    pub weight_gradients: u64,
    /// Gradient of the biases.
    pub bias_gradients: u64,
}

/// Operands of forward, as device addresses.
pub struct Forward<'a> {
    /// The layer's inputs.
    pub inputs: &'a [u64],
    /// The layer's output, written.
    pub output: u64,
    /// The layer's parameters.
    pub parameters: ParameterAddresses,
    /// Scratch that all layers share.
    pub workspace: &'a Buffer,
    /// Number of the step, from one.
    pub step: u32,
}

impl Forward<'_> {
    /// The first input, the only one for all kinds but those that join.
    fn x(&self) -> u64 {
        self.inputs[0]
    }
}

/// Operands of backward_data for one input, as device addresses.
pub struct BackwardData<'a> {
    /// Index of the input.
    pub input: usize,
    /// All inputs of the layer.
    pub inputs: &'a [u64],
    /// The input.
    pub x: u64,
    /// The layer's output.
    pub y: u64,
    /// Gradient of the output.
    pub dy: u64,
    /// Gradient of the input, written or added to.
    pub dx: u64,
    /// Add to `dx`: another layer's gradient is there.
    pub accumulate: bool,
    /// The layer's parameters.
    pub parameters: ParameterAddresses,
    /// Scratch that all layers share.
    pub workspace: &'a Buffer,
    /// The state of loss scaling, or zero.
    pub loss_scale: u64,
}

/// Operands of backward_weights, as device addresses.
pub struct BackwardWeights<'a> {
    /// The input.
    pub x: u64,
    /// Gradient of the output.
    pub dy: u64,
    /// The layer's parameters.
    pub parameters: ParameterAddresses,
    /// Scratch that all layers share.
    pub workspace: &'a Buffer,
}

const PLANNED: &str = "a plan tells the pool whose positions an unpooling takes to keep them";

/// Makes the operation of a layer behind those of the layers before it. `order` is that of the layer's (first) input.
pub fn operation(
    before: &[Box<dyn Operation>],
    planned: &LayerPlan,
    order: &Order,
    training: &Training,
    gpu: &SharedGpu,
    handles: &Handles,
) -> Result<Box<dyn Operation>, Failure> {
    let (index, output) = (before.len(), planned.output);
    let pool = planned.positions_of.and_then(|pool| before[pool].positions());
    Ok(match &planned.kind {
        Kind::Conv(conv) => Box::new(ConvOp::new(planned.conv(), conv.bias, gpu, handles)?),
        Kind::ConvTranspose(conv) => Box::new(ConvTransposeOp::new(planned, conv.bias, gpu, handles)?),
        Kind::Fc(fc) => Box::new(fc::FcOp::new(planned.fc(), output, fc.bias, gpu)?),
        Kind::Activation(function) => activation::operation(*function, output, gpu)?,
        Kind::MaxPool(pool) => Box::new(maxpool::MaxPoolOp::new(pool, planned, gpu)?),
        Kind::AvgPool(pool) => Box::new(avgpool::AvgPoolOp::new(pool, planned, gpu)?),
        Kind::Lrn(lrn) if lrn.within_channel => Box::new(lrn_within::LrnWithinOp::new(lrn, output, gpu)?),
        Kind::Lrn(lrn) => Box::new(lrn::LrnOp::new(lrn, output, gpu)?),
        Kind::Dropout(dropout) if training.dropout => {
            Box::new(dropout::DropoutOp::new(index, planned, dropout, order, training.seed, gpu)?)
        }
        Kind::Dropout(_) => Box::new(add::CopyOp::new(output.elements(), gpu)?),
        Kind::Flatten => Box::new(view::ViewOp),
        Kind::BatchNorm(norm) => Box::new(batchnorm::BatchNormOp::new(norm, output, gpu, handles)?),
        Kind::LayerNorm(norm) => Box::new(layernorm::LayerNormOp::new(norm, output, gpu)?),
        Kind::PRelu(prelu) => Box::new(prelu::PReluOp::new(prelu, output, gpu)?),
        Kind::Slice(slice) => Box::new(pick::PickOp::new(slice.pick(planned.input().c), planned, gpu)?),
        Kind::ChannelShuffle(shuffle) => Box::new(pick::PickOp::new(shuffle.pick(planned.input().c), planned, gpu)?),
        Kind::PadChannels(pad) => Box::new(pad_channels::PadChannelsOp::new(pad, planned, gpu)?),
        Kind::Scale(scale) => Box::new(scale::ScaleOp::new(scale, output, gpu, handles)?),
        Kind::MaxUnpool => Box::new(max_unpool::MaxUnpoolOp::new(pool.expect(PLANNED), gpu)?),
        Kind::Add => Box::new(add::AddOp::new(output.elements(), gpu)?),
        Kind::Multiply => Box::new(multiply::MultiplyOp::new(planned, gpu)?),
        Kind::Concat => Box::new(concat::ConcatOp::new(planned, gpu)?),
        Kind::SoftmaxLoss(loss) => Box::new(softmax_loss::SoftmaxLossOp::new(loss, output, gpu)?),
    })
}
