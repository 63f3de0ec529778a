//! What a phase must compute and move at the least: the roofline's two numerators.
//!
//! Multiply-adds are the direct count, as published for networks: a bias is not counted, and an algorithm that needs fewer
//! (Winograd) shows as more than the roof. Elementwise kinds count one operation per addition, multiplication,
//! comparison, exponential or power. Bytes count each operand once, in the size that the plan's elements have.

use super::{LayerPlan, Phase, PoolGeometry, Shape};
use crate::model::Kind;

/// Size of an element of masters and momentum, and of everything under f32.
pub const F32_BYTES: u64 = 4;

/// What a phase's time is spent on: the longer of computing and moving, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    Compute,
    Memory,
    Latency,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-adds of convolutions and fully connected layers.
    pub macs: u64,
    /// Two per multiply-add, one per other operation.
    pub flops: u64,
    pub bytes: u64,
}

pub fn of(layer: &LayerPlan, phase: Phase) -> Cost {
    if !layer.has(phase) {
        return Cost::default();
    }
    let macs = if phase == Phase::WeightUpdate { 0 } else { macs(layer) };
    let flops = if macs > 0 { 2 * macs } else { operations(layer, phase) };
    let bytes = match phase {
        Phase::WeightUpdate => update_bytes(layer),
        Phase::Forward | Phase::BackwardData | Phase::BackwardWeights | Phase::LossScale => {
            layer.element_bytes * elements_moved(layer, phase)
        }
    };
    Cost { macs, flops, bytes }
}

fn elements(shape: Shape) -> u64 {
    shape.elements() as u64
}

/// The same for forward, backward_data and backward_weights: each pairs every weight with every output position it meets.
fn macs(layer: &LayerPlan) -> u64 {
    match &layer.kind {
        Kind::Conv(_) => elements(layer.output) / layer.output.c as u64 * layer.weights,
        Kind::Fc(_) => layer.output.n as u64 * layer.weights,
        Kind::Relu
        | Kind::MaxPool(_)
        | Kind::AvgPool(_)
        | Kind::Lrn(_)
        | Kind::Dropout(_)
        | Kind::Flatten
        | Kind::BatchNorm(_)
        | Kind::Add
        | Kind::Concat
        | Kind::SoftmaxLoss => 0,
    }
}

/// Operations of what is not multiply-adds.
fn operations(layer: &LayerPlan, phase: Phase) -> u64 {
    // g + wd·w, momentum·v + g, w − lr·v: three multiplications and three additions.
    const SGD: u64 = 6;
    match phase {
        Phase::WeightUpdate => return SGD * layer.parameters(),
        // One comparison each.
        Phase::LossScale => return layer.checked_gradients,
        Phase::Forward | Phase::BackwardData | Phase::BackwardWeights => {}
    }
    let forward = phase == Phase::Forward;
    let (input, output) = (elements(layer.input()), elements(layer.output));
    let visits = |pool: Result<PoolGeometry, String>| {
        pool.map_or(0, |pool| pool.visits() * (layer.input().n * layer.input().c) as u64)
    };
    match &layer.kind {
        Kind::Relu | Kind::Dropout(_) => output,
        // One comparison per visit; backward, one addition per window.
        Kind::MaxPool(pool) => {
            if forward {
                visits(PoolGeometry::max(pool, layer.input()))
            } else {
                output
            }
        }
        // One addition per visit, and the scaling of each window.
        Kind::AvgPool(pool) => visits(PoolGeometry::average(pool, layer.input())) + output,
        // Square, window sum, affine, power, product; backward has a second windowed sum over products.
        Kind::Lrn(lrn) => output * (lrn.size as u64 + if forward { 5 } else { 8 }),
        // Mean and variance (4), normalise (2), scale and shift (2); the gradient of the input takes 7, of the parameters 3.
        Kind::BatchNorm(_) => match phase {
            Phase::Forward => 8 * output,
            Phase::BackwardData => 7 * output,
            Phase::BackwardWeights => 3 * output,
            Phase::LossScale | Phase::WeightUpdate => 0,
        },
        Kind::Add => (layer.inputs.len() as u64 - 1) * output,
        // Maximum, subtraction, exponential, sum, division; backward subtracts the label and scales.
        Kind::SoftmaxLoss => input * if forward { 5 } else { 2 },
        Kind::Concat | Kind::Flatten | Kind::Conv(_) | Kind::Fc(_) => 0,
    }
}

/// Elements read and written, each operand once; a gradient that is added to is read as well.
fn elements_moved(layer: &LayerPlan, phase: Phase) -> u64 {
    let inputs: u64 = layer.input_shapes.iter().map(|&shape| elements(shape)).sum();
    let output = elements(layer.output);
    let parameters = layer.parameters();
    match phase {
        Phase::Forward => inputs + parameters + output,
        Phase::BackwardData => {
            let gradients: u64 = layer
                .input_shapes
                .iter()
                .zip(&layer.input_gradients)
                .zip(&layer.accumulate)
                .filter(|((_, wanted), _)| **wanted)
                .map(|((&shape, _), &adds)| elements(shape) * if adds { 2 } else { 1 })
                .sum();
            output + gradients + saved_for_backward_data(layer)
        }
        Phase::BackwardWeights => inputs + output + parameters,
        Phase::LossScale => layer.checked_gradients,
        Phase::WeightUpdate => 5 * parameters,
    }
}

/// Weight, momentum and gradient in; weight and momentum out. Smaller elements mean a smaller gradient, and a copy of the weight
/// to write. Batchnorm's parameters are f32 in every precision.
fn update_bytes(layer: &LayerPlan) -> u64 {
    let (masters, element) = (4 * F32_BYTES, layer.element_bytes);
    let mixed = element != F32_BYTES && !matches!(layer.kind, Kind::BatchNorm(_));
    layer.parameters() * if mixed { masters + 2 * element } else { masters + F32_BYTES }
}

/// What the gradient of the input depends on beside the gradient of the output.
fn saved_for_backward_data(layer: &LayerPlan) -> u64 {
    let (input, output) = (elements(layer.input()), elements(layer.output));
    match &layer.kind {
        Kind::Conv(_) | Kind::Fc(_) => layer.weights,
        Kind::Relu | Kind::Dropout(_) => output,
        Kind::MaxPool(_) | Kind::Lrn(_) => input + output,
        Kind::BatchNorm(_) => input + layer.parameters(),
        // The probabilities take the place of the output's gradient, which a loss does not have.
        Kind::SoftmaxLoss | Kind::AvgPool(_) | Kind::Add | Kind::Concat | Kind::Flatten => 0,
    }
}
