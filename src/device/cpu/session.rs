//! A step made real on the CPU: one arena for activations and their gradients, one buffer each for parameters, gradients and
//! momentum, and what each layer keeps for itself.

use std::ops::Range;
use std::time::Instant;

use smallvec::SmallVec;

use super::arena::writing;
use super::buffer::Buffer;
use super::layer::{Layer, Setting};
use super::simd::Isa;
use super::{add, concat, relu, sgd, softmax_loss};
use crate::device::options::Layout;
use crate::device::order::Orders;
use crate::device::{DeviceError, Training};
use crate::model::Source;
use crate::plan::{LayerPlan, Phase};
use crate::step::{Op, Step};

pub struct CpuSession {
    pub(super) step: Step,
    training: Training,
    /// How many steps have begun: each has dropout masks of its own.
    pub(super) begun: u32,
    pub(super) orders: Orders,
    pub(super) layers: Vec<Layer>,
    /// [`crate::step::memory::ArenaLayout`]'s arena, and behind it the images.
    pub(super) arena: Buffer,
    pub(super) parameters: Buffer,
    pub(super) gradients: Buffer,
    pub(super) momentum: Buffer,
    /// Where each layer's weights begin in the three above; its biases follow.
    parameter_starts: Vec<usize>,
    pub(super) labels: Vec<u32>,
    pub(super) loss: f64,
    /// Scratch for whichever layer is at work.
    pub(super) workspace: Buffer,
    pub(super) marks: Vec<Instant>,
}

impl CpuSession {
    /// Must run inside the pool whose threads will do the work. Refuses, before allocating, what `available` bytes cannot hold.
    pub fn open(step: &Step, training: Training, available: u64) -> Result<CpuSession, DeviceError> {
        let plan = &step.plan;
        let fits = |needed: u64| match needed <= available {
            true => Ok(()),
            false => Err(DeviceError::OutOfMemory { needed, available }),
        };
        let footprint = step.arena.footprint(plan).total();
        fits(footprint)?;
        let orders = Orders::new(plan, Layout::Nhwc)?;
        let setting = Setting { threads: rayon::current_num_threads(), isa: Isa::detect(), seed: training.seed };
        let layers = plan
            .layers
            .iter()
            .enumerate()
            .map(|(index, layer)| Layer::new(index, layer, orders.of(layer.inputs[0]), &setting));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        let scratch = layers.iter().map(Layer::workspace_floats).max().unwrap_or(0);
        fits(footprint + 4 * scratch as u64)?;
        let parameters = plan.parameters() as usize;
        Ok(CpuSession {
            training,
            begun: 0,
            orders,
            layers,
            arena: Buffer::zeroed(step.arena.elements + plan.input.elements())?,
            parameters: Buffer::zeroed(parameters)?,
            gradients: Buffer::zeroed(parameters)?,
            momentum: Buffer::zeroed(parameters)?,
            parameter_starts: parameter_starts(&plan.layers),
            labels: vec![0; plan.batch],
            loss: 0.0,
            workspace: Buffer::zeroed(scratch)?,
            marks: Vec::with_capacity(step.ops.len() + 2),
            step: step.clone(),
        })
    }

    fn planned(&self, layer: usize) -> &LayerPlan {
        &self.step.plan.layers[layer]
    }

    /// Where the values of a source lie in the arena.
    pub(super) fn value(&self, of: Source) -> Range<usize> {
        let start = match of {
            Source::Image => Some(self.step.arena.elements),
            Source::Layer(layer) => self.step.arena.value(layer),
        };
        range(start.unwrap_or(0), self.step.plan.shape_of(of).elements())
    }

    pub(super) fn gradient(&self, of: Source) -> Range<usize> {
        range(self.step.arena.gradient(of).unwrap_or(0), self.step.plan.shape_of(of).elements())
    }

    pub(super) fn weights(&self, layer: usize) -> Range<usize> {
        range(self.parameter_starts[layer], self.planned(layer).weights as usize)
    }

    pub(super) fn biases(&self, layer: usize) -> Range<usize> {
        range(self.weights(layer).end, self.planned(layer).biases as usize)
    }

    pub(super) fn do_op(&mut self, Op { layer, phase }: Op) {
        match phase {
            Phase::Forward => self.forward(layer),
            Phase::BackwardData => {
                (0..self.planned(layer).inputs.len()).for_each(|input| self.backward_data(layer, input))
            }
            Phase::BackwardWeights => self.backward_weights(layer),
            Phase::WeightUpdate => self.weight_update(layer),
            // f32 needs no loss scale, and the CPU has no other precision.
            Phase::LossScale => {}
        }
    }

