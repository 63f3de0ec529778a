//! A step made real on a GPU: one arena for activations and their gradients, the parameters, and the memory that layers hold for
//! themselves.

use std::sync::Arc;

use smallvec::SmallVec;

use super::clock::StepClock;
use super::driver::{Buffer, CallError, Event, Handles};
use super::failure::Failure;
use super::gpu::SharedGpu;
use super::operations::{
    BackwardData, BackwardWeights, Forward, LossScale, Operation, ParameterAddresses, Sgd, Update, operation,
};
use super::parameters::{ParameterKind, Parameters, Span};
use super::ranges::Ranges;
use super::stream_gate::StreamGate;
use crate::device::order::Orders;
use crate::device::{DeviceError, Training};
use crate::model::Source;
use crate::plan::{LayerPlan, Phase, Plan, image_name};
use crate::step::{Op, Step};

/// A session on a GPU.
pub struct CudaSession {
    pub(super) step: Step,
    /// Steps that have begun: each has dropout masks of its own.
    pub(super) begun: u32,
    pub(super) orders: Orders,
    pub(super) layers: Vec<Box<dyn Operation>>,
    /// [`crate::step::memory::ArenaLayout`]'s arena.
    pub(super) arena: Buffer,
    pub(super) images: Buffer,
    pub(super) parameters: Parameters,
    sgd: Sgd,
    pub(super) loss_scale: Option<LossScale>,
    /// This step's gradients have been looked at.
    pub(super) decided: bool,
    /// Steps without an update when sampling began.
    skipped: Option<u32>,
    /// Scratch for whichever convolution is at work.
    pub(super) workspace: Buffer,
    pub(super) events: Vec<Event>,
    pub(super) marks: usize,
    pub(super) gate: StreamGate,
    pub(super) clock: StepClock,
    /// Steps are held until they are enqueued.
    pub(super) queued: bool,
    /// Names of steps and phases for a profiler.
    pub(super) ranges: Option<Ranges>,
    /// Given back when this is dropped.
    pub(super) handles: Option<Handles>,
    pub(super) gpu: Arc<SharedGpu>,
}

/// Bytes of everything but the layers' own memory and the workspace: they are known before anything is allocated.
fn least_bytes(step: &Step, gpu: &SharedGpu) -> u64 {
    let element = gpu.arithmetic.element();
    let activations = (step.arena.elements + step.plan.input.elements()) * element.bytes();
    (activations + Parameters::bytes_for(&step.plan, element)) as u64
}

/// Tells if a layer has more elements than cuDNN and the kernels can count.
fn is_beyond_counting(planned: &LayerPlan) -> bool {
    let mut shapes = planned.input_shapes.iter().chain([&planned.output]);
    shapes.any(|shape| shape.elements() >= 1 << 31)
}

impl CudaSession {
    /// Refuses, before allocating, what cannot fit.
    pub fn open(step: &Step, training: Training, gpu: &Arc<SharedGpu>) -> Result<CudaSession, DeviceError> {
        let (available, _) = gpu.context().memory().map_err(|error| Failure::from(error).unsized_error())?;
        let needed = least_bytes(step, gpu);
        let uncountable = step.plan.layers.iter().find(|layer| is_beyond_counting(layer));
        if let Some(LayerPlan { name, .. }) = uncountable {
            note(gpu, &step.plan, &format!("`{name}` has more elements than cuDNN can address (2^31)"));
        }
        if needed > available || uncountable.is_some() {
            return Err(DeviceError::OutOfMemory { needed, available, smaller_helps: step.plan.batch > 1 });
        }
        let opened = CudaSession::allocate(step, training, gpu).and_then(|mut session| {
            session.choose_algorithms()?;
            Ok(session)
        });
        opened.map_err(|failure| failure.sized(needed, available, step.plan.batch > 1))
    }

