//! Reading a phase's operands from a session, in f64.

use super::reference::{self, Operands};
use super::tensor_name::{gradient, value};
use crate::device::{DeviceError, Session, Tensor};
use crate::model::Source;
use crate::plan::{Phase, Plan};
use crate::step::Op;

/// The operands of one operation as the device has them.
#[derive(Default)]
pub struct DeviceOperands {
    inputs: Vec<Vec<f64>>,
    output: Vec<f64>,
    output_gradient: Vec<f64>,
    weights: Vec<f64>,
    biases: Vec<f64>,
    mask: Option<Vec<f64>>,
}

impl DeviceOperands {
    /// To be called before the operation runs: an operation that overwrites what it reads must not go unseen. Masks alone
    /// come into being with dropout's forward, see [`DeviceOperands::read_mask`].
    pub fn read(session: &mut dyn Session, plan: &Plan, op: Op) -> Result<DeviceOperands, DeviceError> {
        let layer = &plan.layers[op.layer];
        let reads = reference::reads(layer, op.phase);
        let mut read = |wanted: bool, tensor: Tensor| -> Result<Vec<f64>, DeviceError> {
            if wanted { in_f64(session, tensor) } else { Ok(Vec::new()) }
        };
        let inputs = match reads.inputs {
            true => layer.inputs.iter().map(|&source| read(true, value(source))).collect::<Result<_, _>>()?,
            false => Vec::new(),
        };
        Ok(DeviceOperands {
            inputs,
            output: read(reads.output, Tensor::Output(op.layer))?,
            output_gradient: read(reads.output_gradient, gradient(Source::Layer(op.layer)))?,
            weights: read(reads.weights, Tensor::Weight(op.layer))?,
            biases: read(reads.biases, Tensor::Bias(op.layer))?,
            mask: None,
        })
    }

    /// To be called after the operation has run, with dropout on.
    pub fn read_mask(&mut self, session: &mut dyn Session, plan: &Plan, op: Op) -> Result<(), DeviceError> {
        if reads_mask(plan, op) {
            self.mask = Some(in_f64(session, Tensor::Mask(op.layer))?);
        }
        Ok(())
    }

    pub fn lend<'a>(&'a self, labels: &'a [usize]) -> Operands<'a> {
        Operands {
            inputs: self.inputs.iter().map(Vec::as_slice).collect(),
            output: &self.output,
            output_gradient: &self.output_gradient,
            weights: &self.weights,
            biases: &self.biases,
            mask: self.mask.as_deref(),
            labels,
        }
    }
}

fn reads_mask(plan: &Plan, op: Op) -> bool {
    plan.layers[op.layer].kind.has_mask() && op.phase != Phase::WeightUpdate
}

pub fn in_f64(session: &mut dyn Session, tensor: Tensor) -> Result<Vec<f64>, DeviceError> {
    Ok(session.read(tensor)?.into_iter().map(f64::from).collect())
}

/// The class of each image.
pub fn labels(session: &mut dyn Session) -> Result<Vec<usize>, DeviceError> {
    Ok(session.read(Tensor::Labels)?.into_iter().map(|label| label as usize).collect())
}
