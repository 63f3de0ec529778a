//! Choosing a session's convolution algorithms, before its first step.

use super::driver::{Buffer, CallError, Handles, memory};
use super::failure::Failure;
use super::gpu::{Arithmetic, SharedGpu};
use super::operations::{AlgorithmChooser, AlgorithmRequest, ConvAddresses, Operation, ParameterAddresses};
use super::session::CudaSession;
use crate::device::options::{CudnnApi, Search};
use crate::model::{Kind, Source};
use crate::philox::{Philox, RandomStream};
use crate::plan::{LayerPlan, Phase};
use crate::step::Op;

impl CudaSession {
    /// Chooses on the session's own buffers, before they hold anything: a search overwrites its outputs.
    pub(super) fn choose_algorithms(&mut self) -> Result<(), Failure> {
        let (gpu, handles) = (self.gpu.clone(), self.handles.take());
        let Some(handles) = handles else { return Ok(()) };
        let chosen = self.choose_with(&gpu, &handles);
        self.handles = Some(handles);
        chosen
    }

    fn choose_with(&mut self, gpu: &SharedGpu, handles: &Handles) -> Result<(), Failure> {
        // While they are chosen for, the session's other parts are only looked at.
        let mut layers = std::mem::take(&mut self.layers);
        let most = self.choose_for(&mut layers, gpu, handles)?;
        if self.times_engines() {
            self.forget_search()?;
        }
        self.workspace = Buffer::new(most)?;
        for (layer, request) in self.requests() {
            if let Some(conv) = layers[layer].convolution() {
                let request = conv.inner(&request);
                conv.bind(&request, &self.workspace)?;
            }
        }
        self.layers = layers;
        Ok(())
    }

    /// Chooses for all convolutions; how much scratch they take.
    fn choose_for(
        &self,
        layers: &mut [Box<dyn Operation>],
        gpu: &SharedGpu,
        handles: &Handles,
    ) -> Result<usize, Failure> {
        let mut chooser = AlgorithmChooser::new(gpu, handles)?;
        for (layer, request) in self.requests() {
            if let Some(conv) = layers[layer].convolution() {
                chooser.measure(conv, &conv.inner(&request))?;
            }
        }
        chooser.take_scratch()?;
        if self.times_engines() {
            self.prepare_search(handles)?;
        }
        let mut most = 0;
        for (layer, request) in self.requests() {
            if let Some(conv) = layers[layer].convolution() {
                let request = conv.inner(&request);
                chooser.choose(conv, &request)?;
                most = most.max(conv.workspace_bytes());
            }
        }
        Ok(most)
    }

    /// The convolutions' phases, with the tensors where they are now.
    fn requests(&self) -> impl Iterator<Item = (usize, AlgorithmRequest<'_>)> {
        self.step.ops.iter().filter_map(|&op| {
            let at = self.conv_addresses(op)?;
            let LayerPlan { name, accumulate, kind, .. } = &self.step.plan.layers[op.layer];
            let accumulate = op.phase == Phase::BackwardData && accumulate[0];
            let transposed = matches!(kind, Kind::ConvTranspose(_));
            let phase = if transposed { op.phase.exchanged() } else { op.phase };
            let at = if transposed { ConvAddresses { x: at.y, y: at.x, ..at } } else { at };
            Some((op.layer, AlgorithmRequest { layer: name, step_phase: op.phase, phase, at, accumulate }))
        })
    }

    /// Tells if engines are run to choose among them.
    fn times_engines(&self) -> bool {
        let Arithmetic { cudnn, algorithms, .. } = self.gpu.arithmetic;
        (cudnn, algorithms) == (CudnnApi::Graph, Search::Exhaustive)
    }

    /// Takes fresh memory after a search: nothing that it wrote can be taken for a step's own.
    fn forget_search(&mut self) -> Result<(), CallError> {
        self.arena.renew()?;
        self.images.renew()?;
        self.parameters.renew()
    }

    /// Fills what a search of engines reads: numbers, since hardware runs faster on zeros, and none of them NaN.
    fn prepare_search(&self, handles: &Handles) -> Result<(), CallError> {
        const NUMBERS: usize = 1 << 16;
        let philox = Philox::new(1);
        let numbers: Vec<f32> = (0..NUMBERS).map(|index| philox.uniform(RandomStream::Images, index) - 0.5).collect();
        let pattern = self.gpu.arithmetic.element().encode(&numbers);
        let read = self.parameters.read_memory();
        for (address, bytes) in
            [(self.arena.address(), self.arena.bytes()), (self.images.address(), self.images.bytes()), read]
        {
            memory::repeat(&handles.stream, address, bytes, &pattern)?;
        }
        Ok(())
    }

    /// The tensors of a convolution's phase; `None` for the update.
    fn conv_addresses(&self, Op { layer, phase }: Op) -> Option<ConvAddresses> {
        let source = self.planned(layer).inputs[0];
        let ParameterAddresses { weights, weight_gradients, .. } = self.parameter_addresses(layer);
        let this = Source::Layer(layer);
        match phase {
            Phase::Forward => Some(ConvAddresses { x: self.value(source), w: weights, y: self.value(this) }),
            Phase::BackwardData => Some(ConvAddresses { x: self.gradient(source), w: weights, y: self.gradient(this) }),
            Phase::BackwardWeights => {
                Some(ConvAddresses { x: self.value(source), w: weight_gradients, y: self.gradient(this) })
            }
            Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => None,
        }
    }
}