    fn allocate(step: &Step, training: Training, gpu: &Arc<SharedGpu>) -> Result<CudaSession, Failure> {
        let (plan, element) = (&step.plan, gpu.arithmetic.element());
        let handles = gpu.take_handles()?;
        let orders = Orders::new(plan, gpu.arithmetic.layout)?;
        let arena = Buffer::new(step.arena.elements * element.bytes())?;
        let images = Buffer::new(plan.input.elements() * element.bytes())?;
        let parameters = Parameters::new(plan, element)?;
        let mut layers = Vec::with_capacity(plan.layers.len());
        for layer in &plan.layers {
            layers.push(operation(&layers, layer, orders.of(layer.inputs[0]), &training, gpu, &handles)?);
        }
        Ok(CudaSession {
            begun: 0,
            layers,
            orders,
            arena,
            images,
            parameters,
            sgd: Sgd::new(&training, gpu)?,
            loss_scale: plan.layers[plan.loss()]
                .has(Phase::LossScale)
                .then(|| LossScale::new(gpu, &handles))
                .transpose()?,
            decided: false,
            skipped: None,
            workspace: Buffer::new(0)?,
            events: (0..step.ops.len() + 2).map(|_| Event::new()).collect::<Result<Vec<_>, _>>()?,
            marks: 0,
            gate: StreamGate::new(gpu)?,
            clock: StepClock::new(gpu)?,
            queued: false,
            ranges: gpu.ranges.map(|marking| Ranges::new(marking, plan)),
            handles: Some(handles),
            gpu: gpu.clone(),
            step: step.clone(),
        })
    }

    pub(super) fn handles(&self) -> Result<&Handles, DeviceError> {
        self.handles.as_ref().ok_or_else(CudaSession::closed)
    }

    pub(super) fn closed() -> DeviceError {
        DeviceError::Unusable("the session is closed".into())
    }

    pub(super) fn planned(&self, layer: usize) -> &LayerPlan {
        &self.step.plan.layers[layer]
    }

    /// The address of a source's values. The loss's are kept by the layer itself, in f32.
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

    pub(super) fn parameter_addresses(&self, layer: usize) -> ParameterAddresses {
        let read = |kind| self.parameters.read(layer, kind).address;
        let gradient = |kind| self.parameters.gradient(layer, kind).address;
        ParameterAddresses {
            weights: read(ParameterKind::Weights),
            biases: read(ParameterKind::Biases),
            weight_gradients: gradient(ParameterKind::Weights),
            bias_gradients: gradient(ParameterKind::Biases),
        }
    }

    /// Bytes held, scratch included.
    pub(super) fn bytes(&self) -> u64 {
        let layers: usize = self.layers.iter().map(|layer| layer.bytes()).sum();
        let scale = self.loss_scale.as_ref().map_or(0, LossScale::bytes);
        least_bytes(&self.step, &self.gpu) + (layers + scale + self.workspace.bytes() + self.clock.bytes()) as u64
    }

    /// Enqueues a phase of a layer.
    pub(super) fn enqueue(&self, op: Op) -> Result<(), Failure> {
        let handles = self.handles()?;
        let done = match op.phase {
            Phase::Forward => self.forward(handles, op.layer),
            Phase::BackwardData => (0..self.planned(op.layer).inputs.len())
                .try_for_each(|input| self.backward_data(handles, op.layer, input)),
            Phase::BackwardWeights => self.backward_weights(handles, op.layer),
            // A device without ranks refuses a plan that has them.
            Phase::AllReduce => Ok(()),
            Phase::LossScale => match &self.loss_scale {
                Some(scale) => scale.check(handles, &self.parameters, self.layers.len()),
                None => Ok(()),
            },
            Phase::WeightUpdate => self.weight_update(handles, op.layer),
        };
        done.map_err(|error| Failure::within(error, &self.planned(op.layer).name, op.phase))
    }

    fn forward(&self, handles: &Handles, layer: usize) -> Result<(), CallError> {
        let inputs: SmallVec<[u64; 8]> = self.planned(layer).inputs.iter().map(|&source| self.value(source)).collect();
        let at = Forward {
            inputs: &inputs,
            output: self.value(Source::Layer(layer)),
            parameters: self.parameter_addresses(layer),
            workspace: &self.workspace,
            step: self.begun,
        };
        self.layers[layer].forward(handles, &at)
    }

