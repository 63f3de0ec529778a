//! The whole step in f64 from the device's initial values: the loss, and the weights after the update.
//!
//! This sees what the phases by themselves cannot: that they are put together into gradient descent on the described network.
//! Rounding alone moves a deep network's gradients by percents: it flips ReLUs and maxima of windows, and batch norms of few
//! values magnify it. How far, a second pass of the same formulas in f32 tells, whose outputs are moved at random as far as the
//! device's own phases were off, and the device may go a small factor further.

use std::collections::{BTreeMap, HashMap};

use super::error::relative_error;
use super::operands::labels;
use super::reference::{self, Operands, Real};
use super::tensor_name::{Parameter, TensorName};
use super::{Check, LEAST_LOSS, LOSS_BOUND, phase_bound, phases, update_share, updated_bound};
use crate::device::{DeviceError, Session, Tensor, Training};
use crate::model::Source;
use crate::philox::{Philox, RandomStream};
use crate::plan::{LayerPlan, Phase, Plan, Precision};

/// The parameters before the step, \[weights, biases\] per layer.
pub struct Initial {
    parameters: Vec<[Vec<f32>; 2]>,
}

impl Initial {
    /// `read` answers a parameter's elements.
    pub fn read<E>(plan: &Plan, mut read: impl FnMut(TensorName) -> Result<Vec<f32>, E>) -> Result<Initial, E> {
        let mut parameters = vec![Default::default(); plan.layers.len()];
        for (index, layer) in plan.layers.iter().enumerate() {
            for part in Parameter::of(layer) {
                let parameters: &mut [Vec<f32>; 2] = &mut parameters[index];
                parameters[part as usize] = read(TensorName::Parameter(index, part))?;
            }
        }
        Ok(Initial { parameters })
    }

    fn in_reals<T: Real>(&self, layer: usize, part: Parameter) -> Vec<T> {
        in_reals(&self.parameters[layer][part as usize])
    }
}

/// A device's error in a whole step may be so many times that of the same formulas in plain f32.
///
/// Both errors are random. On a CPU, of the 871 updated tensors of inception-v3, densenet121, resnext50_32x4d and resnet18 none
/// was further than 0.9 of the larger of the two bounds; 261 were beyond [`GRADIENT_BOUND`](super::GRADIENT_BOUND) alone.
const ROUNDINGS: f64 = 4.0;

/// Where a batch norm has two values, one flip of a sign turns a channel's gradient around, and which channels flip is luck.
/// So any layer's update may be off by the same part as the worst one of plain f32, up to this one.
const WORST_PART: f64 = 0.25;

pub struct WholeStep<'a> {
    pub plan: &'a Plan,
    pub training: &'a Training,
    pub initial: Initial,
    /// Momentum before the step, by layer and element.
    pub momentum: &'a dyn Fn(usize, usize) -> f32,
    /// No bound is below this.
    pub least_bound: f64,
    /// By layer: how far the device's forward phase by itself was off, as a part of its output's norm, within its bound.
    pub rounding: Vec<f64>,
}

/// The input of a step: images, labels and dropout's masks by layer.
pub struct Drawn {
    pub image: Vec<f32>,
    pub labels: Vec<usize>,
    pub masks: BTreeMap<usize, Vec<f32>>,
}

/// Compares a layer's updated parameters with what each element should be.
type ErrorOf<'a> = dyn FnMut(usize, Parameter, &dyn Fn(usize) -> f64) -> Result<f64, DeviceError> + 'a;

/// Updated parameters and how far they may be off.
struct UpdatedRow {
    layer: usize,
    part: Parameter,
    error: f64,
    bound: f64,
    /// The update over the updated parameters.
    update_share: f64,
    /// The part of the update that plain f32 gets wrong.
    part_by_rounding: f64,
}

/// The exact loss and its bound, and the updated parameters in the step's order.
struct Judged {
    loss: f64,
    loss_bound: f64,
    updated: Vec<UpdatedRow>,
}

