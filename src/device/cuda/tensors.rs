//! The session as the outside sees it: steps, marks, and tensors in canonical order.

use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::clock;
use super::element::Element;
use super::layer::Layer;
use super::memory;
use super::parameters::{Part, Span};
use super::session::CudaSession;
use super::stream::Event;
use crate::device::options::Launch;
use crate::device::order::{FilterOrder, Indices, Order};
use crate::device::{Algorithm, DeviceError, Session, Tensor};
use crate::model::Source;
use crate::plan::Phase;
use crate::step::{Op, Runner};

/// Operations that a held stream takes, marks counted: drivers make the host wait at about a thousand, and then nobody would
/// let the stream go.
const MOST_HELD: usize = 500;

/// Where a tensor is, and in which order.
struct Place {
    span: Span,
    map: Indices,
    /// Under f16 the loss scale is in it.
    scaled: bool,
}

impl CudaSession {
    /// `None` for what is kept apart: labels, loss and masks.
    fn place(&self, tensor: Tensor) -> Option<Place> {
        let element = self.gpu.arithmetic.element();
        let activations = |address: u64, of: Source, scaled: bool| {
            let shape = self.step.plan.shape_of(of);
            let map = self.orders.activations(of, shape.image_elements());
            Some(Place { span: Span { address, elements: shape.elements(), element }, map, scaled })
        };
        let parameters = |span: Span, layer: usize, part: Part, scaled: bool| {
            Some(Place { span, map: self.parameter_map(layer, part), scaled })
        };
        match tensor {
            Tensor::Labels | Tensor::Loss | Tensor::Mask(_) => None,
            Tensor::Input => activations(self.value(Source::Image), Source::Image, false),
            Tensor::Output(layer) => {
                let of = Source::Layer(layer);
                let Layer::SoftmaxLoss(loss) = &self.layers[layer] else {
                    return activations(self.value(of), of, false);
                };
                let place = activations(loss.probabilities().address(), of, false)?;
                Some(Place { span: Span { element: Element::F32, ..place.span }, ..place })
            }
            Tensor::InputGradient => activations(self.gradient(Source::Image), Source::Image, true),
            Tensor::OutputGradient(layer) => {
                activations(self.gradient(Source::Layer(layer)), Source::Layer(layer), true)
            }
            Tensor::Weight(layer) => {
                parameters(self.parameters.master(layer, Part::Weights), layer, Part::Weights, false)
            }
            Tensor::Bias(layer) => parameters(self.parameters.master(layer, Part::Biases), layer, Part::Biases, false),
            Tensor::WeightGradient(layer) => {
                parameters(self.parameters.gradient(layer, Part::Weights), layer, Part::Weights, true)
            }
            Tensor::BiasGradient(layer) => {
                parameters(self.parameters.gradient(layer, Part::Biases), layer, Part::Biases, true)
            }
            Tensor::WeightMomentum(layer) => {
                parameters(self.parameters.momentum(layer, Part::Weights), layer, Part::Weights, false)
            }
            Tensor::BiasMomentum(layer) => {
                parameters(self.parameters.momentum(layer, Part::Biases), layer, Part::Biases, false)
            }
        }
    }

    fn parameter_map(&self, layer: usize, part: Part) -> Indices {
        let filters = if self.gpu.arithmetic.nhwc() { FilterOrder::Krsc } else { FilterOrder::Kcrs };
        match part {
            Part::Weights => self.orders.weights(self.planned(layer), filters),
            Part::Biases => self.orders.biases(self.planned(layer)),
        }
    }

    /// The copy of a parameter that layers read, where there is one.
    fn copy_of(&self, tensor: Tensor) -> Option<Span> {
        match tensor {
            Tensor::Weight(layer) => self.parameters.copy(layer, Part::Weights),
            Tensor::Bias(layer) => self.parameters.copy(layer, Part::Biases),
            _ => None,
        }
    }

