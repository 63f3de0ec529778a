//! The session's tensors in canonical order, to set and to read.

use std::ops::Range;

use rayon::prelude::*;

use super::session::CpuSession;
use crate::device::order::{FilterOrder, Indices, Order};
use crate::device::{Algorithm, DeviceError, Session, Tensor};
use crate::model::Source;
use crate::plan::Phase;
use crate::step::Op;

/// The session's buffers of floats.
#[derive(Clone, Copy)]
enum BufferName {
    Arena,
    Parameters,
    Gradients,
    Momentum,
}

impl CpuSession {
    /// Buffer, range and order of a tensor of floats; `None` for labels, loss and masks, which are kept apart.
    fn place(&self, tensor: Tensor) -> Option<(BufferName, Range<usize>, Indices)> {
        let activations = |range: Range<usize>, of: Source| {
            let elements = self.step.plan.shape_of(of).image_elements();
            Some((BufferName::Arena, range, self.orders.activations(of, elements)))
        };
        match tensor {
            Tensor::Labels | Tensor::Loss | Tensor::Mask(_) => None,
            Tensor::Input => activations(self.value(Source::Image), Source::Image),
            Tensor::Output(layer) => activations(self.value(Source::Layer(layer)), Source::Layer(layer)),
            Tensor::InputGradient => activations(self.gradient(Source::Image), Source::Image),
            Tensor::OutputGradient(layer) => activations(self.gradient(Source::Layer(layer)), Source::Layer(layer)),
            Tensor::Weight(layer) => Some((BufferName::Parameters, self.weights(layer), self.weight_map(layer))),
            Tensor::WeightGradient(layer) => Some((BufferName::Gradients, self.weights(layer), self.weight_map(layer))),
            Tensor::WeightMomentum(layer) => Some((BufferName::Momentum, self.weights(layer), self.weight_map(layer))),
            Tensor::Bias(layer) => Some((BufferName::Parameters, self.biases(layer), self.bias_map(layer))),
            Tensor::BiasGradient(layer) => Some((BufferName::Gradients, self.biases(layer), self.bias_map(layer))),
            Tensor::BiasMomentum(layer) => Some((BufferName::Momentum, self.biases(layer), self.bias_map(layer))),
        }
    }

    fn weight_map(&self, layer: usize) -> Indices {
        self.orders.weights(&self.step.plan.layers[layer], FilterOrder::Rsck)
    }

    fn bias_map(&self, layer: usize) -> Indices {
        self.orders.biases(&self.step.plan.layers[layer])
    }

    fn buffer(&mut self, which: BufferName) -> &mut [f32] {
        match which {
            BufferName::Arena => &mut self.arena,
            BufferName::Parameters => &mut self.parameters,
            BufferName::Gradients => &mut self.gradients,
            BufferName::Momentum => &mut self.momentum,
        }
    }

    /// A dropout layer's mask, with the order of its elements.
    fn mask(&mut self, layer: usize) -> Option<(&mut [u8], Indices)> {
        let elements = self.step.plan.layers[layer].output.image_elements();
        let map = self.orders.activations(Source::Layer(layer), elements);
        self.operations[layer].mask().map(|mask| (mask, map))
    }

    /// Weights of the losses, and their mean cross-entropies.
    fn losses(&mut self) -> impl Iterator<Item = (f32, &mut f64)> {
        let layers = self.step.plan.layers.iter().zip(&mut self.operations);
        layers.filter_map(|(layer, operation)| Some((layer.kind.loss_weight()?, operation.loss()?)))
    }

    /// Classes are the channels of what the loss reads.
    fn class_order(&self) -> &Order {
        self.orders.of(self.step.plan.layers[self.step.plan.loss()].inputs[0])
    }
}

/// A tensor's start, for threads that write different elements.
struct Start(*mut f32);

// SAFETY: only a pointer; `fill` sees to it that no two threads write one element.
unsafe impl Sync for Start {}

impl Start {
    /// # Safety
    /// `offset` must lie within the tensor, and nobody else write or read it.
    unsafe fn write(&self, offset: usize, value: f32) {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(offset).write(value) }
    }
}

impl Session for CpuSession {
    fn fill(&mut self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), DeviceError> {
        if let Some((which, range, map)) = self.place(tensor) {
            let start = Start(self.buffer(which)[range.clone()].as_mut_ptr());
            let start = &start;
            (0..range.len()).into_par_iter().with_min_len(4096).for_each(|index| {
                // SAFETY: a canonical order is a permutation of the tensor's elements, so each is written by one thread.
                unsafe { start.write(map.offset(index), value(index)) }
            });
        } else if let Tensor::Mask(layer) = tensor {
            if let Some((mask, map)) = self.mask(layer) {
                (0..mask.len()).for_each(|index| mask[map.offset(index)] = u8::from(value(index) != 0.0));
            }
        } else if tensor == Tensor::Labels {
            let order = self.class_order().clone();
            self.labels
                .iter_mut()
                .enumerate()
                .for_each(|(index, label)| *label = order.offset(value(index) as usize) as u32);
        } else {
            self.losses().for_each(|(_, loss)| *loss = f64::from(value(0)));
        }
        Ok(())
    }

    fn read(&mut self, tensor: Tensor) -> Result<Vec<f32>, DeviceError> {
        if let Some((which, range, map)) = self.place(tensor) {
            let elements = &self.buffer(which)[range];
            return Ok((0..elements.len()).into_par_iter().map(|index| elements[map.offset(index)]).collect());
        }
        Ok(match tensor {
            Tensor::Mask(layer) => self.mask(layer).map_or(Vec::new(), |(mask, map)| {
                (0..mask.len()).map(|index| f32::from(mask[map.offset(index)])).collect()
            }),
            Tensor::Labels => {
                let positions = self.class_order().positions();
                self.labels.iter().map(|&label| positions[label as usize] as f32).collect()
            }
            _ => vec![self.losses().map(|(weight, loss)| f64::from(weight) * *loss).sum::<f64>() as f32],
        })
    }

    fn algorithm(&self, op: Op) -> Option<Algorithm> {
        match op.phase {
            Phase::Forward | Phase::BackwardData | Phase::BackwardWeights => {
                self.operations[op.layer].algorithm(op.phase)
            }
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => None,
        }
    }

    fn planned_bytes(&self) -> u64 {
        self.step.arena.footprint(&self.step.plan).total() + 4 * (self.workspace.len() + self.exchanged) as u64
    }
}
