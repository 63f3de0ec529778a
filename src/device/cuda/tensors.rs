//! The tensors of a session, set and read in canonical order between steps.

use rayon::prelude::*;

use super::driver::{Buffer, Element, memory};
use super::failure::Failure;
use super::operations::LossBuffers;
use super::parameters::{ParameterKind, Span};
use super::session::CudaSession;
use crate::device::options::Launch;
use crate::device::order::{FilterOrder, Indices, Order};
use crate::device::{Algorithm, DeviceError, Session, Tensor};
use crate::model::Source;
use crate::plan::Phase;
use crate::step::Op;

/// A tensor's memory, and its order there.
struct TensorPlace {
    span: Span,
    map: Indices,
    /// Under f16 the loss scale is in it.
    scaled: bool,
}

impl CudaSession {
    /// `None` for what is kept apart: labels, loss and masks.
    fn place(&self, tensor: Tensor) -> Option<TensorPlace> {
        let element = self.gpu.arithmetic.element();
        let activations = |address: u64, of: Source, scaled: bool| {
            let shape = self.step.plan.shape_of(of);
            let map = self.orders.activations(of, shape.image_elements());
            Some(TensorPlace { span: Span { address, elements: shape.elements(), element }, map, scaled })
        };
        let parameters = |span: Span, layer: usize, kind: ParameterKind, scaled: bool| {
            Some(TensorPlace { span, map: self.parameter_map(layer, kind), scaled })
        };
        match tensor {
            Tensor::Labels | Tensor::Loss | Tensor::Mask(_) => None,
            Tensor::Input => activations(self.value(Source::Image), Source::Image, false),
            Tensor::Output(layer) => {
                let of = Source::Layer(layer);
                let Some(loss) = self.layers[layer].loss() else {
                    return activations(self.value(of), of, false);
                };
                let place = activations(loss.probabilities.address(), of, false)?;
                Some(TensorPlace { span: Span { element: Element::F32, ..place.span }, ..place })
            }
            Tensor::InputGradient => activations(self.gradient(Source::Image), Source::Image, true),
            Tensor::OutputGradient(layer) => {
                activations(self.gradient(Source::Layer(layer)), Source::Layer(layer), true)
            }
            Tensor::Weight(layer) => {
                parameters(self.parameters.master(layer, ParameterKind::Weights), layer, ParameterKind::Weights, false)
            }
            Tensor::Bias(layer) => {
                parameters(self.parameters.master(layer, ParameterKind::Biases), layer, ParameterKind::Biases, false)
            }
            Tensor::WeightGradient(layer) => {
                parameters(self.parameters.gradient(layer, ParameterKind::Weights), layer, ParameterKind::Weights, true)
            }
            Tensor::BiasGradient(layer) => {
                parameters(self.parameters.gradient(layer, ParameterKind::Biases), layer, ParameterKind::Biases, true)
            }
            Tensor::WeightMomentum(layer) => parameters(
                self.parameters.momentum(layer, ParameterKind::Weights),
                layer,
                ParameterKind::Weights,
                false,
            ),
            Tensor::BiasMomentum(layer) => {
                parameters(self.parameters.momentum(layer, ParameterKind::Biases), layer, ParameterKind::Biases, false)
            }
        }
    }

    fn parameter_map(&self, layer: usize, kind: ParameterKind) -> Indices {
        let filters = if self.gpu.arithmetic.nhwc() { FilterOrder::Krsc } else { FilterOrder::Kcrs };
        match kind {
            ParameterKind::Weights => self.orders.weights(self.planned(layer), filters),
            ParameterKind::Biases => self.orders.biases(self.planned(layer)),
        }
    }

    /// The copy of a parameter that layers read, where there is one.
    fn copy_of(&self, tensor: Tensor) -> Option<Span> {
        match tensor {
            Tensor::Weight(layer) => self.parameters.copy(layer, ParameterKind::Weights),
            Tensor::Bias(layer) => self.parameters.copy(layer, ParameterKind::Biases),
            _ => None,
        }
    }

    /// The factor in all gradients.
    fn scale(&self) -> Result<f32, Failure> {
        match &self.loss_scale {
            Some(scale) => Ok(scale.scale(self.handles()?, self.decided)?),
            None => Ok(1.0),
        }
    }

    fn write(&self, span: Span, values: &[f32]) -> Result<(), Failure> {
        Ok(memory::write(&self.handles()?.stream, span.address, &span.element.encode(values))?)
    }

    /// A layer's mask, with the order of its elements.
    fn mask(&self, layer: usize) -> Option<(u64, usize, Indices)> {
        let shape = self.planned(layer).output;
        let map = self.orders.activations(Source::Layer(layer), shape.image_elements());
        self.layers[layer].mask().map(|mask| (mask.address(), shape.elements(), map))
    }

