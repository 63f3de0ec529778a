//! A step made real on a GPU: one arena for activations and their gradients, the parameters, and what each layer keeps for itself.

use std::sync::Arc;

use smallvec::SmallVec;

use super::algorithms::{Chooser, Wish};
use super::batchnorm::Affine;
use super::call::Fault;
use super::conv::Operands;
use super::gpu::Gpu;
use super::hold::Hold;
use super::layer::{Layer, is_beyond_counting};
use super::loss_scale::LossScale;
use super::memory::Buffer;
use super::parameters::{Parameters, Part};
use super::queue::Queue;
use super::sgd::{Sgd, Update};
use super::stream::Event;
use crate::device::order::Orders;
use crate::device::{DeviceError, Training};
use crate::model::Source;
use crate::plan::{LayerPlan, Phase, Plan, image_name};
use crate::step::{Op, Step};

pub struct CudaSession {
    pub(super) step: Step,
    /// How many steps have begun: each has dropout masks of its own.
    pub(super) begun: u32,
    pub(super) orders: Orders,
    pub(super) layers: Vec<Layer>,
    /// [`crate::step::memory::ArenaLayout`]'s arena.
    arena: Buffer,
    images: Buffer,
    pub(super) parameters: Parameters,
    sgd: Sgd,
    pub(super) loss_scale: Option<LossScale>,
    /// Whether this step's gradients have been looked at.
    pub(super) decided: bool,
    /// Steps without an update when sampling began.
    skipped: Option<u32>,
    /// Scratch for whichever convolution is at work.
    workspace: Buffer,
    pub(super) events: Vec<Event>,
    pub(super) marks: usize,
    pub(super) hold: Hold,
    /// Whether steps are held until they are enqueued.
    pub(super) queued: bool,
    /// Given back when this is dropped.
    queue: Option<Queue>,
    pub(super) gpu: Arc<Gpu>,
}

/// Everything but the layers' own memory and the workspace: what can be known before anything is allocated.
fn least_bytes(step: &Step, gpu: &Gpu) -> u64 {
    let element = gpu.arithmetic.element();
    let activations = (step.arena.elements + step.plan.input.elements()) * element.bytes();
    (activations + Parameters::bytes_for(&step.plan, element)) as u64
}

impl CudaSession {
    /// Refuses, before allocating, what cannot fit.
    pub fn open(step: &Step, training: Training, gpu: &Arc<Gpu>) -> Result<CudaSession, DeviceError> {
        let (available, _) = gpu.context().memory()?;
        let needed = least_bytes(step, gpu);
        let uncountable = step.plan.layers.iter().find(|layer| is_beyond_counting(layer));
        if let Some(LayerPlan { name, .. }) = uncountable {
            note(gpu, &step.plan, &format!("`{name}` has more elements than cuDNN can address (2^31)"));
        }
        if needed > available || uncountable.is_some() {
            return Err(DeviceError::OutOfMemory { needed, available });
        }
        let mut session =
            CudaSession::allocate(step, training, gpu).map_err(|error| sized(error, needed, available))?;
        let chosen = session.choose_algorithms().map_err(|error| sized(error, needed, available));
        chosen.map(|()| session)
    }

    fn allocate(step: &Step, training: Training, gpu: &Arc<Gpu>) -> Result<CudaSession, DeviceError> {
        let (plan, element) = (&step.plan, gpu.arithmetic.element());
        let queue = gpu.take_queue()?;
        let orders = Orders::new(plan, gpu.arithmetic.layout)?;
        let arena = Buffer::new(step.arena.elements * element.bytes())?;
        let images = Buffer::new(plan.input.elements() * element.bytes())?;
        let parameters = Parameters::new(plan, element)?;
        let layers = plan
            .layers
            .iter()
            .enumerate()
            .map(|(index, layer)| Layer::new(index, layer, orders.of(layer.inputs[0]), &training, gpu, &queue));
        Ok(CudaSession {
            begun: 0,
            layers: layers.collect::<Result<Vec<_>, _>>()?,
            orders,
            arena,
            images,
            parameters,
            sgd: Sgd::new(&training, gpu)?,
            loss_scale: plan.layers[plan.loss()]
                .has(Phase::LossScale)
                .then(|| LossScale::new(gpu, &queue))
                .transpose()?,
            decided: false,
            skipped: None,
            workspace: Buffer::new(0)?,
            events: (0..step.ops.len() + 2).map(|_| Event::new()).collect::<Result<Vec<_>, _>>()?,
            marks: 0,
            hold: Hold::new(gpu)?,
            queued: false,
            queue: Some(queue),
            gpu: gpu.clone(),
            step: step.clone(),
        })
    }

