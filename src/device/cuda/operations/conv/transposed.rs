//! Transposed convolution, by cuDNN's convolution from the output to the input, with forward and backward_data exchanged.

use super::padded::Padded;
use super::{ConvAddresses, ConvOp};
use crate::device::Algorithm;
use crate::device::cuda::driver::{CallError, Handles};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::cuda::operations::bias::Bias;
use crate::device::cuda::operations::{BackwardData, BackwardWeights, Forward, Operation};
use crate::plan::{LayerPlan, Phase};

/// A transposed convolution.
pub struct ConvTransposeOp {
    conv: ConvOp,
    bias: Option<Bias>,
}

impl ConvTransposeOp {
    /// With cuDNN's basic algorithms, as a convolution.
    pub fn new(
        planned: &LayerPlan,
        bias: bool,
        gpu: &SharedGpu,
        handles: &Handles,
    ) -> Result<ConvTransposeOp, Failure> {
        Ok(ConvTransposeOp {
            conv: ConvOp::new(planned.conv(), false, gpu, handles)?,
            bias: bias.then(|| Bias::new(planned.output, gpu)).transpose()?,
        })
    }
}

impl Operation for ConvTransposeOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let addresses = ConvAddresses { x: at.output, w: at.parameters.weights, y: at.x() };
        self.conv.input_gradient(handles, addresses, at.workspace, false)?;
        self.bias.as_ref().map_or(Ok(()), |bias| bias.add(handles, at.output, at.parameters.biases))
    }

    /// backward_weights has left the output's gradient with its zeros where padding differs on opposite sides.
    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let x = self.conv.padded.as_ref().map_or(at.dy, Padded::address);
        let addresses = ConvAddresses { x, w: at.parameters.weights, y: at.dx };
        self.conv.convolve(handles, Phase::Forward, addresses, at.workspace, at.accumulate)
    }

    fn backward_weights(&self, handles: &Handles, at: &BackwardWeights) -> Result<(), CallError> {
        let mut addresses = ConvAddresses { x: at.dy, w: at.parameters.weight_gradients, y: at.x };
        if let Some(padded) = &self.conv.padded {
            padded.enter(handles, at.dy)?;
            addresses.x = padded.address();
        }
        self.conv.convolve(handles, Phase::BackwardWeights, addresses, at.workspace, false)?;
        self.bias.as_ref().map_or(Ok(()), |bias| bias.gradient(handles, at.dy, at.parameters.bias_gradients))
    }

    fn bytes(&self) -> usize {
        self.conv.bytes() + self.bias.as_ref().map_or(0, Bias::bytes)
    }

    fn algorithm(&self, phase: Phase) -> Option<Algorithm> {
        self.conv.algorithm(phase.exchanged())
    }

    fn convolution(&mut self) -> Option<&mut ConvOp> {
        Some(&mut self.conv)
    }
}
