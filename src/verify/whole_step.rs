//! The whole step in f64 from the device's initial values: the loss, and the weights after the update.
//!
//! This sees what the phases by themselves cannot: that they are put together into gradient descent on the described network.

use std::collections::BTreeMap;

use super::error::relative_error;
use super::operands::{in_f64, labels};
use super::reference::{self, Operands};
use super::tensor_name::{Parameter, TensorName};
use super::{Check, LEAST_LOSS, LOSS_BOUND, phases, start, updated_bound};
use crate::device::{DeviceError, Session, Tensor, Training};
use crate::model::Source;
use crate::plan::{LayerPlan, Phase, Plan};

/// The parameters before the step, \[weights, biases\] per layer.
pub struct Initial {
    parameters: Vec<[Vec<f32>; 2]>,
}

impl Initial {
    pub fn read(session: &mut dyn Session, plan: &Plan) -> Result<Initial, DeviceError> {
        let mut parameters = vec![Default::default(); plan.layers.len()];
        for (index, layer) in plan.layers.iter().enumerate() {
            for part in Parameter::of(layer) {
                let parameters: &mut [Vec<f32>; 2] = &mut parameters[index];
                parameters[part as usize] = session.read(TensorName::Parameter(index, part).tensor(plan))?;
            }
        }
        Ok(Initial { parameters })
    }

    fn in_f64(&self, layer: usize, part: Parameter) -> Vec<f64> {
        self.parameters[layer][part as usize].iter().copied().map(f64::from).collect()
    }
}

pub struct WholeStep<'a> {
    pub plan: &'a Plan,
    pub training: &'a Training,
    pub initial: Initial,
}

/// The forward pass: all that the backward pass needs.
struct Activations {
    image: Vec<f64>,
    labels: Vec<usize>,
    outputs: Vec<Vec<f64>>,
    /// Dropout's masks, by layer.
    masks: BTreeMap<usize, Vec<f64>>,
    loss: f64,
}

impl WholeStep<'_> {
    /// To be called after the device's step, whose masks it takes. One row for the loss, then two per layer with weights.
    pub fn check(&self, session: &mut dyn Session) -> Result<Vec<Check>, DeviceError> {
        let activations = self.forward(session)?;
        let loss = session.read(Tensor::Loss)?;
        let error = relative_error(&loss, |_| activations.loss, |_| true, LEAST_LOSS);
        let mut rows = vec![Check::new(self.plan, self.plan.loss(), None, TensorName::Loss, error, LOSS_BOUND)];
        let mut updates = self.backward(session, &activations)?;
        updates.sort_by_key(|&(layer, _)| layer);
        rows.extend(updates.into_iter().map(|(_, row)| row));
        Ok(rows)
    }

    fn forward(&self, session: &mut dyn Session) -> Result<Activations, DeviceError> {
        let mut activations = Activations {
            image: in_f64(session, Tensor::Input)?,
            labels: labels(session)?,
            outputs: Vec::new(),
            masks: BTreeMap::new(),
            loss: f64::NAN,
        };
        for (index, layer) in self.plan.layers.iter().enumerate() {
            if layer.kind.has_mask() && self.training.dropout {
                activations.masks.insert(index, in_f64(session, Tensor::Mask(index))?);
            }
            let [weights, biases] = Parameter::ALL.map(|part| self.initial.in_f64(index, part));
            let operands = Operands { weights: &weights, biases: &biases, ..activations.operands(index, layer) };
            let output = reference::forward(layer, &operands);
            if layer.kind.is_loss() {
                activations.loss = reference::loss(&operands);
            }
            activations.outputs.push(output);
        }
        Ok(activations)
    }

    /// Gradients from the loss back to the image; each layer's weights are updated and compared as soon as it is reached.
    fn backward(
        &self,
        session: &mut dyn Session,
        activations: &Activations,
    ) -> Result<Vec<(usize, Check)>, DeviceError> {
        let mut gradients: BTreeMap<Source, Vec<f64>> = BTreeMap::new();
        let mut rows = Vec::new();
        for (index, layer) in self.plan.layers.iter().enumerate().rev() {
            let output_gradient = gradients.remove(&Source::Layer(index)).unwrap_or_default();
            let operands = Operands { output_gradient: &output_gradient, ..activations.operands(index, layer) };
            if layer.has(Phase::BackwardWeights) {
                let least_norms = reference::least_norms(layer, Phase::BackwardWeights, &operands);
                let gradients = reference::backward_weights(layer, &operands).into_iter().zip(least_norms);
                for (part, (gradient, least_norm)) in Parameter::ALL.into_iter().zip(gradients) {
                    if !gradient.is_empty() {
                        rows.push((index, self.compare_updated(session, index, part, &gradient, least_norm)?));
                    }
                }
            }
            if layer.has(Phase::BackwardData) {
                let weights = self.initial.in_f64(index, Parameter::Weight);
                let operands = Operands { weights: &weights, ..operands };
                for (slot, &source) in layer.inputs.iter().enumerate().filter(|&(slot, _)| layer.input_gradients[slot])
                {
                    phases::add(&mut gradients, source, reference::backward_data(layer, slot, &operands));
                }
            }
        }
        Ok(rows)
    }

    fn compare_updated(
        &self,
        session: &mut dyn Session,
        layer: usize,
        part: Parameter,
        gradient: &[f64],
        least_norm: f64,
    ) -> Result<Check, DeviceError> {
        let key = TensorName::Updated(layer, part);
        let actual = session.read(key.tensor(self.plan))?;
        let before = &self.initial.parameters[layer][part as usize];
        let expected = |index: usize| {
            let momentum = f64::from(start::momentum(self.training.seed, layer, index));
            reference::update(self.training, f64::from(before[index]), gradient[index], momentum).0
        };
        let error = relative_error(&actual, expected, |_| true, 0.0);
        let least_update = f64::from(self.training.learning_rate) * least_norm;
        Ok(Check::new(self.plan, layer, None, key, error, updated_bound(before, expected, least_update)))
    }
}

impl Activations {
    /// All that the layer reads, but for its parameters and the gradient of its output.
    fn operands(&self, index: usize, layer: &LayerPlan) -> Operands<'_> {
        let value = |source: &Source| match *source {
            Source::Image => self.image.as_slice(),
            Source::Layer(of) => self.outputs[of].as_slice(),
        };
        Operands {
            inputs: layer.inputs.iter().map(value).collect(),
            output: self.outputs.get(index).map_or(&[], Vec::as_slice),
            mask: self.masks.get(&index).map(Vec::as_slice),
            labels: &self.labels,
            ..Operands::default()
        }
    }
}