    /// On the session's own buffers, before they hold anything: a search overwrites its outputs.
    fn choose_algorithms(&mut self) -> Result<(), DeviceError> {
        let (gpu, queue) = (self.gpu.clone(), self.queue.take());
        let Some(queue) = queue else { return Ok(()) };
        let chosen = self.choose_with(&gpu, &queue);
        self.queue = Some(queue);
        chosen
    }

    fn choose_with(&mut self, gpu: &Gpu, queue: &Queue) -> Result<(), DeviceError> {
        let places: Vec<(Op, Operands)> =
            self.step.ops.iter().filter_map(|&op| Some((op, self.conv_operands(op)?))).collect();
        let names: Vec<String> = self.step.plan.layers.iter().map(|layer| layer.name.clone()).collect();
        let wish = |&(op, at): &(Op, Operands)| Wish { layer: &names[op.layer], phase: op.phase, at };
        let all = places.iter().filter_map(|place| match &self.layers[place.0.layer] {
            Layer::Conv(conv) => Some((&**conv, wish(place))),
            Layer::Fc(_)
            | Layer::Relu(_)
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
        });
        let chooser = Chooser::new(gpu, queue, all)?;
        let mut most = 0;
        for place in &places {
            if let Layer::Conv(conv) = &mut self.layers[place.0.layer] {
                chooser.choose(conv, &wish(place))?;
                most = most.max(conv.workspace_bytes());
            }
        }
        drop(chooser);
        self.workspace = Buffer::new(most)?;
        Ok(())
    }

    /// What a convolution's phase works on; `None` for other kinds and for the update.
    fn conv_operands(&self, Op { layer, phase }: Op) -> Option<Operands> {
        let Layer::Conv(_) = &self.layers[layer] else { return None };
        let source = self.planned(layer).inputs[0];
        let weights = self.parameters.read(layer, Part::Weights).address;
        let this = Source::Layer(layer);
        match phase {
            Phase::Forward => Some(Operands { x: self.value(source), w: weights, y: self.value(this) }),
            Phase::BackwardData => Some(Operands { x: self.gradient(source), w: weights, y: self.gradient(this) }),
            Phase::BackwardWeights => {
                let w = self.parameters.gradient(layer, Part::Weights).address;
                Some(Operands { x: self.value(source), w, y: self.gradient(this) })
            }
            Phase::LossScale | Phase::WeightUpdate => None,
        }
    }

    pub(super) fn queue(&self) -> Result<&Queue, DeviceError> {
        self.queue.as_ref().ok_or_else(|| DeviceError::Unusable("the session is closed".into()))
    }

    pub(super) fn planned(&self, layer: usize) -> &LayerPlan {
        &self.step.plan.layers[layer]
    }

    /// Where the values of a source lie. The loss's are kept by the layer itself, in f32.
    pub(super) fn value(&self, of: Source) -> u64 {
        let element = self.gpu.arithmetic.element();
        match of {
            Source::Image => self.images.address(),
            Source::Layer(layer) => self.arena.at(self.step.arena.value(layer).unwrap_or(0) * element.bytes()),
        }
    }

    pub(super) fn gradient(&self, of: Source) -> u64 {
        self.arena.at(self.step.arena.gradient(of).unwrap_or(0) * self.gpu.arithmetic.element().bytes())
    }

    /// Bytes held, scratch included.
    pub(super) fn bytes(&self) -> u64 {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        let scale = self.loss_scale.as_ref().map_or(0, LossScale::bytes);
        least_bytes(&self.step, &self.gpu) + (layers + scale + self.workspace.bytes()) as u64
    }

