//! The f64 reference: every layer kind by its definition, in canonical order (NCHW, \[K, C/groups, R, S\], \[out, in\]).
//!
//! Written to be read against the formulas, and shared with no device. One file per kind; this one says which formula a
//! layer's phase is.

mod activation;
mod batchnorm;
mod conv;
mod conv_transpose;
mod dropout;
mod fc;
mod join;
mod layernorm;
mod lrn;
mod lrn_within;
mod pick;
mod pool;
mod prelu;
mod real;
mod scale;
mod sgd;
mod softmax_loss;
mod sums;
#[cfg(test)]
mod tests;

pub use real::Real;
pub use sgd::update;

use super::error::norm;
use crate::model::Kind;
use crate::model::kind::{AvgPool, MaxPool};
use crate::plan::{LayerPlan, Phase, PoolGeometry, Shape};

/// The operands of a layer's phase. Those that its formula does not hold may be empty.
#[derive(Default)]
pub struct Operands<'a, T = f64> {
    /// Values of the layer's inputs.
    pub inputs: Vec<&'a [T]>,
    /// The layer's own output: what ReLU's gradient depends on, and the probabilities of softmax_loss.
    pub output: &'a [T],
    /// Gradient of the loss with respect to the output.
    pub output_gradient: &'a [T],
    /// In canonical order.
    pub weights: &'a [T],
    /// Empty where the layer has none.
    pub biases: &'a [T],
    /// Dropout's kept elements as ones; `None` with dropout off.
    pub mask: Option<&'a [T]>,
    /// The class of each image.
    pub labels: &'a [usize],
}

/// The operands that a phase's formula holds, beside labels and masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormulaReads {
    /// Values of the inputs.
    pub inputs: bool,
    /// Values of the output.
    pub output: bool,
    /// Gradient of the output.
    pub output_gradient: bool,
    /// Weights.
    pub weights: bool,
    /// Biases.
    pub biases: bool,
}

/// The operands that the formulas below look at, by phase. Independent of the plan's own table.
pub fn reads(layer: &LayerPlan, phase: Phase) -> FormulaReads {
    let (weights, loss) = (layer.weights > 0, layer.kind.is_loss());
    match phase {
        Phase::Forward => FormulaReads { inputs: true, weights, biases: layer.biases > 0, ..FormulaReads::default() },
        Phase::BackwardData => FormulaReads {
            inputs: needs_inputs(&layer.kind)
                || matches!(layer.kind, Kind::Activation(function) if !activation::is_of_output(function)),
            output: loss || matches!(layer.kind, Kind::Activation(function) if activation::is_of_output(function)),
            output_gradient: !loss,
            weights,
            biases: false,
        },
        Phase::BackwardWeights => FormulaReads { inputs: true, output_gradient: true, ..FormulaReads::default() },
        Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => FormulaReads::default(),
    }
}

/// The kinds whose gradient holds the inputs, but for functions of each element.
fn needs_inputs(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::MaxPool(_)
            | Kind::Lrn(_)
            | Kind::BatchNorm(_)
            | Kind::LayerNorm(_)
            | Kind::PRelu(_)
            | Kind::Multiply
            | Kind::MaxUnpool
    )
}

/// The layer's output; for softmax_loss the probabilities.
pub fn forward<T: Real>(layer: &LayerPlan, operands: &Operands<T>) -> Vec<T> {
    let Operands { ref inputs, weights, biases, .. } = *operands;
    let (x, shape, images) = (inputs[0], layer.input(), layer.output.n);
    match &layer.kind {
        Kind::Conv(params) => conv::forward(params, shape, layer.output, x, weights, biases),
        Kind::ConvTranspose(params) => conv_transpose::forward(params, [shape, layer.output], x, weights, biases),
        Kind::Fc(_) => fc::forward(images, x, weights, biases),
        Kind::Activation(function) => activation::forward(*function, x),
        Kind::MaxPool(params) => pool::max_forward(&max_windows(params, shape), x),
        Kind::AvgPool(params) => pool::average_forward(&average_windows(params, shape), x),
        Kind::Lrn(params) if params.within_channel => lrn_within::forward(params, shape, x),
        Kind::Lrn(params) => lrn::forward(params, shape, x),
        Kind::Dropout(params) => dropout::apply(params.p, operands.mask, x),
        Kind::Flatten => x.to_vec(),
        Kind::BatchNorm(params) => batchnorm::forward(params.eps, shape, x, weights, biases),
        Kind::LayerNorm(params) => layernorm::forward(params.eps, shape, x, weights, biases),
        Kind::Scale(_) => scale::forward(shape, x, weights, biases),
        Kind::PRelu(_) => prelu::forward(shape, x, weights),
        Kind::Slice(slice) => pick::forward(slice.pick(shape.c), shape, x),
        Kind::ChannelShuffle(shuffle) => pick::forward(shuffle.pick(shape.c), shape, x),
        Kind::PadChannels(pad) => pick::pad(pad, shape, x),
        Kind::MaxUnpool => pool::max_backward_data(layer.pool(), inputs[1], x),
        Kind::Add => join::add(inputs),
        Kind::Multiply => join::multiply(inputs, &layer.input_shapes),
        Kind::Concat => join::concat(inputs, &layer.input_shapes),
        Kind::SoftmaxLoss(_) => softmax_loss::forward(images, x),
    }
}