    /// What gradients are multiplied by.
    fn scale(&self) -> Result<f32, DeviceError> {
        match &self.loss_scale {
            Some(scale) => Ok(scale.scale(self.queue()?, self.decided)?),
            None => Ok(1.0),
        }
    }

    fn write(&self, span: Span, values: &[f32]) -> Result<(), DeviceError> {
        Ok(memory::write(&self.queue()?.stream, span.address, &span.element.encode(values))?)
    }

    /// A layer's mask, with the order of its elements.
    fn mask(&self, layer: usize) -> Option<(u64, usize, Indices)> {
        let shape = self.planned(layer).output;
        let map = self.orders.activations(Source::Layer(layer), shape.image_elements());
        let Layer::Dropout(dropout) = &self.layers[layer] else { return None };
        Some((dropout.mask().address(), shape.elements(), map))
    }

    fn fill_apart(&self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), DeviceError> {
        let stream = &self.queue()?.stream;
        if let Tensor::Mask(layer) = tensor {
            let Some((address, elements, map)) = self.mask(layer) else { return Ok(()) };
            let mut mask = vec![0u8; elements];
            (0..elements).for_each(|index| mask[map.offset(index)] = u8::from(value(index) != 0.0));
            memory::write(stream, address, &mask)?;
        } else if let Some(Layer::SoftmaxLoss(loss)) = self.layers.last() {
            let images = self.step.plan.batch;
            if tensor == Tensor::Labels {
                let order = self.class_order();
                let labels = (0..images).map(|image| order.offset(value(image) as usize) as i32);
                memory::write(
                    stream,
                    loss.labels().address(),
                    &labels.flat_map(i32::to_le_bytes).collect::<Vec<u8>>(),
                )?;
            } else {
                let losses = vec![value(0); images];
                memory::write(stream, loss.losses().address(), &Element::F32.encode(&losses))?;
            }
        }
        Ok(())
    }

    fn read_apart(&self, tensor: Tensor) -> Result<Vec<f32>, DeviceError> {
        let stream = &self.queue()?.stream;
        if let Tensor::Mask(layer) = tensor {
            let Some((address, elements, map)) = self.mask(layer) else { return Ok(Vec::new()) };
            let mask = memory::read(stream, address, elements)?;
            return Ok((0..elements).map(|index| f32::from(mask[map.offset(index)])).collect());
        }
        let Some(Layer::SoftmaxLoss(loss)) = self.layers.last() else { return Ok(Vec::new()) };
        if tensor == Tensor::Labels {
            let positions = self.class_order().positions();
            let labels = memory::read(stream, loss.labels().address(), loss.labels().bytes())?;
            let labels =
                labels.chunks_exact(4).map(|bytes| i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            return Ok(labels.map(|label| positions[label as usize] as f32).collect());
        }
        let losses = Element::F32.decode(&memory::read(stream, loss.losses().address(), loss.losses().bytes())?);
        let mean = losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64;
        Ok(vec![mean as f32])
    }

    /// Classes are the channels of what the loss reads.
    fn class_order(&self) -> &Order {
        self.orders.of(self.planned(self.step.plan.loss()).inputs[0])
    }

    /// Lets the stream go when it holds as much as it can.
    fn limit(&self) -> Result<(), DeviceError> {
        if self.queue()?.stream.enqueued() >= MOST_HELD {
            self.hold.release();
        }
        Ok(())
    }

    fn gaps(&mut self) -> Result<Vec<f64>, DeviceError> {
        self.hold.release();
        self.queue()?.stream.synchronize()?;
        let marks = &self.events[..self.marks];
        Ok(marks.windows(2).map(|pair| pair[0].us_until(&pair[1])).collect::<Result<Vec<_>, _>>()?)
    }

    fn start(&mut self) -> Result<(), DeviceError> {
        self.gpu.context().bind()?;
        self.begun += 1;
        (self.marks, self.decided) = (0, false);
        let queue = self.queue()?;
        queue.stream.reset_count();
        // What needed the watchdog once, a profiler for one, will need it each time.
        if self.queued && self.gpu.rescues.load(Ordering::Relaxed) == 0 {
            self.hold.hold(&queue.stream)?;
        }
        Ok(())
    }

    fn record(&mut self) -> Result<(), DeviceError> {
        if self.marks == self.events.len() {
            self.events.push(Event::new()?);
        }
        self.events[self.marks].record(&self.queue()?.stream)?;
        self.marks += 1;
        self.limit()
    }
}

impl Runner for CudaSession {
    type Error = DeviceError;

