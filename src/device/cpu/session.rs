//! A step made real on the CPU: one arena for activations and their gradients, one buffer each for parameters, gradients and
//! momentum, and an operation per layer.

use std::ops::Range;
use std::time::Instant;

use super::compute::arena::TensorList;
use super::compute::buffer::ResidentBuffer;
use super::compute::simd::Isa;
use super::operations::conv::AlgorithmChoice;
use super::operations::{Operation, Setting, operation};
use crate::device::options::Layout;
use crate::device::order::Orders;
use crate::device::{DeviceError, Training};
use crate::model::Source;
use crate::plan::{F32_BYTES, LayerPlan, Phase};
use crate::ranks::Ranks;
use crate::step::Step;

pub struct CpuSession {
    pub(super) step: Step,
    pub(super) training: Training,
    pub(super) ranks: Option<Ranks>,
    /// How many steps have begun: each has dropout masks of its own.
    pub(super) begun: u32,
    pub(super) orders: Orders,
    /// By layer.
    pub(super) operations: Vec<Box<dyn Operation>>,
    /// [`crate::step::memory::ArenaLayout`]'s arena, and behind it the images.
    pub(super) arena: ResidentBuffer,
    pub(super) parameters: ResidentBuffer,
    pub(super) gradients: ResidentBuffer,
    pub(super) momentum: ResidentBuffer,
    /// Offset of each layer's weights in the three above; its biases follow.
    parameter_starts: Vec<usize>,
    pub(super) labels: Vec<u32>,
    /// Scratch for whichever layer is at work.
    pub(super) workspace: ResidentBuffer,
    /// Floats that the ranks hold for their exchange.
    pub(super) exchanged: usize,
    pub(super) marks: Vec<Instant>,
    /// The inputs of whichever layer is at work.
    pub(super) inputs: TensorList,
}

impl CpuSession {
    /// Must run inside the pool whose threads will do the work. Refuses, before allocating, what `available` bytes cannot hold.
    pub fn open(
        step: &Step,
        training: Training,
        (isa, choice): (Isa, AlgorithmChoice),
        ranks: Option<Ranks>,
        available: u64,
    ) -> Result<CpuSession, DeviceError> {
        let plan = &step.plan;
        let parameters = plan.parameters() as usize;
        let refused = |needed| {
            // Parameters, their gradients and their momentum do not depend on the batch.
            let smaller_helps = plan.batch > 1 && 3 * F32_BYTES * parameters as u64 <= available;
            DeviceError::OutOfMemory { needed, available, smaller_helps }
        };
        let fits = |needed: u64| if needed <= available { Ok(()) } else { Err(refused(needed)) };
        let footprint = step.arena.footprint(plan).total();
        fits(footprint)?;
        let orders = Orders::new(plan, Layout::Nhwc)?;
        let setting = Setting { threads: rayon::current_num_threads(), isa, choice, training };
        let operations = plan.layers.iter().enumerate();
        let operations = operations.map(|(at, layer)| operation(at, layer, orders.of(layer.inputs[0]), &setting));
        let operations: Vec<_> = operations.collect();
        let scratch = operations.iter().flat_map(|operation| Phase::ALL.map(|phase| operation.workspace_floats(phase)));
        let scratch = scratch.max().unwrap_or(0);
        let exchanged = ranks.as_ref().map_or(0, |_| largest_message(&plan.layers));
        let needed = footprint + F32_BYTES * (scratch + exchanged) as u64;
        fits(needed)?;
        ranks.as_ref().map_or(Ok(()), |ranks| ranks.reserve(exchanged)).map_err(|_| refused(needed))?;
        let buffer = |elements| ResidentBuffer::zeroed(elements).map_err(|_| refused(needed));
        Ok(CpuSession {
            training,
            ranks,
            begun: 0,
            orders,
            operations,
            arena: buffer(step.arena.elements + plan.input.elements())?,
            parameters: buffer(parameters)?,
            gradients: buffer(parameters)?,
            momentum: buffer(parameters)?,
            parameter_starts: parameter_starts(&plan.layers),
            labels: vec![0; plan.batch],
            workspace: buffer(scratch)?,
            exchanged,
            marks: Vec::with_capacity(step.ops.len() + 2),
            inputs: TensorList::new(plan.layers.iter().map(|layer| layer.inputs.len()).max().unwrap_or(0)),
            step: step.clone(),
        })
    }

    pub(super) fn planned(&self, layer: usize) -> &LayerPlan {
        &self.step.plan.layers[layer]
    }

    /// Range of a source's values in the arena.
    pub(super) fn value(&self, of: Source) -> Range<usize> {
        value(&self.step, of)
    }

    /// Range of the gradient of a source in the arena.
    pub(super) fn gradient(&self, of: Source) -> Range<usize> {
        range(self.step.arena.gradient(of).unwrap_or(0), self.step.plan.shape_of(of).elements())
    }

    pub(super) fn weights(&self, layer: usize) -> Range<usize> {
        range(self.parameter_starts[layer], self.planned(layer).weights as usize)
    }

    pub(super) fn biases(&self, layer: usize) -> Range<usize> {
        range(self.weights(layer).end, self.planned(layer).biases as usize)
    }
}

/// Range of a source's values in the arena.
pub(super) fn value(step: &Step, of: Source) -> Range<usize> {
    let start = match of {
        Source::Image => Some(step.arena.elements),
        Source::Layer(layer) => step.arena.value(layer),
    };
    range(start.unwrap_or(0), step.plan.shape_of(of).elements())
}

fn range(start: usize, len: usize) -> Range<usize> {
    start..start + len
}

/// Floats of the layer with the most parameters: what ranks exchange at once.
fn largest_message(layers: &[LayerPlan]) -> usize {
    layers.iter().map(|layer| layer.parameters() as usize).max().unwrap_or(0)
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
