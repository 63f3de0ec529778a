//! A device made of the f64 reference, for tests of what is around it. Its results are rounded to f32, its activations share an arena as
//! the plan lays it out, and it can be told to go wrong.

use std::collections::HashMap;
use std::time::Duration;

use super::operands::DeviceOperands;
use super::reference::{self};
use super::tensor_name::{Parameter, TensorName, gradient, value};
use crate::device::options::{Launch, Layout};
use crate::device::{Ceilings, Device, DeviceError, DeviceInfo, Session, Tensor, Training, Work};
use crate::model::{Kind, Source};
use crate::philox::{Philox, RandomStream};
use crate::plan::{Phase, Plan, Precision};
use crate::step::{Op, Runner, Step};

/// A mistake that the device makes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mistake {
    /// Results of an operation are multiplied by this.
    Scales(Op, f32),
    /// Elements of every layer's output are off by this part of their deviation, up and down in turn.
    Rounds(f32),
    /// One element of an operation's result is NaN.
    Nan(Op),
    /// An operation overwrites what it reads, and then works on that.
    Clobbers(Op),
    /// Parameter gradients are added to those of the step before.
    KeepsGradients,
    /// Dropout keeps what it drops in the backward pass.
    ForgetsMasks,
    LearningRate(f32),
    Momentum(f32),
    WeightDecay(f32),
}

pub struct TestDevice {
    info: DeviceInfo,
    fault: Option<Mistake>,
    last_maximum_wins: bool,
}

impl TestDevice {
    /// A device that goes wrong like this.
    pub fn with_fault(fault: Option<Mistake>) -> TestDevice {
        TestDevice { info: info(true), fault, last_maximum_wins: false }
    }

    /// A device on which the last of equal maxima wins, and that says so or does not.
    pub fn whose_last_maximum_wins(says_so: bool) -> TestDevice {
        TestDevice { info: info(!says_so), fault: None, last_maximum_wins: true }
    }
}

fn info(first_maximum_wins: bool) -> DeviceInfo {
    DeviceInfo {
        name: "test".into(),
        facts: Vec::new(),
        precision: Precision::F32,
        layout: Layout::Nchw,
        launch: Launch::Direct,
        threads: None,
        default_batches: &[1],
        options: Default::default(),
        environment: Default::default(),
        first_maximum_wins,
    }
}

struct TestSession {
    step: Step,
    training: Training,
    fault: Option<Mistake>,
    last_maximum_wins: bool,
    arena: Vec<f32>,
    /// Tensors that are not in the arena.
    own: HashMap<Tensor, Vec<f32>>,
    steps: u64,
}

impl Device for TestDevice {
    fn info(&self) -> &DeviceInfo {
        &self.info
    }

    fn with_session(&self, step: &Step, mut training: Training, work: Work) -> Result<(), DeviceError> {
        match self.fault {
            Some(Mistake::LearningRate(value)) => training.learning_rate = value,
            Some(Mistake::Momentum(value)) => training.momentum = value,
            Some(Mistake::WeightDecay(value)) => training.weight_decay = value,
            _ => (),
        }
        work(&mut TestSession {
            step: step.clone(),
            training,
            fault: self.fault,
            last_maximum_wins: self.last_maximum_wins,
            arena: vec![f32::NAN; step.arena.elements],
            own: HashMap::new(),
            steps: 0,
        });
        Ok(())
    }

    fn used_bytes(&self) -> Option<u64> {
        None
    }

    fn ceilings(&self, _longest: Duration) -> Result<Ceilings, DeviceError> {
        Ok(Ceilings { gemm_flops_per_s: 1.0, copy_bytes_per_s: 1.0, copied_bytes: None })
    }
}

impl Runner for TestSession {
    type Error = DeviceError;

    fn begin(&mut self) -> Result<(), DeviceError> {
        self.steps += 1;
        let philox = Philox::new(self.training.seed + self.steps);
        for (index, layer) in self.step.plan.layers.iter().enumerate() {
            if let Kind::Dropout(dropout) = &layer.kind {
                let kept = |element| philox.uniform(RandomStream::Weights(index), element) >= dropout.p;
                let mask =
                    (0..layer.output.elements()).map(|element| f32::from(kept(element) || !self.training.dropout));
                self.own.insert(Tensor::Mask(index), mask.collect());
            }
        }
        Ok(())
    }