    /// Weights of the losses, and their buffers.
    fn losses(&self) -> impl Iterator<Item = (f32, &LossBuffers)> {
        let layers = self.step.plan.layers.iter().zip(&self.layers);
        layers.filter_map(|(layer, operation)| Some((layer.kind.loss_weight()?, operation.loss()?)))
    }

    fn fill_apart(&self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), Failure> {
        let stream = &self.handles()?.stream;
        if let Tensor::Mask(layer) = tensor {
            let Some((address, elements, map)) = self.mask(layer) else { return Ok(()) };
            let mut mask = vec![0u8; elements];
            (0..elements).for_each(|index| mask[map.offset(index)] = u8::from(value(index) != 0.0));
            memory::write(stream, address, &mask)?;
            return Ok(());
        }
        let (images, order) = (self.step.plan.batch, self.class_order());
        let classes = (0..images).map(|image| order.offset(value(image) as usize) as i32);
        let bytes = match tensor {
            Tensor::Labels => classes.flat_map(i32::to_le_bytes).collect(),
            _ => Element::F32.encode(&vec![value(0); images]),
        };
        for (_, LossBuffers { labels, losses, .. }) in self.losses() {
            let buffer = if tensor == Tensor::Labels { labels } else { losses };
            memory::write(stream, buffer.address(), &bytes)?;
        }
        Ok(())
    }

    fn read_apart(&self, tensor: Tensor) -> Result<Vec<f32>, Failure> {
        let stream = &self.handles()?.stream;
        if let Tensor::Mask(layer) = tensor {
            let Some((address, elements, map)) = self.mask(layer) else { return Ok(Vec::new()) };
            let mask = memory::read(stream, address, elements)?;
            return Ok((0..elements).map(|index| f32::from(mask[map.offset(index)])).collect());
        }
        let read = |buffer: &Buffer| memory::read(stream, buffer.address(), buffer.bytes());
        if tensor == Tensor::Labels {
            let Some((_, LossBuffers { labels, .. })) = self.losses().next() else { return Ok(Vec::new()) };
            let positions = self.class_order().positions();
            let words = read(labels)?;
            let classes =
                words.chunks_exact(4).map(|bytes| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            return Ok(classes.map(|class| positions[class as usize] as f32).collect());
        }
        let mut total = 0.0;
        for (weight, LossBuffers { losses, .. }) in self.losses() {
            let losses = Element::F32.decode(&read(losses)?);
            total += f64::from(weight) * losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64;
        }
        Ok(vec![total as f32])
    }

    /// Classes are the channels of what the loss reads.
    fn class_order(&self) -> &Order {
        self.orders.of(self.planned(self.step.plan.loss()).inputs[0])
    }

    fn fill_tensor(&self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), Failure> {
        self.gpu.context().bind()?;
        self.gate.release();
        let Some(TensorPlace { span, map, scaled }) = self.place(tensor) else { return self.fill_apart(tensor, value) };
        let scale = if scaled { self.scale()? } else { 1.0 };
        let canonical: Vec<f32> = (0..span.elements).into_par_iter().map(|index| value(index) * scale).collect();
        let mut values = vec![0.0; span.elements];
        canonical.into_iter().enumerate().for_each(|(index, value)| values[map.offset(index)] = value);
        self.write(span, &values)?;
        self.copy_of(tensor).map_or(Ok(()), |copy| self.write(copy, &values))
    }

    fn read_tensor(&self, tensor: Tensor) -> Result<Vec<f32>, Failure> {
        self.gpu.context().bind()?;
        self.gate.release();
        let Some(TensorPlace { span, map, scaled }) = self.place(tensor) else { return self.read_apart(tensor) };
        let unscale = if scaled { self.scale()?.recip() } else { 1.0 };
        let bytes = memory::read(&self.handles()?.stream, span.address, span.elements * span.element.bytes())?;
        let values = span.element.decode(&bytes);
        Ok((0..span.elements).into_par_iter().map(|index| values[map.offset(index)] * unscale).collect())
    }
}

impl Session for CudaSession {
    fn fill(&mut self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), DeviceError> {
        self.fill_tensor(tensor, value).map_err(|failure| self.sized(failure))
    }

    fn read(&mut self, tensor: Tensor) -> Result<Vec<f32>, DeviceError> {
        self.read_tensor(tensor).map_err(|failure| self.sized(failure))
    }

    fn algorithm(&self, op: Op) -> Option<Algorithm> {
        match op.phase {
            Phase::Forward | Phase::BackwardData | Phase::BackwardWeights => self.layers[op.layer].algorithm(op.phase),
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => None,
        }
    }

    fn planned_bytes(&self) -> u64 {
        self.bytes()
    }

    fn stamp_clock(&mut self) {
        self.clock.want();
    }

    fn sm_clock_mhz(&mut self) -> Option<f64> {
        self.clock.take_mhz()
    }

    fn set_launch(&mut self, launch: Launch) {
        self.queued = launch == Launch::Queued;
        self.begin_sampling();
    }
}