    pub(super) fn do_op(&self, op: Op) -> Result<(), DeviceError> {
        let queue = self.queue()?;
        let done = match op.phase {
            Phase::Forward => self.forward(queue, op.layer),
            Phase::BackwardData => (0..self.planned(op.layer).inputs.len())
                .try_for_each(|input| self.backward_data(queue, op.layer, input)),
            Phase::BackwardWeights => self.backward_weights(queue, op.layer),
            Phase::LossScale => match &self.loss_scale {
                Some(scale) => scale.check(queue, &self.parameters, self.layers.len()),
                None => Ok(()),
            },
            Phase::WeightUpdate => self.weight_update(queue, op.layer),
        };
        done.map_err(|fault| fault.within(&self.planned(op.layer).name, op.phase))
    }

    /// The biases that a layer reads, if it has any.
    fn bias(&self, layer: usize) -> Option<u64> {
        (self.planned(layer).biases > 0).then(|| self.parameters.read(layer, Part::Biases).address)
    }

    fn bias_gradient(&self, layer: usize) -> Option<u64> {
        (self.planned(layer).biases > 0).then(|| self.parameters.gradient(layer, Part::Biases).address)
    }

    fn weights(&self, layer: usize) -> u64 {
        self.parameters.read(layer, Part::Weights).address
    }

    fn affine(&self, layer: usize) -> Affine {
        let gradient = |part| self.parameters.gradient(layer, part).address;
        Affine { gamma: self.weights(layer), dgamma: gradient(Part::Weights), dbeta: gradient(Part::Biases) }
    }

    fn forward(&self, queue: &Queue, index: usize) -> Result<(), Fault> {
        let planned = self.planned(index);
        let inputs: SmallVec<[u64; 8]> = planned.inputs.iter().map(|&source| self.value(source)).collect();
        let (x, y, w) = (inputs[0], self.value(Source::Layer(index)), self.weights(index));
        match &self.layers[index] {
            Layer::Conv(conv) => conv.forward(queue, Operands { x, w, y }, self.bias(index), &self.workspace),
            Layer::Fc(fc) => fc.forward(queue, [x, w, y], self.bias(index)),
            Layer::Relu(relu) => relu.forward(queue, x, y),
            Layer::MaxPool(pool) => pool.forward(queue, x, y),
            Layer::AvgPool(pool) => pool.forward(queue, x, y),
            Layer::Lrn(lrn) => lrn.forward(queue, x, y),
            Layer::Dropout(dropout) => dropout.forward(queue, self.begun, x, y),
            Layer::Copy(add) => add.copy(queue, x, y),
            Layer::BatchNorm(norm) => norm.forward(queue, [x, y], w, self.parameters.read(index, Part::Biases).address),
            Layer::Add(add) => add.forward(queue, &inputs, y),
            Layer::Concat(concat) => concat.forward(queue, &inputs, y),
            Layer::SoftmaxLoss(loss) => loss.forward(queue, x),
            Layer::Flatten => Ok(()),
        }
    }

    /// The gradient of one input, if it is wanted.
    fn backward_data(&self, queue: &Queue, index: usize, input: usize) -> Result<(), Fault> {
        let planned = self.planned(index);
        if !planned.input_gradients[input] {
            return Ok(());
        }
        let (source, accumulate) = (planned.inputs[input], planned.accumulate[input]);
        let this = Source::Layer(index);
        let [x, y, dy, dx] = [self.value(source), self.value(this), self.gradient(this), self.gradient(source)];
        let w = self.weights(index);
        match &self.layers[index] {
            Layer::Conv(conv) => conv.backward_data(queue, Operands { x: dx, w, y: dy }, accumulate, &self.workspace),
            Layer::Fc(fc) => fc.backward_data(queue, [dy, w, dx], accumulate),
            Layer::Relu(relu) => relu.backward_data(queue, [y, dy, dx], accumulate),
            Layer::MaxPool(pool) => pool.backward_data(queue, [x, y, dy, dx], accumulate),
            Layer::AvgPool(pool) => pool.backward_data(queue, [dy, dx], accumulate),
            Layer::Lrn(lrn) => lrn.backward_data(queue, [x, y, dy, dx], accumulate),
            Layer::Dropout(dropout) => dropout.backward_data(queue, [dy, dx], accumulate),
            Layer::Copy(add) | Layer::Add(add) => add.backward_data(queue, [dy, dx], accumulate),
            Layer::BatchNorm(norm) => norm.backward_data(queue, [x, dy, dx], self.affine(index), accumulate),
            Layer::Concat(concat) => concat.backward_data(queue, input, [dy, dx], accumulate),
            Layer::SoftmaxLoss(loss) => loss.backward_data(queue, dx, self.scale_address()),
            Layer::Flatten => Ok(()),
        }
    }

