//! A step run operation by operation beside an exported one.
//!
//! To check each phase by itself, a tensor is replaced by the file's as soon as it is complete and compared: every later
//! reader, forward or backward, then works on what the other framework had. Each tensor is replaced right after the
//! operation that completes it, which lies within its life: activations and gradients share memory.

use std::collections::{BTreeSet, HashMap};

use anyhow::Result;

use super::contents::Exported;
use crate::device::Session;
use crate::model::{Kind, Source};
use crate::plan::Precision;
use crate::plan::{LayerPlan, Phase};
use crate::step::{Op, Step};
use crate::verify::error::relative_error;
use crate::verify::operands::DeviceOperands;
use crate::verify::tensor_name::{Parameter, TensorName, memory_of};
use crate::verify::{Check, GRADIENT_BOUND, LEAST_LOSS, LOSS_BOUND, phase_bound, reference, step_bound, updated_bound};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PassScope {
    /// Tensors whose phase had all its operands from the file.
    EachPhase,
    /// The loss and the updated parameters, and what could not be checked by its phase alone.
    WholeStep,
}

pub struct ExportedPass<'a> {
    pub step: &'a Step,
    pub exported: &'a mut Exported,
    pub scope: PassScope,
    /// How far rounding may move tensors of the whole step, as far as it was measured.
    pub rounding: HashMap<TensorName, f64>,
    pub first_maximum_wins: bool,
    pub precision: Precision,
}

/// Facts about results that are known before their operations run.
#[derive(Default)]
struct Caveats {
    /// Norms below which a gradient counts as cancelled, see [`reference::least_norms`].
    least_norms: HashMap<TensorName, f64>,
    /// Elements whose gradient is a matter of choice.
    ties: HashMap<TensorName, Vec<bool>>,
}