impl WholeStep<'_> {
    /// To be called after the device's step, whose masks it takes. One row for the loss, then two per layer with weights.
    pub fn check(&self, session: &mut dyn Session) -> Result<Vec<Check>, DeviceError> {
        let drawn = self.drawn(session)?;
        let judged = self.judged(&drawn, &mut |layer, part, expected| {
            let actual = session.read(TensorName::Updated(layer, part).tensor(self.plan))?;
            Ok(relative_error(&actual, expected, |_| true, 0.0))
        })?;
        let error = relative_error(&session.read(Tensor::Loss)?, |_| judged.loss, |_| true, LEAST_LOSS);
        let check = |layer, key, error, bound| Check::new(self.plan, layer, None, key, error, bound);
        let loss = check(self.plan.loss(), TensorName::Loss, error, judged.loss_bound);
        let updated = judged
            .updated
            .iter()
            .map(|row| check(row.layer, TensorName::Updated(row.layer, row.part), row.error, row.bound));
        Ok([loss].into_iter().chain(updated).collect())
    }

    /// How far rounding may move the loss and the updated parameters.
    pub fn bounds(&self, drawn: &Drawn) -> Result<HashMap<TensorName, f64>, DeviceError> {
        let judged = self.judged(drawn, &mut |_, _, _| Ok(0.0))?;
        let updated = judged.updated.iter().map(|row| (TensorName::Updated(row.layer, row.part), row.bound));
        Ok(updated.chain([(TensorName::Loss, judged.loss_bound)]).collect())
    }

    /// Runs the step exactly and in plain f32; `error_of` compares updated parameters with what they should be.
    fn judged(&self, drawn: &Drawn, error_of: &mut ErrorOf<'_>) -> Result<Judged, DeviceError> {
        let mut exact = ReferencePass::<f64>::forward(self, drawn, &|_, _| ());
        let mut plain = ReferencePass::<f32>::forward(self, drawn, &|layer, output| {
            self.round(layer, output);
            turn_uncertain(&exact.outputs[layer], output);
        });
        let by_rounding = relative_error(&[plain.loss], |_| exact.loss, |_| true, LEAST_LOSS);
        // One number may be right by luck where those that it is made of are not.
        let by_rounding = by_rounding.max(self.rounding_of_logits(&exact, &plain));
        let (loss, loss_bound) = (exact.loss, LOSS_BOUND.max(ROUNDINGS * by_rounding).max(self.least_bound));
        let mut updated: Vec<UpdatedRow> = Vec::new();
        for layer in (0..self.plan.layers.len()).rev() {
            let (exact, plain) = (exact.backward(layer), plain.backward(layer));
            for part in Parameter::of(&self.plan.layers[layer]).collect::<Vec<_>>().into_iter().rev() {
                updated.push(self.updated(layer, part, &exact, &plain.parts[part as usize], error_of)?);
            }
        }
        updated.reverse();
        let worst = updated.iter().map(|row| row.part_by_rounding).fold(0.0, f64::max).min(WORST_PART);
        updated.iter_mut().for_each(|row| row.bound = row.bound.max(worst * row.update_share));
        Ok(Judged { loss, loss_bound, updated })
    }

    /// Moves a layer's output at random as far as the device's was off, which may be more than plain f32 is: Winograd's transform
    /// rounds more often than a sum.
    fn round(&self, layer: usize, output: &mut [f32]) {
        let square: f64 = output.iter().map(|&value| f64::from(value).powi(2)).sum();
        let deviation = self.rounding[layer] * (square / output.len().max(1) as f64).sqrt();
        if deviation > 0.0 {
            let philox = Philox::new(!self.training.seed);
            // Uniform numbers of that deviation.
            let bound = deviation as f32 * 3f32.sqrt();
            for (index, value) in output.iter_mut().enumerate() {
                *value += (2.0 * philox.uniform(RandomStream::Biases(layer), index) - 1.0) * bound;
            }
        }
    }

    /// The largest relative error of plain f32 in what a loss reads.
    fn rounding_of_logits(&self, exact: &ReferencePass<f64>, plain: &ReferencePass<f32>) -> f64 {
        let losses = self.plan.layers.iter().filter(|layer| layer.kind.is_loss());
        let error = |layer: &LayerPlan| {
            let Source::Layer(of) = layer.inputs[0] else { return 0.0 };
            relative_error(&plain.outputs[of], |index| exact.outputs[of][index], |_| true, 0.0)
        };
        losses.map(error).fold(0.0, f64::max)
    }

    fn drawn(&self, session: &mut dyn Session) -> Result<Drawn, DeviceError> {
        let mut masks = BTreeMap::new();
        for (index, layer) in self.plan.layers.iter().enumerate() {
            if layer.kind.has_mask() && self.training.dropout {
                masks.insert(index, session.read(Tensor::Mask(index))?);
            }
        }
        Ok(Drawn { image: session.read(Tensor::Input)?, labels: labels(session)?, masks })
    }

    fn updated(
        &self,
        layer: usize,
        part: Parameter,
        exact: &Gradients<f64>,
        plain: &[f32],
        error_of: &mut ErrorOf<'_>,
    ) -> Result<UpdatedRow, DeviceError> {
        let before = &self.initial.parameters[layer][part as usize];
        let momentum = |index| (self.momentum)(layer, index);
        let gradient = &exact.parts[part as usize];
        let expected = |index: usize| {
            let (before, momentum) = (f64::from(before[index]), f64::from(momentum(index)));
            reference::update(self.training, before, gradient[index], momentum).0
        };
        let error = error_of(layer, part, &expected)?;
        let rounded = |index: usize| reference::update(self.training, before[index], plain[index], momentum(index)).0;
        let rounded: Vec<f32> = (0..plain.len()).map(rounded).collect();
        let by_rounding = relative_error(&rounded, expected, |_| true, 0.0);
        let least_update = f64::from(self.training.learning_rate) * exact.least_norms[part as usize];
        let bound = updated_bound(before, expected, least_update).max(ROUNDINGS * by_rounding).max(self.least_bound);
        let update_share = update_share(before, expected, least_update);
        // The rounding of the parameters themselves is no part of their update.
        let beyond = (by_rounding - phase_bound(Precision::F32)).max(0.0);
        let part_by_rounding = if update_share > 0.0 { beyond / update_share } else { 0.0 };
        Ok(UpdatedRow { layer, part, error, bound, update_share, part_by_rounding })
    }
}

