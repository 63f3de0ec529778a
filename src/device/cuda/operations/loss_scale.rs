//! Dynamic loss scaling, which f16 needs: the device looks for gradients that are not finite, and itself decides whether this step's
//! updates are skipped and what the next step's scale is. The host is not asked.

use crate::device::cuda::driver::{Argument, Buffer, CallError, Element, Grid, Handles, Kernel, memory};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::cuda::parameters::{ParameterKind, Parameters};

/// The first scale: far from f16's largest number even for a batch of one, whose loss has gradients near one.
const FIRST: f32 = 4096.0;
const LIMIT: f32 = 65536.0;
/// PyTorch's GradScaler has these three.
const GROWTH: f32 = 2.0;
const BACKOFF: f32 = 0.5;
const INTERVAL: u32 = 2000;

/// Six words, as `kernels/common.cuh` declares them: scale, 1 / scale of this step, found, skip, good steps, skipped steps.
const STATE_BYTES: usize = 24;

/// The state of loss scaling, and its kernels.
pub struct LossScale {
    state: Buffer,
    check: Kernel,
    check_f32: Kernel,
    decide: Kernel,
}

impl LossScale {
    /// With the first scale.
    pub fn new(gpu: &SharedGpu, handles: &Handles) -> Result<LossScale, Failure> {
        let state = Buffer::new(STATE_BYTES)?;
        let words = [FIRST.to_bits(), FIRST.recip().to_bits(), 0, 0, 0, 0];
        memory::write(&handles.stream, state.address(), &words.map(u32::to_le_bytes).concat())?;
        Ok(LossScale {
            state,
            check: gpu.kernel("loss_scale_check")?,
            check_f32: gpu.kernel_for("loss_scale_check", Element::F32)?,
            decide: gpu.kernel_named("loss_scale_decide")?,
        })
    }

    /// The state's device address.
    pub fn address(&self) -> u64 {
        self.state.address()
    }

    /// Device memory held.
    pub fn bytes(&self) -> usize {
        self.state.bytes()
    }

    /// Looks at the gradients of all layers, and decides.
    pub fn check(&self, handles: &Handles, parameters: &Parameters, layers: usize) -> Result<(), CallError> {
        for layer in (0..layers).filter(|&layer| parameters.count(layer) > 0) {
            let (gradient, elements) = (parameters.gradient(layer, ParameterKind::Weights), parameters.count(layer));
            let check = if gradient.element == Element::F32 { &self.check_f32 } else { &self.check };
            let arguments: [&dyn Argument; 3] = [&gradient.address, &self.address(), &elements];
            check.launch(&handles.stream, Grid::streaming(elements, gradient.element.bytes()), &arguments)?;
        }
        self.decide.launch(&handles.stream, Grid::ONE, &[&self.address(), &GROWTH, &BACKOFF, &LIMIT, &INTERVAL])
    }

    /// Steps that were skipped so far.
    pub fn skipped(&self, handles: &Handles) -> Result<u32, CallError> {
        let state = memory::read(&handles.stream, self.state.address(), STATE_BYTES)?;
        Ok(u32::from_le_bytes([state[20], state[21], state[22], state[23]]))
    }

    /// The factor of this step's gradients: before and after the decision it stands in different words.
    pub fn scale(&self, handles: &Handles, decided: bool) -> Result<f32, CallError> {
        let words = Element::F32.decode(&memory::read(&handles.stream, self.state.address(), STATE_BYTES)?);
        Ok(if decided { words[1].recip() } else { words[0] })
    }
}