/// Mean cross-entropy of a loss's input, times its weight; zero for other kinds.
pub fn loss<T: Real>(layer: &LayerPlan, operands: &Operands<T>) -> T {
    match &layer.kind {
        Kind::SoftmaxLoss(params) => {
            T::of(params.loss_weight) * softmax_loss::loss(operands.labels, operands.inputs[0])
        }
        Kind::Conv(_)
        | Kind::ConvTranspose(_)
        | Kind::Fc(_)
        | Kind::Activation(_)
        | Kind::MaxPool(_)
        | Kind::AvgPool(_)
        | Kind::Lrn(_)
        | Kind::Dropout(_)
        | Kind::Flatten
        | Kind::BatchNorm(_)
        | Kind::LayerNorm(_)
        | Kind::Scale(_)
        | Kind::PRelu(_)
        | Kind::Slice(_)
        | Kind::ChannelShuffle(_)
        | Kind::PadChannels(_)
        | Kind::MaxUnpool
        | Kind::Add
        | Kind::Multiply
        | Kind::Concat => T::zero(),
    }
}

/// The layer's share of the gradient of its input number `slot`.
pub fn backward_data<T: Real>(layer: &LayerPlan, slot: usize, operands: &Operands<T>) -> Vec<T> {
    let Operands { ref inputs, output, output_gradient: dy, weights, .. } = *operands;
    let (x, shape) = (|| inputs[0], layer.input());
    match &layer.kind {
        Kind::Conv(params) => conv::backward_data(params, shape, layer.output, weights, dy),
        Kind::ConvTranspose(params) => conv_transpose::backward_data(params, [shape, layer.output], weights, dy),
        Kind::Fc(_) => fc::backward_data(shape.n, weights, dy),
        Kind::Activation(function) if activation::is_of_output(*function) => {
            activation::backward_data(*function, output, dy)
        }
        Kind::Activation(function) => activation::backward_data(*function, x(), dy),
        Kind::MaxPool(params) => pool::max_backward_data(&max_windows(params, shape), x(), dy),
        Kind::AvgPool(params) => pool::average_backward_data(&average_windows(params, shape), dy),
        Kind::Lrn(params) if params.within_channel => lrn_within::backward_data(params, shape, x(), dy),
        Kind::Lrn(params) => lrn::backward_data(params, shape, x(), dy),
        Kind::Dropout(params) => dropout::apply(params.p, operands.mask, dy),
        Kind::Flatten | Kind::Add => dy.to_vec(),
        Kind::BatchNorm(params) => batchnorm::backward_data(params.eps, shape, x(), weights, dy),
        Kind::LayerNorm(params) => layernorm::backward_data(params.eps, shape, x(), weights, dy),
        Kind::Scale(_) => scale::backward_data(shape, weights, dy),
        Kind::PRelu(_) => prelu::backward_data(shape, x(), weights, dy),
        Kind::Slice(slice) => pick::backward_data(slice.pick(shape.c), shape, dy),
        Kind::ChannelShuffle(shuffle) => pick::backward_data(shuffle.pick(shape.c), shape, dy),
        Kind::PadChannels(pad) => pick::unpad(pad, shape, dy),
        Kind::MaxUnpool => pool::at_maxima(layer.pool(), inputs[1], dy),
        Kind::Multiply => join::multiply_backward_data(slot, inputs, &layer.input_shapes, dy),
        Kind::Concat => join::concat_backward_data(slot, &layer.input_shapes, dy),
        Kind::SoftmaxLoss(params) => softmax_loss::backward_data(params.loss_weight, operands.labels, output),
    }
}

