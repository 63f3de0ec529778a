//! The session's part in a step: begin, mark, run a phase, end.

use std::ops::Range;
use std::time::Instant;

use super::compute::arena::writing;
use super::operations::{BackwardData, BackwardWeights, Forward, sgd};
use super::session::{CpuSession, value};
use crate::device::DeviceError;
use crate::model::Source;
use crate::plan::Phase;
use crate::step::{Op, Runner};

impl Runner for CpuSession {
    type Error = DeviceError;

    fn begin(&mut self) -> Result<(), DeviceError> {
        self.begun += 1;
        self.marks.clear();
        Ok(())
    }

    /// Every phase has joined its threads when it returns, so now is after all of its work.
    fn mark(&mut self) -> Result<(), DeviceError> {
        self.marks.push(Instant::now());
        Ok(())
    }

    fn run(&mut self, Op { layer, phase }: Op) -> Result<(), DeviceError> {
        match phase {
            Phase::Forward => self.forward(layer),
            Phase::BackwardData => {
                (0..self.planned(layer).inputs.len()).for_each(|slot| self.backward_data(layer, slot))
            }
            Phase::BackwardWeights => self.backward_weights(layer),
            Phase::AllReduce => self.all_reduce(layer)?,
            Phase::WeightUpdate => self.weight_update(layer),
            // f32 needs no loss scale, and the CPU has no other precision.
            Phase::LossScale => {}
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Vec<f64>, DeviceError> {
        Ok(self.marks.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64() * 1e6).collect())
    }
}

impl CpuSession {
    fn forward(&mut self, layer: usize) {
        let [weights, biases, output] = [self.weights(layer), self.biases(layer), self.value(Source::Layer(layer))];
        let (output, rest) = writing(&mut self.arena, output);
        let (before, this) = self.operations.split_at_mut(layer);
        let pool = self.step.plan.layers[layer].positions_of;
        let sources = self.step.plan.layers[layer].inputs.iter();
        self.inputs.list(sources.map(|&of| rest.read(value(&self.step, of))), |inputs| {
            this[0].forward(Forward {
                inputs,
                positions: pool.and_then(|pool| before[pool].positions()),
                weights: &self.parameters[weights],
                biases: &self.parameters[biases],
                labels: &self.labels,
                step: self.begun,
                output,
                workspace: &mut self.workspace,
            });
        });
    }

    /// The gradient of one input, if it is wanted.
    fn backward_data(&mut self, layer: usize, slot: usize) {
        let planned = self.planned(layer);
        if !planned.input_gradients[slot] {
            return;
        }
        let (source, accumulate) = (planned.inputs[slot], planned.accumulate[slot]);
        let (reads, this) = (planned.reads(Phase::BackwardData), Source::Layer(layer));
        let [output, output_gradient] = [self.value(this), self.gradient(this)];
        let [weights, biases, input_gradient] = [self.weights(layer), self.biases(layer), self.gradient(source)];
        let (input_gradient, rest) = writing(&mut self.arena, input_gradient);
        // The memory of a tensor that is not read may serve another one.
        let read = |wanted: bool, tensor: Range<usize>| if wanted { rest.read(tensor) } else { &[] };
        let (before, this) = self.operations.split_at_mut(layer);
        let pool = self.step.plan.layers[layer].positions_of;
        let sources = &self.step.plan.layers[layer].inputs;
        let sources = if reads.inputs { sources.as_slice() } else { &[] };
        self.inputs.list(sources.iter().map(|&of| rest.read(value(&self.step, of))), |inputs| {
            this[0].backward_data(BackwardData {
                slot,
                inputs,
                positions: pool.and_then(|pool| before[pool].positions()),
                input: inputs.get(slot).copied().unwrap_or_default(),
                output: read(reads.output, output),
                output_gradient: read(reads.output_gradient, output_gradient),
                weights: &self.parameters[weights.clone()],
                weight_gradient: &self.gradients[weights],
                bias_gradient: &self.gradients[biases],
                labels: &self.labels,
                input_gradient,
                accumulate,
                workspace: &mut self.workspace,
            });
        });
    }

    fn backward_weights(&mut self, layer: usize) {
        let source = self.planned(layer).inputs[0];
        let [input, output_gradient] =
            [self.value(source), self.gradient(Source::Layer(layer))].map(|tensor| &self.arena[tensor]);
        let weights = self.weights(layer).len();
        let parameters = self.parameter_range(layer);
        let (weight_gradient, bias_gradient) = self.gradients[parameters].split_at_mut(weights);
        let workspace = &mut self.workspace;
        self.operations[layer].backward_weights(BackwardWeights {
            input,
            output_gradient,
            weight_gradient,
            bias_gradient,
            workspace,
        });
    }

    /// Weights and biases lie together, and go in one message.
    fn all_reduce(&mut self, layer: usize) -> Result<(), DeviceError> {
        let parameters = self.parameter_range(layer);
        let Some(ranks) = &self.ranks else { return Ok(()) };
        Ok(ranks.all_reduce_mean(&mut self.gradients[parameters])?)
    }

    fn weight_update(&mut self, layer: usize) {
        let parameters = self.parameter_range(layer);
        let gradient = &self.gradients[parameters.clone()];
        sgd::update(&self.training, &mut self.parameters[parameters.clone()], &mut self.momentum[parameters], gradient);
    }

    /// A layer's weights and biases.
    fn parameter_range(&self, layer: usize) -> Range<usize> {
        self.weights(layer).start..self.biases(layer).end
    }
}
