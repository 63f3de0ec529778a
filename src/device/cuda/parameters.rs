//! Weights and biases on the device: f32 masters with their momentum, gradients, and under f16 and bf16 the copies that layers read.

use super::driver::{Buffer, CallError, Element};
use crate::plan::{Geometry, LayerPlan, Plan};

/// A layer begins at a multiple of this in each buffer: more than any vector instruction or matrix unit asks for.
const ALIGNMENT: usize = 256;

/// The parameters of all layers, in device memory.
pub struct Parameters {
    master: Buffer,
    momentum: Buffer,
    gradients: Buffer,
    copies: Buffer,
    places: Vec<ParameterPlace>,
}

/// A layer's parameters: the weights, and behind them the biases.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ParameterPlace {
    weights: usize,
    biases: usize,
    /// Of gradients, and of the copy where there is one.
    element: Element,
    /// In bytes.
    master: usize,
    gradient: usize,
    copy: Option<usize>,
}

/// Weights or biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Weights, or gamma.
    Weights,
    /// Biases, or beta.
    Biases,
}

/// A run of elements on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// Address of the first.
    pub address: u64,
    /// How many.
    pub elements: usize,
    /// Their type.
    pub element: Element,
}

impl Parameters {
    /// Allocates for a plan; contents are undefined.
    pub fn new(plan: &Plan, element: Element) -> Result<Parameters, CallError> {
        let (places, [master, gradients, copies]) = places(&plan.layers, element);
        Ok(Parameters {
            master: Buffer::new(master)?,
            momentum: Buffer::new(master)?,
            gradients: Buffer::new(gradients)?,
            copies: Buffer::new(copies)?,
            places,
        })
    }

    /// Gives the memory back and takes as much that holds nothing.
    pub fn renew(&mut self) -> Result<(), CallError> {
        let Parameters { master, momentum, gradients, copies, .. } = self;
        [master, momentum, gradients, copies].into_iter().try_for_each(Buffer::renew)
    }

    /// Bytes that parameters of a plan will take.
    pub fn bytes_for(plan: &Plan, element: Element) -> usize {
        let (_, [master, gradients, copies]) = places(&plan.layers, element);
        2 * master + gradients + copies
    }

    fn span(&self, layer: usize, kind: ParameterKind, buffer: &Buffer, start: usize, element: Element) -> Span {
        let ParameterPlace { weights, biases, .. } = self.places[layer];
        let (skipped, elements) = match kind {
            ParameterKind::Weights => (0, weights),
            ParameterKind::Biases => (weights, biases),
        };
        Span { address: buffer.at(start + skipped * element.bytes()), elements, element }
    }

    /// The f32 parameters that are updated.
    pub fn master(&self, layer: usize, kind: ParameterKind) -> Span {
        self.span(layer, kind, &self.master, self.places[layer].master, Element::F32)
    }

    /// Momentum, f32.
    pub fn momentum(&self, layer: usize, kind: ParameterKind) -> Span {
        self.span(layer, kind, &self.momentum, self.places[layer].master, Element::F32)
    }

    /// Gradients.
    pub fn gradient(&self, layer: usize, kind: ParameterKind) -> Span {
        let ParameterPlace { gradient, element, .. } = self.places[layer];
        self.span(layer, kind, &self.gradients, gradient, element)
    }

    /// The copy in the run's storage type, where there is one.
    pub fn copy(&self, layer: usize, kind: ParameterKind) -> Option<Span> {
        let ParameterPlace { copy, element, .. } = self.places[layer];
        copy.map(|copy| self.span(layer, kind, &self.copies, copy, element))
    }

    /// The parameters that the layer's own arithmetic reads.
    pub fn read(&self, layer: usize, kind: ParameterKind) -> Span {
        self.copy(layer, kind).unwrap_or_else(|| self.master(layer, kind))
    }

    /// Address and bytes of the memory that layers read their parameters from, but for parameters per channel.
    pub fn read_memory(&self) -> (u64, usize) {
        let memory = if self.copies.bytes() > 0 { &self.copies } else { &self.master };
        (memory.address(), memory.bytes())
    }

    /// Weights and biases together.
    pub fn count(&self, layer: usize) -> u32 {
        let ParameterPlace { weights, biases, .. } = self.places[layer];
        (weights + biases) as u32
    }
}

/// The layers' places, and the bytes of masters, gradients and copies. Parameters per channel are f32 always, as cuDNN has
/// batchnorm's.
fn places(layers: &[LayerPlan], element: Element) -> (Vec<ParameterPlace>, [usize; 3]) {
    let mut ends = [0; 3];
    let mut take = |which: usize, bytes: usize| {
        let start = ends[which];
        ends[which] = (start + bytes).next_multiple_of(ALIGNMENT);
        start
    };
    let place = layers.iter().map(|layer| {
        let element = match layer.geometry {
            Geometry::Conv(_) | Geometry::Fc(_) => element,
            Geometry::Pool(_) | Geometry::Shapes => Element::F32,
        };
        let count = layer.parameters() as usize;
        ParameterPlace {
            weights: layer.weights as usize,
            biases: layer.biases as usize,
            element,
            master: take(0, count * size_of::<f32>()),
            gradient: take(1, count * element.bytes()),
            copy: (element != Element::F32).then(|| take(2, count * element.bytes())),
        }
    });
    (place.collect(), ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;
    use crate::plan::Options;

    /// tiny: conv1 has 3·8·9 = 216 weights and no bias, bn1 8 and 8.
    #[test]
    fn half_precision_has_copies_but_for_batchnorm() {
        let options = Options::of_batch(1);
        let plan = Plan::new(&Model::named("tiny").unwrap(), options).unwrap();
        let (places, _) = places(&plan.layers, Element::F16);
        let conv1 =
            ParameterPlace { weights: 216, biases: 0, element: Element::F16, master: 0, gradient: 0, copy: Some(0) };
        // 216 · 4 = 864 bytes end at 1024, 216 · 2 = 432 at 512.
        let bn1 =
            ParameterPlace { weights: 8, biases: 8, element: Element::F32, master: 1024, gradient: 512, copy: None };
        assert_eq!(places[..2], [conv1, bn1]);
        let (places, [_, _, copies]) = super::places(&plan.layers, Element::F32);
        assert!(copies == 0 && places.iter().all(|place| place.copy.is_none()));
    }
}
