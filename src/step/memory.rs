//! Places activations and their gradients in one arena.
//!
//! Training keeps a value only until its last reader, and a gradient only until its layer's backward is done, so memory can
//! be used again inside a step. Each tensor lives from its first to its last operation; the arena is laid out greedily,
//! largest tensor first, at the lowest offset that no tensor alive at the same time covers ("greedy by size", Pisarchyk and
//! Lee 2020, "Efficient Memory Management for Deep Neural Net Inference").

use super::Op;
use super::gaps::{Gaps, Placed};
use crate::model::Source;
use crate::plan::{F32_BYTES, Phase, Plan};

/// Offsets are multiples of this many elements: a cache line, and more than any vector.
const ALIGNMENT: usize = 64;

/// The arena's layout: offsets and sizes in elements.
#[derive(Clone, Debug)]
pub struct ArenaLayout {
    /// Elements in the whole arena.
    pub elements: usize,
    values: Vec<Option<usize>>,
    gradients: Vec<Option<usize>>,
    image_gradient: Option<usize>,
}

/// Bytes of everything a step holds, in f32; scratch of the device's algorithms is its own to add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Weights and biases.
    pub parameters: u64,
    /// Gradients of the parameters.
    pub gradients: u64,
    /// Momentum of the parameters.
    pub momentum: u64,
    /// The arena: activations and their gradients.
    pub activations: u64,
    /// The batch of images.
    pub input: u64,
}

impl Footprint {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.parameters + self.gradients + self.momentum + self.activations + self.input
    }
}

/// A tensor in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Slot {
    Value(usize),
    Gradient(Source),
}

struct Lifetime {
    slot: Slot,
    size: usize,
    first: usize,
    last: usize,
}

impl ArenaLayout {
    /// Lays out the tensors of a plan whose step runs `ops` in this order.
    pub fn new(plan: &Plan, ops: &[Op]) -> ArenaLayout {
        let mut tensors = lifetimes(plan, ops);
        tensors.sort_by_key(|tensor| (std::cmp::Reverse(tensor.size), tensor.slot));
        let count = plan.layers.len();
        let mut layout =
            ArenaLayout { elements: 0, values: vec![None; count], gradients: vec![None; count], image_gradient: None };
        let mut gaps = Gaps::default();
        for &Lifetime { ref slot, size, first, last } in &tensors {
            let offset = gaps.lowest(size, [first, last]);
            layout.elements = layout.elements.max(offset + size);
            match *slot {
                Slot::Value(layer) => layout.values[layer] = Some(offset),
                Slot::Gradient(Source::Layer(layer)) => layout.gradients[layer] = Some(offset),
                Slot::Gradient(Source::Image) => layout.image_gradient = Some(offset),
            }
            gaps.insert(Placed { start: offset, end: offset + size, first, last });
        }
        layout
    }

    /// Offset of a layer's output; flatten has none of its own.
    pub fn value(&self, layer: usize) -> Option<usize> {
        self.values[layer]
    }

    /// Offset of the gradient of a layer's output or of the image; `None` when it is not wanted.
    pub fn gradient(&self, of: Source) -> Option<usize> {
        match of {
            Source::Image => self.image_gradient,
            Source::Layer(layer) => self.gradients[layer],
        }
    }

    /// Bytes of everything that a step of `plan` holds.
    pub fn footprint(&self, plan: &Plan) -> Footprint {
        let parameters = F32_BYTES * plan.parameters();
        Footprint {
            parameters,
            gradients: parameters,
            momentum: parameters,
            activations: F32_BYTES * self.elements as u64,
            input: F32_BYTES * plan.input.elements() as u64,
        }
    }
}

/// First and last operation of every tensor.
fn lifetimes(plan: &Plan, ops: &[Op]) -> Vec<Lifetime> {
    let mut tensors: std::collections::BTreeMap<Slot, Lifetime> = Default::default();
    let mut touch = |slot: Slot, at: usize, elements: usize| {
        let size = elements.next_multiple_of(ALIGNMENT);
        let tensor = tensors.entry(slot).or_insert(Lifetime { slot, size, first: at, last: at });
        tensor.last = at;
    };
    for (at, op) in ops.iter().enumerate() {
        let layer = &plan.layers[op.layer];
        let output = layer.output.elements();
        let reads = layer.reads(op.phase);
        if reads.inputs {
            for (source, shape) in layer.inputs.iter().zip(&layer.input_shapes) {
                if let Source::Layer(of) = *source {
                    touch(Slot::Value(of), at, shape.elements());
                }
            }
        }
        if reads.output || op.phase == Phase::Forward {
            touch(Slot::Value(op.layer), at, output);
        }
        if reads.output_gradient {
            touch(Slot::Gradient(Source::Layer(op.layer)), at, output);
        }
        if op.phase == Phase::BackwardData {
            for (slot, &source) in layer.inputs.iter().enumerate().filter(|&(slot, _)| layer.input_gradients[slot]) {
                touch(Slot::Gradient(source), at, layer.input_shapes[slot].elements());
            }
        }
    }
    tensors.into_values().collect()
}