impl ExportedPass<'_> {
    pub fn run(&mut self, session: &mut dyn Session) -> Result<Vec<Check>> {
        let mut rows = Vec::new();
        let mut caveats = Caveats::default();
        session.begin()?;
        for &op in &self.step.ops {
            if self.scope == PassScope::EachPhase && op.phase == Phase::WeightUpdate {
                self.replace_gradients(session, op.layer)?;
            }
            self.note_caveats(session, op, &mut caveats)?;
            session.run(op)?;
            for key in self.completed(op) {
                rows.extend(self.meet(session, op, key, &caveats)?);
            }
        }
        session.end()?;
        Ok(rows)
    }

    /// Compares a complete tensor with the file's, and puts that in its place.
    fn meet(&mut self, session: &mut dyn Session, op: Op, key: TensorName, caveats: &Caveats) -> Result<Option<Check>> {
        let compares = match self.scope {
            PassScope::EachPhase => self.by_itself(key),
            PassScope::WholeStep => !self.by_itself(key) || matches!(key, TensorName::Loss | TensorName::Updated(..)),
        };
        let replaces =
            self.scope == PassScope::EachPhase && matches!(key, TensorName::Output(_) | TensorName::OutputGradient(_));
        if !self.exported.has(key) || !(compares || replaces) {
            return Ok(None);
        }
        let tensor = key.tensor(&self.step.plan);
        let expected = self.exported.values(key)?;
        let row = match compares {
            true => {
                let by_rounding = self.rounding.get(&key).copied().unwrap_or(0.0);
                let bound = self.bound(key, &expected, caveats)?.max(by_rounding);
                let check = self.compare(op, key, &session.read(tensor)?, &expected, bound, caveats);
                Some(match self.scope {
                    PassScope::EachPhase => check.by(session.algorithm(op)),
                    PassScope::WholeStep => Check { bound: check.bound.max(step_bound(session, self.step)), ..check },
                })
            }
            false => None,
        };
        if replaces {
            session.fill(tensor, &|index| expected[index])?;
        }
        Ok(row)
    }

    fn compare(
        &self,
        op: Op,
        key: TensorName,
        actual: &[f32],
        expected: &[f32],
        bound: f64,
        caveats: &Caveats,
    ) -> Check {
        let least_norm = match key {
            TensorName::Loss => LEAST_LOSS,
            _ => caveats.least_norms.get(&key).copied().unwrap_or(0.0),
        };
        let ties = caveats.ties.get(&key);
        let counted = |index: usize| ties.is_none_or(|ties| !ties[index]);
        let error = relative_error(actual, |index| f64::from(expected[index]), counted, least_norm);
        let phase = (self.scope == PassScope::EachPhase).then_some(op.phase);
        Check::new(&self.step.plan, op.layer, phase, key, error, bound)
    }

    fn bound(&mut self, key: TensorName, expected: &[f32], caveats: &Caveats) -> Result<f64> {
        Ok(match (self.scope, key) {
            (PassScope::EachPhase, _) => phase_bound(self.precision),
            (PassScope::WholeStep, TensorName::Updated(layer, part)) => {
                let before = self.exported.values(TensorName::Parameter(layer, part))?;
                let least_gradient =
                    caveats.least_norms.get(&TensorName::Gradient(layer, part)).copied().unwrap_or(0.0);
                let least_update = f64::from(self.exported.training.learning_rate) * least_gradient;
                updated_bound(&before, |index| f64::from(expected[index]), least_update)
            }
            (
                PassScope::WholeStep,
                TensorName::OutputGradient(_) | TensorName::ImageGradient | TensorName::Gradient(..),
            ) => GRADIENT_BOUND,
            (PassScope::WholeStep, _) => LOSS_BOUND,
        })
    }

    /// The weight update by itself starts from the file's gradients.
    fn replace_gradients(&mut self, session: &mut dyn Session, layer: usize) -> Result<()> {
        for key in Parameter::of(self.layer(layer)).map(|part| TensorName::Gradient(layer, part)) {
            if self.exported.has(key) {
                let gradient = self.exported.values(key)?;
                session.fill(key.tensor(&self.step.plan), &|index| gradient[index])?;
            }
        }
        Ok(())
    }

    fn note_caveats(&self, session: &mut dyn Session, op: Op, caveats: &mut Caveats) -> Result<()> {
        let layer = self.layer(op.layer);
        let backward_data = op.phase == Phase::BackwardData
            && matches!(layer.kind, Kind::BatchNorm(_) | Kind::LayerNorm(_) | Kind::MaxPool(_));
        if !backward_data && op.phase != Phase::BackwardWeights {
            return Ok(());
        }
        let operands = DeviceOperands::read(session, &self.step.plan, op)?;
        let operands = operands.lend(&[]);
        let least_norms = reference::least_norms(layer, op.phase, &operands);
        if op.phase == Phase::BackwardWeights {
            let keys = Parameter::ALL.map(|part| TensorName::Gradient(op.layer, part));
            caveats.least_norms.extend(keys.into_iter().zip(least_norms));
            return Ok(());
        }
        let gradient = TensorName::gradient_of(layer.inputs[0]);
        *caveats.least_norms.entry(gradient).or_default() += least_norms[0];
        let x = operands.inputs[0];
        for (index, tied) in reference::ties(layer, x).into_iter().flatten().enumerate() {
            // Values that differ in f64 may be equal in f32; only zeros, of a ReLU, are surely the same for both.
            if tied && (x[index] != 0.0 || !self.first_maximum_wins) {
                caveats.ties.entry(gradient).or_insert_with(|| vec![false; x.len()])[index] = true;
            }
        }
        Ok(())
    }

    /// The tensors that are complete once an operation has run, under all their names.
    fn completed(&self, op: Op) -> Vec<TensorName> {
        let (plan, layer) = (&self.step.plan, self.layer(op.layer));
        match op.phase {
            Phase::Forward if op.layer == plan.loss() => vec![TensorName::Output(op.layer), TensorName::Loss],
            Phase::Forward => self.exported.output_keys(op.layer).collect(),
            Phase::BackwardWeights => Parameter::of(layer).map(|part| TensorName::Gradient(op.layer, part)).collect(),
            Phase::AllReduce | Phase::LossScale => Vec::new(),
            Phase::WeightUpdate => Parameter::of(layer).map(|part| TensorName::Updated(op.layer, part)).collect(),
            Phase::BackwardData => {
                // What hangs on the image alone has no gradient here, though PyTorch may have given it one.
                let wanted = layer.inputs.iter().zip(&layer.input_gradients).filter(|(_, wanted)| **wanted);
                let sources: BTreeSet<Source> = wanted.map(|(source, _)| *source).collect();
                let last = |source: &Source| self.readers(*source).next() == Some(op.layer);
                let complete = sources.into_iter().filter(last);
                complete.flat_map(|source| self.exported.gradient_keys(source)).collect()
            }
        }
    }

    /// Tells if all that the tensor's phase reads is the file's.
    fn by_itself(&self, key: TensorName) -> bool {
        let plan = &self.step.plan;
        let inputs = |layer: usize| plan.layers[layer].inputs.iter().all(|&source| self.exported.has_output(source));
        let backward = |source: Source| {
            self.readers(source).all(|reader| {
                let output = plan.layers[reader].kind.is_loss() || self.exported.has_output(Source::Layer(reader));
                output && inputs(reader) && self.exported.has_gradient(reader)
            })
        };
        match key {
            TensorName::Output(layer) => inputs(layer),
            TensorName::Loss => {
                let losses = plan.layers.iter().enumerate().filter(|(_, layer)| layer.kind.is_loss());
                losses.into_iter().all(|(index, _)| inputs(index))
            }
            TensorName::Gradient(layer, _) => inputs(layer) && self.exported.has_gradient(layer),
            TensorName::OutputGradient(layer) => backward(memory_of(plan, layer)),
            TensorName::ImageGradient => backward(Source::Image),
            TensorName::Updated(layer, part) => self.exported.has(TensorName::Gradient(layer, part)),
            TensorName::Input | TensorName::Labels | TensorName::Parameter(..) | TensorName::Momentum(..) => false,
        }
    }

    /// The layers that read a source, the first one last in the backward pass.
    fn readers(&self, source: Source) -> impl Iterator<Item = usize> + '_ {
        let layers = self.step.plan.layers.iter().enumerate();
        let reads = move |layer: &LayerPlan| !layer.kind.is_view() && layer.inputs.contains(&source);
        layers.filter(move |(_, layer)| reads(layer)).map(|(index, _)| index)
    }

    fn layer(&self, index: usize) -> &LayerPlan {
        &self.step.plan.layers[index]
    }
}