/// Gradients of weights and biases; both empty for kinds without weights.
pub fn backward_weights<T: Real>(layer: &LayerPlan, operands: &Operands<T>) -> [Vec<T>; 2] {
    let (x, dy, shape) = (operands.inputs[0], operands.output_gradient, layer.input());
    let biases = || match layer.biases {
        0 => Vec::new(),
        _ => sums::over_channels(layer.output, |_, at| dy[at]),
    };
    match &layer.kind {
        Kind::Conv(params) => [conv::backward_weights(params, shape, layer.output, x, dy), biases()],
        Kind::ConvTranspose(params) => {
            [conv_transpose::backward_weights(params, [shape, layer.output], x, dy), biases()]
        }
        Kind::Fc(_) => [fc::backward_weights(layer.output.n, x, dy), biases()],
        Kind::BatchNorm(params) => batchnorm::backward_weights(params.eps, shape, x, dy),
        Kind::LayerNorm(params) => layernorm::backward_weights(params.eps, shape, x, dy),
        Kind::Scale(_) => [scale::backward_weights(shape, x, dy), biases()],
        Kind::PRelu(params) => {
            let slopes = if params.shared { 1 } else { shape.c };
            [prelu::backward_weights(shape, slopes, x, dy), Vec::new()]
        }
        Kind::Activation(_)
        | Kind::MaxPool(_)
        | Kind::AvgPool(_)
        | Kind::Lrn(_)
        | Kind::Dropout(_)
        | Kind::Flatten
        | Kind::Slice(_)
        | Kind::ChannelShuffle(_)
        | Kind::PadChannels(_)
        | Kind::MaxUnpool
        | Kind::Add
        | Kind::Multiply
        | Kind::Concat
        | Kind::SoftmaxLoss(_) => Default::default(),
    }
}

/// The size below which a backward phase's results count as cancelled, in the order of what it computes: a sum whose terms
/// cancel leaves rounding, which no bound relative to the sum itself can meet. Sums of dy over a channel (biases, and
/// batchnorm's weights) are held against the same sum with random signs, ‖dy‖, and sums of x · dy likewise (a convolution of
/// one weight per channel before a batchnorm has gradients that vanish); batchnorm's and layernorm's backward_data against
/// its first term.
/// Zero where nothing cancels by construction.
pub fn least_norms<T: Real>(layer: &LayerPlan, phase: Phase, operands: &Operands<T>) -> [f64; 2] {
    let Operands { ref inputs, weights, output_gradient: dy, .. } = *operands;
    match (&layer.kind, phase) {
        (Kind::BatchNorm(params), Phase::BackwardData) => {
            let first = batchnorm::uncentred_backward_data(params.eps, layer.input(), inputs[0], weights, dy);
            [norm(&first); 2]
        }
        (Kind::LayerNorm(params), Phase::BackwardData) => {
            let first = layernorm::uncentred_backward_data(params.eps, layer.input(), inputs[0], weights, dy);
            [norm(&first); 2]
        }
        (Kind::Conv(_) | Kind::Fc(_), Phase::BackwardWeights) => {
            let x = inputs[0];
            // Each dy meets as many x as there are weights per output.
            let weights_per_output = layer.weights as f64 / layer.output_channels() as f64;
            [norm(dy) * norm(x) * (weights_per_output / x.len() as f64).sqrt(), norm(dy)]
        }
        (Kind::ConvTranspose(_), Phase::BackwardWeights) => {
            // Each x meets as many dy as there are weights per input.
            let weights_per_input = layer.weights as f64 / layer.input().c as f64;
            [norm(dy) * norm(inputs[0]) * (weights_per_input / dy.len() as f64).sqrt(), norm(dy)]
        }
        (_, Phase::BackwardWeights) => [norm(dy); 2],
        (_, Phase::Forward | Phase::BackwardData | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate) => {
            [0.0; 2]
        }
    }
}

/// Inputs of a max pooling layer that tie for the maximum of a window; `None` for other kinds.
pub fn ties<T: Real>(layer: &LayerPlan, x: &[T]) -> Option<Vec<bool>> {
    if let Kind::MaxPool(params) = &layer.kind {
        return Some(pool::ties(&max_windows(params, layer.input()), x));
    }
    None
}

const PLANNED: &str = "a plan holds only layers whose windows fit";

fn max_windows(params: &MaxPool, input: Shape) -> PoolGeometry {
    PoolGeometry::max(params, input).expect(PLANNED)
}

fn average_windows(params: &AvgPool, input: Shape) -> PoolGeometry {
    PoolGeometry::average(params, input).expect(PLANNED)
}