    fn backward_weights(&self, queue: &Queue, index: usize) -> Result<(), Fault> {
        let source = self.planned(index).inputs[0];
        let (x, dy) = (self.value(source), self.gradient(Source::Layer(index)));
        let dw = self.parameters.gradient(index, Part::Weights).address;
        match &self.layers[index] {
            Layer::Conv(conv) => {
                let at = Operands { x, w: dw, y: dy };
                conv.backward_weights(queue, at, self.bias_gradient(index), &self.workspace)
            }
            Layer::Fc(fc) => fc.backward_weights(queue, [x, dy, dw], self.bias_gradient(index)),
            Layer::BatchNorm(norm) => norm.backward_weights(queue, [x, dy], self.affine(index)),
            Layer::Relu(_)
            | Layer::MaxPool(_)
            | Layer::AvgPool(_)
            | Layer::Lrn(_)
            | Layer::Dropout(_)
            | Layer::Copy(_)
            | Layer::Flatten
            | Layer::Add(_)
            | Layer::Concat(_)
            | Layer::SoftmaxLoss(_) => Ok(()),
        }
    }

    fn weight_update(&self, queue: &Queue, index: usize) -> Result<(), Fault> {
        let of = |span: super::parameters::Span| span.address;
        self.sgd.update(
            queue,
            Update {
                master: of(self.parameters.master(index, Part::Weights)),
                momentum: of(self.parameters.momentum(index, Part::Weights)),
                gradient: of(self.parameters.gradient(index, Part::Weights)),
                copy: self.parameters.copy(index, Part::Weights).map(of),
                elements: self.parameters.count(index),
                loss_scale: self.scale_address(),
            },
        )
    }

    /// Zero where there is none.
    fn scale_address(&self) -> u64 {
        self.loss_scale.as_ref().map_or(0, LossScale::address)
    }

    /// The first time; what warm-up skipped is nobody's concern.
    pub(super) fn begin_sampling(&mut self) {
        if self.skipped.is_none() {
            self.skipped = self.queue.as_ref().and_then(|queue| self.skipped_so_far(queue));
        }
    }

    /// `None` where no step can be skipped.
    fn skipped_so_far(&self, queue: &Queue) -> Option<u32> {
        self.loss_scale.as_ref()?.skipped(queue).ok()
    }

    /// An update that was skipped takes no time, which nothing else would show.
    fn note_skipped(&self, queue: &Queue) {
        let (Some(before), Some(now)) = (self.skipped, self.skipped_so_far(queue)) else { return };
        if now > before {
            let steps = now - before;
            let text = format!("loss scaling skipped {steps} measured steps: their weight_update took no time");
            note(&self.gpu, &self.step.plan, &text);
        }
    }

    /// Says of an error of this session's how much memory it is about.
    pub(super) fn sized(&self, error: DeviceError) -> DeviceError {
        sized(error, self.bytes(), 0)
    }
}

/// A sentence on one batch.
fn note(gpu: &Gpu, plan: &Plan, text: &str) {
    gpu.note(format!("batch {}, image {}: {text}", plan.batch, image_name(plan.image())));
}

/// Fills in what a call that ran out of memory does not tell.
fn sized(error: DeviceError, needed: u64, available: u64) -> DeviceError {
    match error {
        DeviceError::OutOfMemory { needed: 0, .. } => DeviceError::OutOfMemory { needed, available },
        other => other,
    }
}

impl Drop for CudaSession {
    /// Nothing may be held, or run, when the buffers go.
    fn drop(&mut self) {
        let _ = self.gpu.context().bind();
        self.hold.release();
        if let Some(queue) = self.queue.take() {
            let _ = queue.stream.synchronize();
            self.note_skipped(&queue);
            self.gpu.give_back(queue);
        }
    }
}
