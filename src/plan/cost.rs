//! The least that a phase must compute and move: the roofline's two numerators.
//!
//! Multiply-adds are the direct count, as published for networks: a bias is not counted, and an algorithm that needs fewer
//! (Winograd) shows as more than the roof. Elementwise kinds count one operation per addition, multiplication,
//! comparison, exponential or power. Bytes count each operand once, in the size that the plan's elements have.

use super::kinds::rules;
use super::{Geometry, LayerPlan, Phase, Shape};

/// Size of an element of masters and momentum, and of everything under f32.
pub const F32_BYTES: u64 = 4;

/// The limit of a phase's time: the longer of computing and moving, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The device's arithmetic.
    Compute,
    /// The memory's bandwidth.
    Memory,
    /// Neither: the phase takes much longer than both ask for.
    Latency,
    /// A cache: the phase moves its bytes quicker than memory can, and few enough to live in one.
    Cache,
}

/// The least that a phase computes and moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-adds of convolutions and fully connected layers.
    pub macs: u64,
    /// Two per multiply-add, one per other operation.
    pub flops: u64,
    /// Bytes read and written, each operand once.
    pub bytes: u64,
}

pub fn of(layer: &LayerPlan, phase: Phase) -> Cost {
    if !layer.has(phase) {
        return Cost::default();
    }
    let macs = if matches!(phase, Phase::AllReduce | Phase::WeightUpdate) { 0 } else { macs(layer) };
    let flops = if macs > 0 { 2 * macs } else { operations(layer, phase) };
    let bytes = match phase {
        Phase::WeightUpdate => update_bytes(layer),
        Phase::Forward | Phase::BackwardData | Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale => {
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
    match &layer.geometry {
        Geometry::Conv(conv) => conv.macs() as u64,
        Geometry::Fc(fc) => fc.macs() as u64,
        Geometry::Pool(_) | Geometry::Shapes => 0,
    }
}

/// Operations that are not multiply-adds.
fn operations(layer: &LayerPlan, phase: Phase) -> u64 {
    // g + wd·w, momentum·v + g, w − lr·v: three multiplications and three additions.
    const SGD: u64 = 6;
    match phase {
        Phase::Forward | Phase::BackwardData | Phase::BackwardWeights => rules(&layer.kind).operations(layer, phase),
        // N − 1 additions and a division by N of each, shared among N ranks.
        Phase::AllReduce => layer.parameters(),
        // One comparison each.
        Phase::LossScale => layer.checked_gradients,
        Phase::WeightUpdate => SGD * layer.parameters(),
    }
}

/// Elements read and written, each operand once; a gradient that is added to is read as well.
fn elements_moved(layer: &LayerPlan, phase: Phase) -> u64 {
    let inputs = input_elements(layer);
    let output = elements(layer.output);
    let parameters = layer.parameters();
    match phase {
        Phase::Forward => inputs + parameters + output,
        Phase::BackwardData => {
            let wanted = layer.input_shapes.iter().zip(&layer.input_gradients).zip(&layer.accumulate);
            let gradients = wanted.filter(|((_, wanted), _)| **wanted);
            let gradients: u64 = gradients.map(|((&shape, _), &adds)| elements(shape) * if adds { 2 } else { 1 }).sum();
            output + gradients + saved_for_backward_data(layer)
        }
        Phase::BackwardWeights => inputs + output + parameters,
        Phase::AllReduce => 2 * parameters,
        Phase::LossScale => layer.checked_gradients,
        Phase::WeightUpdate => 5 * parameters,
    }
}

/// Weight, momentum and gradient in; weight and momentum out. Smaller elements mean a smaller gradient, and a copy of the weight
/// to write. Batchnorm's parameters are f32 in every precision.
fn update_bytes(layer: &LayerPlan) -> u64 {
    let (masters, element) = (4 * F32_BYTES, layer.element_bytes);
    let mixed = element != F32_BYTES && layer.geometry != Geometry::Shapes;
    layer.parameters() * if mixed { masters + 2 * element } else { masters + F32_BYTES }
}

/// Elements of the inputs. A position counts as one, and unpooling has as many as values.
fn input_elements(layer: &LayerPlan) -> u64 {
    match layer.positions_of {
        Some(_) => 2 * elements(layer.input()),
        None => layer.input_shapes.iter().map(|&shape| elements(shape)).sum(),
    }
}

/// Elements that the gradient of the input depends on, beside the gradient of the output.
fn saved_for_backward_data(layer: &LayerPlan) -> u64 {
    let reads = layer.reads(Phase::BackwardData);
    let read = |reads: bool, elements: u64| if reads { elements } else { 0 };
    // A loss reads its probabilities in place of a gradient of its output, which is counted already.
    let output = (reads.output && reads.output_gradient) || reads.mask;
    // Unpooling needs none of its values again.
    let inputs = if layer.positions_of.is_some() { elements(layer.input()) } else { input_elements(layer) };
    read(reads.inputs, inputs)
        + read(output, elements(layer.output))
        + read(reads.weights, layer.weights)
        + read(reads.biases, layer.biases)
}