    fn begin(&mut self) -> Result<(), DeviceError> {
        self.start().map_err(|error| self.sized(error))
    }

    fn mark(&mut self) -> Result<(), DeviceError> {
        self.record().map_err(|error| self.sized(error))
    }

    fn run(&mut self, op: Op) -> Result<(), DeviceError> {
        self.do_op(op).map_err(|error| self.sized(error))?;
        self.decided |= op.phase == Phase::LossScale;
        self.limit()
    }

    fn end(&mut self) -> Result<Vec<f64>, DeviceError> {
        self.gaps().map_err(|error| self.sized(error))
    }
}

impl Session for CudaSession {
    fn fill(&mut self, tensor: Tensor, value: &(dyn Fn(usize) -> f32 + Sync)) -> Result<(), DeviceError> {
        self.gpu.context().bind()?;
        self.hold.release();
        let Some(Place { span, map, scaled }) = self.place(tensor) else { return self.fill_apart(tensor, value) };
        let scale = if scaled { self.scale()? } else { 1.0 };
        let canonical: Vec<f32> = (0..span.elements).into_par_iter().map(|index| value(index) * scale).collect();
        let mut values = vec![0.0; span.elements];
        canonical.into_iter().enumerate().for_each(|(index, value)| values[map.offset(index)] = value);
        self.write(span, &values)?;
        self.copy_of(tensor).map_or(Ok(()), |copy| self.write(copy, &values))
    }

    fn read(&mut self, tensor: Tensor) -> Result<Vec<f32>, DeviceError> {
        self.gpu.context().bind()?;
        self.hold.release();
        let Some(Place { span, map, scaled }) = self.place(tensor) else { return self.read_apart(tensor) };
        let unscale = if scaled { self.scale()?.recip() } else { 1.0 };
        let bytes = memory::read(&self.queue()?.stream, span.address, span.elements * span.element.bytes())?;
        let values = span.element.decode(&bytes);
        Ok((0..span.elements).into_par_iter().map(|index| values[map.offset(index)] * unscale).collect())
    }

    fn algorithm(&self, op: Op) -> Option<Algorithm> {
        if matches!(op.phase, Phase::WeightUpdate | Phase::LossScale) {
            return None;
        }
        match &self.layers[op.layer] {
            Layer::Conv(conv) => {
                let (name, bytes) = conv.algorithm(op.phase);
                Some(Algorithm { name: name.into(), workspace_bytes: bytes as u64 })
            }
            Layer::Fc(fc) => Some(Algorithm { name: fc.algorithm(), workspace_bytes: 0 }),
            Layer::Relu(_)
            | Layer::MaxPool(_)
            | Layer::AvgPool(_)
            | Layer::Lrn(_)
            | Layer::Dropout(_)
            | Layer::Copy(_)
            | Layer::Flatten
            | Layer::BatchNorm(_)
            | Layer::Add(_)
            | Layer::Concat(_)
            | Layer::SoftmaxLoss(_) => None,
        }
    }

    fn planned_bytes(&self) -> u64 {
        self.bytes()
    }

    fn sm_clock_mhz(&self) -> Result<Option<f64>, DeviceError> {
        clock::sm_clock_mhz(&self.gpu).map(Some)
    }

    fn set_launch(&mut self, launch: Launch) {
        self.queued = launch == Launch::Queued;
        self.begin_sampling();
    }
}
