//! Phase by phase: each result of a device against f64 arithmetic on the device's own operands.
//!
//! So a rounding that flips a ReLU or the maximum of a window is no error downstream: the next phase's expectation starts
//! from what the device itself has.

use std::collections::BTreeMap;

use super::error::relative_error;
use super::operands::{DeviceOperands, in_f64, labels};
use super::reference::{self, Operands, Real};
use super::tensor_name::{Parameter, TensorName, gradient};
use super::{Check, LEAST_LOSS};
use crate::device::{DeviceError, Session, Training};
use crate::model::Source;
use crate::plan::{LayerPlan, Phase, Plan};
use crate::step::{Op, Step};

pub struct PhaseCheck<'a> {
    pub step: &'a Step,
    pub training: &'a Training,
    pub bound: f64,
    /// Compares ties of max pooling: the device gives the gradient to the first of equal maxima.
    pub first_maximum_wins: bool,
}

/// The expected value of a tensor.
struct Expected {
    key: TensorName,
    values: Vec<f64>,
    least_norm: f64,
}

impl PhaseCheck<'_> {
    /// Runs one step operation by operation; one row per result, in the step's order.
    pub fn run(&self, session: &mut dyn Session) -> Result<Vec<Check>, DeviceError> {
        let labels = labels(session)?;
        let (mut rows, mut loss) = (Vec::new(), 0.0);
        session.begin()?;
        for &op in &self.step.ops {
            let checks = match op.phase {
                Phase::Forward => self.forward(session, op, &labels, &mut loss)?,
                Phase::BackwardData => self.backward_data(session, op, &labels)?,
                Phase::BackwardWeights => self.backward_weights(session, op)?,
                // What they decide shows in the weight updates.
                Phase::AllReduce | Phase::LossScale => {
                    session.run(op)?;
                    Vec::new()
                }
                Phase::WeightUpdate => self.weight_update(session, op)?,
            };
            rows.extend(checks.into_iter().map(|check| check.by(session.algorithm(op))));
        }
        session.end()?;
        Ok(rows)
    }

    /// `loss` is that of the losses so far; the last one shows if all are right.
    fn forward(
        &self,
        session: &mut dyn Session,
        op: Op,
        labels: &[usize],
        loss: &mut f64,
    ) -> Result<Vec<Check>, DeviceError> {
        let (operands, _) = self.run_op(session, op)?;
        let (layer, operands) = (self.layer(op), operands.lend(labels));
        let output = Expected {
            key: TensorName::Output(op.layer),
            values: reference::forward(layer, &operands),
            least_norm: 0.0,
        };
        let mut rows = vec![self.compare(session, op, output, None)?];
        *loss += reference::loss(layer, &operands);
        if op.layer == self.plan().loss() {
            let total = Expected { key: TensorName::Loss, values: vec![*loss], least_norm: LEAST_LOSS };
            rows.push(self.compare(session, op, total, None)?);
        }
        Ok(rows)
    }

    /// One row per source whose gradient the layer writes or adds to.
    fn backward_data(&self, session: &mut dyn Session, op: Op, labels: &[usize]) -> Result<Vec<Check>, DeviceError> {
        let layer = self.layer(op);
        let before = self.accumulated(session, layer)?;
        let (operands, ties) = self.run_op(session, op)?;
        let operands = operands.lend(labels);
        let least_norm = reference::least_norms(layer, op.phase, &operands)[0];
        let mut rows = Vec::new();
        for (source, values) in self.input_gradients(layer, &operands, before) {
            let expected = Expected { key: TensorName::gradient_of(source), values, least_norm };
            rows.push(self.compare(session, op, expected, ties.as_deref())?);
        }
        Ok(rows)
    }

    fn backward_weights(&self, session: &mut dyn Session, op: Op) -> Result<Vec<Check>, DeviceError> {
        let (operands, _) = self.run_op(session, op)?;
        let (layer, operands) = (self.layer(op), operands.lend(&[]));
        let least_norms = reference::least_norms(layer, op.phase, &operands);
        let gradients = reference::backward_weights(layer, &operands);
        let mut rows = Vec::new();
        for (part, (values, least_norm)) in Parameter::ALL.into_iter().zip(gradients.into_iter().zip(least_norms)) {
            if Parameter::of(layer).any(|existing| existing == part) {
                let expected = Expected { key: TensorName::Gradient(op.layer, part), values, least_norm };
                rows.push(self.compare(session, op, expected, None)?);
            }
        }
        Ok(rows)
    }

    fn weight_update(&self, session: &mut dyn Session, op: Op) -> Result<Vec<Check>, DeviceError> {
        let mut read = |key: TensorName| session.read(key.tensor(&self.step.plan));
        let mut before = Vec::new();
        for part in Parameter::of(self.layer(op)) {
            let weights = read(TensorName::Parameter(op.layer, part))?;
            before.push((
                part,
                weights,
                read(TensorName::Gradient(op.layer, part))?,
                read(TensorName::Momentum(op.layer, part))?,
            ));
        }
        session.run(op)?;
        let mut rows = Vec::new();
        for (part, weights, gradients, momentum) in before {
            let updated = |index: usize| {
                let at = |values: &[f32]| f64::from(values[index]);
                reference::update(self.training, at(&weights), at(&gradients), at(&momentum))
            };
            let weight: &dyn Fn(usize) -> f64 = &|index| updated(index).0;
            let velocity: &dyn Fn(usize) -> f64 = &|index| updated(index).1;
            for (key, expected) in
                [(TensorName::Updated(op.layer, part), weight), (TensorName::Momentum(op.layer, part), velocity)]
            {
                let actual = session.read(key.tensor(&self.step.plan))?;
                rows.push(self.row(op, key, relative_error(&actual, expected, |_| true, 0.0)));
            }
        }
        Ok(rows)
    }

    /// Reads the operands, runs the operation, and finds the ties that are not to be compared.
    fn run_op(&self, session: &mut dyn Session, op: Op) -> Result<(DeviceOperands, Option<Vec<bool>>), DeviceError> {
        let plan = &self.step.plan;
        let mut operands = DeviceOperands::read(session, plan, op)?;
        session.run(op)?;
        if self.training.dropout {
            operands.read_mask(session, plan, op)?;
        }
        let undecided = op.phase == Phase::BackwardData && !self.first_maximum_wins;
        let ties = match operands.lend(&[]).inputs.first() {
            Some(x) if undecided => reference::ties(self.layer(op), x),
            _ => None,
        };
        Ok((operands, ties))
    }

    /// Gradients that the layer will add to, as they are before.
    fn accumulated(
        &self,
        session: &mut dyn Session,
        layer: &LayerPlan,
    ) -> Result<BTreeMap<Source, Vec<f64>>, DeviceError> {
        let mut before = BTreeMap::new();
        for (&source, &accumulate) in layer.inputs.iter().zip(&layer.accumulate) {
            // The second of two equal inputs adds to what the first wrote.
            let first = layer.inputs.iter().position(|&other| other == source);
            if accumulate && first.is_some_and(|first| layer.accumulate[first]) && !before.contains_key(&source) {
                before.insert(source, in_f64(session, gradient(source))?);
            }
        }
        Ok(before)
    }

    /// The gradients of a layer's inputs: its own share, input by input, on top of what was there before.
    fn input_gradients(
        &self,
        layer: &LayerPlan,
        operands: &Operands,
        before: BTreeMap<Source, Vec<f64>>,
    ) -> BTreeMap<Source, Vec<f64>> {
        let mut totals = before;
        for (slot, &source) in layer.inputs.iter().enumerate().filter(|&(slot, _)| layer.input_gradients[slot]) {
            add(&mut totals, source, reference::backward_data(layer, slot, operands));
        }
        totals
    }

    fn compare(
        &self,
        session: &mut dyn Session,
        op: Op,
        expected: Expected,
        left_out: Option<&[bool]>,
    ) -> Result<Check, DeviceError> {
        let Expected { key, values, least_norm } = expected;
        let actual = session.read(key.tensor(&self.step.plan))?;
        let counted = |index: usize| left_out.is_none_or(|left_out| !left_out[index]);
        Ok(self.row(op, key, relative_error(&actual, |index| values[index], counted, least_norm)))
    }

    fn row(&self, op: Op, key: TensorName, error: f64) -> Check {
        Check::new(&self.step.plan, op.layer, Some(op.phase), key, error, self.bound)
    }

    fn layer(&self, op: Op) -> &LayerPlan {
        &self.plan().layers[op.layer]
    }

    fn plan(&self) -> &Plan {
        &self.step.plan
    }
}

/// Adds a share of a source's gradient to what the others gave.
pub fn add<T: Real>(totals: &mut BTreeMap<Source, Vec<T>>, source: Source, share: Vec<T>) {
    match totals.entry(source) {
        std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(share)),
        std::collections::btree_map::Entry::Occupied(mut entry) => {
            entry.get_mut().iter_mut().zip(share).for_each(|(total, share)| *total += share);
        }
    }
}