    fn forward(&mut self, index: usize) {
        let planned = &self.step.plan.layers[index];
        let inputs: SmallVec<[Range<usize>; 8]> = planned.inputs.iter().map(|&source| self.value(source)).collect();
        let [weights, biases, output] = [self.weights(index), self.biases(index), self.value(Source::Layer(index))];
        let [w, b] = [&self.parameters[weights], &self.parameters[biases]];
        let (y, rest) = writing(&mut self.arena, output);
        let x = rest.read(inputs[0].clone());
        match &mut self.layers[index] {
            Layer::Conv(conv) => conv.forward(x, w, present(b), y, &mut self.workspace),
            Layer::Fc(fc) => fc.forward(x, w, present(b), y, &mut self.workspace),
            Layer::Relu => relu::forward(x, y),
            Layer::MaxPool(pool, winners) => pool.forward(x, y, winners),
            Layer::AvgPool(pool) => pool.forward(x, y),
            Layer::Lrn(lrn) => lrn.forward(x, y),
            Layer::Dropout(dropout, mask) if self.training.dropout => dropout.forward(self.begun, x, y, mask),
            Layer::Dropout(..) => y.copy_from_slice(x),
            Layer::BatchNorm(norm) => norm.forward(x, w, b, y),
            Layer::Add => {
                let inputs: SmallVec<[&[f32]; 8]> = inputs.into_iter().map(|input| rest.read(input)).collect();
                add::forward(&inputs, y);
            }
            Layer::Concat(parts) => {
                parts.iter().zip(inputs).for_each(|(&part, input)| concat::forward(part, rest.read(input), y))
            }
            Layer::SoftmaxLoss(losses) => self.loss = softmax_loss::forward(x, &self.labels, y, losses),
            Layer::Flatten => {}
        }
    }

    /// The gradient of one input, if it is wanted.
    fn backward_data(&mut self, index: usize, input: usize) {
        let planned = &self.step.plan.layers[index];
        if !planned.input_gradients[input] {
            return;
        }
        let (source, accumulate) = (planned.inputs[input], planned.accumulate[input]);
        let this = Source::Layer(index);
        let [input_value, output_value, output_gradient] = [self.value(source), self.value(this), self.gradient(this)];
        let [weights, biases, input_gradient] = [self.weights(index), self.biases(index), self.gradient(source)];
        let w = &self.parameters[weights.clone()];
        let (dx, rest) = writing(&mut self.arena, input_gradient);
        let (x, y, dy) = (|| rest.read(input_value), || rest.read(output_value), || rest.read(output_gradient));
        match &mut self.layers[index] {
            Layer::Conv(conv) => conv.backward_data(dy(), w, dx, accumulate, &mut self.workspace),
            Layer::Fc(fc) => fc.backward_data(dy(), w, dx, accumulate, &mut self.workspace),
            Layer::Relu => relu::backward_data(y(), dy(), dx, accumulate),
            Layer::MaxPool(pool, winners) => pool.backward_data(winners, dy(), dx, accumulate),
            Layer::AvgPool(pool) => pool.backward_data(dy(), dx, accumulate),
            Layer::Lrn(lrn) => lrn.backward_data(x(), dy(), dx, accumulate),
            Layer::Dropout(dropout, mask) if self.training.dropout => dropout.backward_data(mask, dy(), dx, accumulate),
            Layer::Dropout(..) | Layer::Add => add::backward_data(dy(), dx, accumulate),
            Layer::BatchNorm(norm) => {
                let gradients = (&self.gradients[weights], &self.gradients[biases]);
                norm.backward_data(x(), w, gradients, dy(), dx, accumulate);
            }
            Layer::Concat(parts) => concat::backward_data(parts[input], dy(), dx, accumulate),
            Layer::SoftmaxLoss(_) => softmax_loss::backward_data(y(), &self.labels, dx, accumulate),
            Layer::Flatten => {}
        }
    }

    fn backward_weights(&mut self, index: usize) {
        let source = self.planned(index).inputs[0];
        let [x, dy] = [self.value(source), self.gradient(Source::Layer(index))].map(|tensor| &self.arena[tensor]);
        let weights = self.weights(index).len();
        let parameters = self.parameter_range(index);
        let (dw, db) = self.gradients[parameters].split_at_mut(weights);
        let db = (!db.is_empty()).then_some(db);
        match &mut self.layers[index] {
            Layer::Conv(conv) => conv.backward_weights(x, dy, dw, db, &mut self.workspace),
            Layer::Fc(fc) => fc.backward_weights(x, dy, dw, db, &mut self.workspace),
            Layer::BatchNorm(norm) => norm.backward_weights(x, dy, dw, db.unwrap_or_default()),
            Layer::Relu
            | Layer::MaxPool(..)
            | Layer::AvgPool(_)
            | Layer::Lrn(_)
            | Layer::Dropout(..)
            | Layer::Flatten
            | Layer::Add
            | Layer::Concat(_)
            | Layer::SoftmaxLoss(_) => {}
        }
    }

    fn weight_update(&mut self, index: usize) {
        let parameters = self.parameter_range(index);
        let gradient = &self.gradients[parameters.clone()];
        sgd::update(&self.training, &mut self.parameters[parameters.clone()], &mut self.momentum[parameters], gradient);
    }

    /// A layer's weights and biases.
    fn parameter_range(&self, layer: usize) -> Range<usize> {
        self.weights(layer).start..self.biases(layer).end
    }
}

fn range(start: usize, len: usize) -> Range<usize> {
    start..start + len
}

/// A layer without biases has none to give.
fn present(biases: &[f32]) -> Option<&[f32]> {
    (!biases.is_empty()).then_some(biases)
}

fn parameter_starts(layers: &[LayerPlan]) -> Vec<usize> {
    let mut next = 0;
    let start = layers.iter().map(|layer| {
        let start = next;
        next += layer.parameters() as usize;
        start
    });
    start.collect()
}