/// Turns the signs that rounding may turn: of numbers nearer to zero than [`ROUNDINGS`] times what this pass is off there. A ReLU
/// behind them hides or shows their gradient, and which of them a device turns is luck. A zero is what a ReLU has hidden.
fn turn_uncertain(exact: &[f64], output: &mut [f32]) {
    for (value, &exact) in output.iter_mut().zip(exact) {
        let off = (f64::from(*value) - exact).abs();
        if exact != 0.0 && *value != 0.0 && exact.abs() < ROUNDINGS * off {
            *value = -exact as f32;
        }
    }
}

/// One step of the reference in one arithmetic.
struct ReferencePass<'a, T> {
    step: &'a WholeStep<'a>,
    labels: &'a [usize],
    image: Vec<T>,
    masks: BTreeMap<usize, Vec<T>>,
    outputs: Vec<Vec<T>>,
    loss: T,
    /// Gradients of layers that the backward pass has not reached.
    gradients: BTreeMap<Source, Vec<T>>,
}

/// Gradients of a layer's weights and biases, and the norms below which they count as cancelled.
struct Gradients<T> {
    parts: [Vec<T>; 2],
    least_norms: [f64; 2],
}

impl<'a, T: Real> ReferencePass<'a, T> {
    /// All that the backward pass needs; `round` changes each layer's output.
    fn forward(step: &'a WholeStep, drawn: &'a Drawn, round: &dyn Fn(usize, &mut [T])) -> ReferencePass<'a, T> {
        let mut pass = ReferencePass {
            step,
            labels: &drawn.labels,
            image: in_reals(&drawn.image),
            masks: drawn.masks.iter().map(|(&layer, mask)| (layer, in_reals(mask))).collect(),
            outputs: Vec::new(),
            loss: T::zero(),
            gradients: BTreeMap::new(),
        };
        for (index, layer) in step.plan.layers.iter().enumerate() {
            let [weights, biases] = Parameter::ALL.map(|part| step.initial.in_reals::<T>(index, part));
            let operands = Operands { weights: &weights, biases: &biases, ..pass.operands(index, layer) };
            let mut output = reference::forward(layer, &operands);
            let loss = reference::loss(layer, &operands);
            pass.loss += loss;
            round(index, &mut output);
            pass.outputs.push(output);
        }
        pass
    }

    /// Gradients of the layer's parameters; those of its inputs are kept for the layers before it.
    fn backward(&mut self, index: usize) -> Gradients<T> {
        let layer = &self.step.plan.layers[index];
        let output_gradient = self.gradients.remove(&Source::Layer(index)).unwrap_or_default();
        let weights = self.step.initial.in_reals::<T>(index, Parameter::Weight);
        let operands = Operands { output_gradient: &output_gradient, weights: &weights, ..self.operands(index, layer) };
        let mut gradients = Gradients { parts: Default::default(), least_norms: [0.0; 2] };
        if layer.has(Phase::BackwardWeights) {
            gradients.least_norms = reference::least_norms(layer, Phase::BackwardWeights, &operands);
            gradients.parts = reference::backward_weights(layer, &operands);
        }
        let mut shares = Vec::new();
        if layer.has(Phase::BackwardData) {
            for (slot, &source) in layer.inputs.iter().enumerate().filter(|&(slot, _)| layer.input_gradients[slot]) {
                shares.push((source, reference::backward_data(layer, slot, &operands)));
            }
        }
        for (source, share) in shares {
            phases::add(&mut self.gradients, source, share);
        }
        gradients
    }

    /// All that the layer reads, but for its parameters and the gradient of its output.
    fn operands(&self, index: usize, layer: &LayerPlan) -> Operands<'_, T> {
        let value = |source: &Source| match *source {
            Source::Image => self.image.as_slice(),
            Source::Layer(of) => self.outputs[of].as_slice(),
        };
        Operands {
            inputs: layer.inputs.iter().map(value).collect(),
            output: self.outputs.get(index).map_or(&[], Vec::as_slice),
            mask: self.masks.get(&index).map(Vec::as_slice),
            labels: self.labels,
            ..Operands::default()
        }
    }
}

fn in_reals<T: Real>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&value| T::of(value)).collect()
}