    /// Enqueues the gradient of one input, if it is wanted.
    fn backward_data(&self, handles: &Handles, layer: usize, input: usize) -> Result<(), CallError> {
        let planned = self.planned(layer);
        if !planned.input_gradients[input] {
            return Ok(());
        }
        let (source, this) = (planned.inputs[input], Source::Layer(layer));
        let inputs: SmallVec<[u64; 8]> = planned.inputs.iter().map(|&source| self.value(source)).collect();
        let at = BackwardData {
            input,
            inputs: &inputs,
            x: self.value(source),
            y: self.value(this),
            dy: self.gradient(this),
            dx: self.gradient(source),
            accumulate: planned.accumulate[input],
            parameters: self.parameter_addresses(layer),
            workspace: &self.workspace,
            loss_scale: self.scale_address(),
        };
        self.layers[layer].backward_data(handles, &at)
    }

    fn backward_weights(&self, handles: &Handles, layer: usize) -> Result<(), CallError> {
        let at = BackwardWeights {
            x: self.value(self.planned(layer).inputs[0]),
            dy: self.gradient(Source::Layer(layer)),
            parameters: self.parameter_addresses(layer),
            workspace: &self.workspace,
        };
        self.layers[layer].backward_weights(handles, &at)
    }

    fn weight_update(&self, handles: &Handles, layer: usize) -> Result<(), CallError> {
        let of = |span: Span| span.address;
        let update = Update {
            master: of(self.parameters.master(layer, ParameterKind::Weights)),
            momentum: of(self.parameters.momentum(layer, ParameterKind::Weights)),
            gradient: of(self.parameters.gradient(layer, ParameterKind::Weights)),
            copy: self.parameters.copy(layer, ParameterKind::Weights).map(of),
            elements: self.parameters.count(layer),
            loss_scale: self.scale_address(),
        };
        self.sgd.update(handles, update)
    }

    /// Zero where there is none.
    fn scale_address(&self) -> u64 {
        self.loss_scale.as_ref().map_or(0, LossScale::address)
    }

    /// Remembers, the first time, how many steps were skipped: those of the warm-up are nobody's concern.
    pub(super) fn begin_sampling(&mut self) {
        self.ranges = self.ranges.take().filter(Ranges::are_in_measured_steps);
        if self.skipped.is_none() {
            self.skipped = self.handles.as_ref().and_then(|handles| self.skipped_so_far(handles));
        }
    }

    /// `None` where no step can be skipped.
    fn skipped_so_far(&self, handles: &Handles) -> Option<u32> {
        self.loss_scale.as_ref()?.skipped(handles).ok()
    }

    /// An update that was skipped takes no time, which nothing else would show.
    fn note_skipped(&self, handles: &Handles) {
        let (Some(before), Some(now)) = (self.skipped, self.skipped_so_far(handles)) else { return };
        if now > before {
            let steps = now - before;
            let text = format!("loss scaling skipped {steps} measured steps: their weight_update took no time");
            note(&self.gpu, &self.step.plan, &text);
        }
    }

    /// Says how much memory a failure of this session is about. All that was free is held.
    pub(super) fn sized(&self, failure: Failure) -> DeviceError {
        failure.sized(self.bytes(), 0, self.step.plan.batch > 1)
    }
}

/// Notes a sentence on one batch.
fn note(gpu: &SharedGpu, plan: &Plan, text: &str) {
    gpu.note(format!("batch {}, image {}: {text}", plan.batch, image_name(plan.image())));
}

impl Drop for CudaSession {
    /// Nothing may be held, or run, when the buffers go.
    fn drop(&mut self) {
        let _ = self.gpu.context().bind();
        self.gate.release();
        if let Some(handles) = self.handles.take() {
            let _ = handles.stream.synchronize();
            self.note_skipped(&handles);
            self.gpu.give_back(handles);
        }
    }
}