    fn mark(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    fn run(&mut self, op: Op) -> Result<(), DeviceError> {
        let plan = self.step.plan.clone();
        if self.fault == Some(Mistake::Clobbers(op)) {
            let read = if op.phase == Phase::Forward {
                value(plan.layers[op.layer].inputs[0])
            } else {
                gradient(Source::Layer(op.layer))
            };
            let before = self.read(read)?;
            self.fill(read, &|index| before[index] + (index % 3) as f32)?;
        }
        for (tensor, mut values) in self.results(&plan, op)? {
            match self.fault {
                Some(Mistake::Scales(at, factor)) if at == op => values.iter_mut().for_each(|value| *value *= factor),
                Some(Mistake::Rounds(part)) if op.phase == Phase::Forward => {
                    let square: f32 = values.iter().map(|value| value * value).sum();
                    let off = part * (square / values.len() as f32).sqrt();
                    let signs = [off, -off].into_iter().cycle();
                    values.iter_mut().zip(signs).for_each(|(value, off)| *value += off);
                }
                Some(Mistake::Nan(at)) if at == op => values.iter_mut().take(1).for_each(|value| *value = f32::NAN),
                _ => (),
            }
            self.fill(tensor, &|index| values[index])?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Vec<f64>, DeviceError> {
        Ok(Vec::new())
    }
}

impl Session for TestSession {
    fn fill(&mut self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), DeviceError> {
        let elements = self.elements(tensor);
        match self.offset(tensor) {
            Some(offset) => (0..elements).for_each(|index| self.arena[offset + index] = value(index)),
            None => drop(self.own.insert(tensor, (0..elements).map(value).collect())),
        }
        Ok(())
    }

    fn read(&mut self, tensor: Tensor) -> Result<Vec<f32>, DeviceError> {
        let elements = self.elements(tensor);
        Ok(match self.offset(tensor) {
            Some(offset) => self.arena[offset..][..elements].to_vec(),
            None => self.own.get(&tensor).cloned().unwrap_or_else(|| vec![f32::NAN; elements]),
        })
    }

    fn algorithm(&self, _: Op) -> Option<crate::device::Algorithm> {
        None
    }

    fn planned_bytes(&self) -> u64 {
        0
    }
}

impl TestSession {
    /// The place of a tensor in the arena, for those that are there.
    fn offset(&self, tensor: Tensor) -> Option<usize> {
        let layout = &self.step.arena;
        let planned = match tensor {
            Tensor::Output(layer) => layout.value(layer),
            Tensor::OutputGradient(layer) => layout.gradient(Source::Layer(layer)),
            Tensor::InputGradient => layout.gradient(Source::Image),
            _ => return None,
        };
        Some(planned.unwrap_or_else(|| panic!("the plan has no {tensor:?}")))
    }

    fn elements(&self, tensor: Tensor) -> usize {
        let plan = &self.step.plan;
        let layer = |index: usize| &plan.layers[index];
        match tensor {
            Tensor::Input | Tensor::InputGradient => plan.input.elements(),
            Tensor::Labels => plan.batch,
            Tensor::Loss => 1,
            Tensor::Output(index) | Tensor::OutputGradient(index) | Tensor::Mask(index) => {
                layer(index).output.elements()
            }
            Tensor::Weight(index) | Tensor::WeightGradient(index) | Tensor::WeightMomentum(index) => {
                layer(index).weights as usize
            }
            Tensor::Bias(index) | Tensor::BiasGradient(index) | Tensor::BiasMomentum(index) => {
                layer(index).biases as usize
            }
        }
    }

    /// The results of an operation, in the order of writing.
    fn results(&mut self, plan: &Plan, op: Op) -> Result<Vec<(Tensor, Vec<f32>)>, DeviceError> {
        let layer = &plan.layers[op.layer];
        let labels = super::operands::labels(self)?;
        let mut operands = DeviceOperands::read(self, plan, op)?;
        if !(self.fault == Some(Mistake::ForgetsMasks) && op.phase == Phase::BackwardData) && self.training.dropout {
            operands.read_mask(self, plan, op)?;
        }
        let operands = operands.lend(&labels);
        match op.phase {
            Phase::Forward => {
                let mut results = vec![(Tensor::Output(op.layer), rounded(reference::forward(layer, &operands)))];
                if layer.kind.is_loss() {
                    results.push((Tensor::Loss, vec![reference::loss(layer, &operands) as f32]));
                }
                Ok(results)
            }
            Phase::BackwardWeights => {
                let [weights, biases] = reference::backward_weights(layer, &operands).map(rounded);
                let results = [(Tensor::WeightGradient(op.layer), weights), (Tensor::BiasGradient(op.layer), biases)];
                results.into_iter().map(|(tensor, values)| self.kept(tensor, values)).collect()
            }
            Phase::BackwardData => {
                let mut totals: HashMap<Source, Vec<f32>> = HashMap::new();
                for (slot, &source) in layer.inputs.iter().enumerate().filter(|&(slot, _)| layer.input_gradients[slot])
                {
                    let mut share = reference::backward_data(layer, slot, &operands);
                    if self.last_maximum_wins {
                        give_ties_to_the_last(&mut share, layer, &operands);
                    }
                    let before = match (layer.accumulate[slot], totals.remove(&source)) {
                        (true, Some(before)) => before,
                        (true, None) => self.read(gradient(source))?,
                        (false, _) => vec![0.0; share.len()],
                    };
                    totals.insert(source, share.iter().zip(before).map(|(a, b)| (a + f64::from(b)) as f32).collect());
                }
                Ok(totals.into_iter().map(|(source, total)| (gradient(source), total)).collect())
            }
            Phase::AllReduce | Phase::LossScale => Ok(Vec::new()),
            Phase::WeightUpdate => self.update(plan, op.layer),
        }
    }

    fn kept(&mut self, tensor: Tensor, mut values: Vec<f32>) -> Result<(Tensor, Vec<f32>), DeviceError> {
        if self.fault == Some(Mistake::KeepsGradients) {
            let before = self.own.get(&tensor).cloned().unwrap_or_else(|| vec![0.0; values.len()]);
            values.iter_mut().zip(before).for_each(|(value, before)| *value += before);
        }
        Ok((tensor, values))
    }

    fn update(&mut self, plan: &Plan, layer: usize) -> Result<Vec<(Tensor, Vec<f32>)>, DeviceError> {
        let mut results = Vec::new();
        for part in Parameter::of(&plan.layers[layer]) {
            let keys = [
                TensorName::Parameter(layer, part),
                TensorName::Gradient(layer, part),
                TensorName::Momentum(layer, part),
            ];
            let [weight, gradient, momentum] = keys.map(|key| self.read(key.tensor(plan)));
            let (weight, gradient, momentum) = (weight?, gradient?, momentum?);
            let updated = |index: usize| {
                let at = |values: &[f32]| f64::from(values[index]);
                reference::update(&self.training, at(&weight), at(&gradient), at(&momentum))
            };
            results.push((keys[0].tensor(plan), (0..weight.len()).map(|index| updated(index).0 as f32).collect()));
            results.push((keys[2].tensor(plan), (0..weight.len()).map(|index| updated(index).1 as f32).collect()));
        }
        Ok(results)
    }
}

fn rounded(values: Vec<f64>) -> Vec<f32> {
    values.into_iter().map(|value| value as f32).collect()
}

/// Moves the gradient of every all-equal window (2×2, not overlapping) from its first element to its last.
fn give_ties_to_the_last(dx: &mut [f64], layer: &crate::plan::LayerPlan, operands: &reference::Operands) {
    let (Kind::MaxPool(_), width) = (&layer.kind, layer.input().w) else { return };
    let x = operands.inputs[0];
    for at in 0..dx.len() {
        let (last, first_of_window) = (at + width + 1, at % 2 == 0 && at / width % 2 == 0);
        if first_of_window && [at + 1, at + width, last].iter().all(|&other| x[other] == x[at]) {
            dx[last] = std::mem::take(&mut dx[at]);
        }
    }
}
