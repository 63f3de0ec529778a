//! Layers of several inputs: add and concat.

use super::{AfterFlatten, Misfit, Planned, Reads, Rules, elements};
use crate::plan::{LayerPlan, Phase, Shape};

/// Rules of `Kind::Add`, which has no parameters.
pub struct Add;

/// Rules of `Kind::Concat`, which has no parameters.
pub struct Concat;

impl Rules for Add {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        match inputs.iter().find(|&&other| other != inputs[0]) {
            Some(other) => Err(Misfit::Other(format!("adds {} to {other}: shapes must be equal", inputs[0]))),
            None => Ok(Planned::plain(inputs[0])),
        }
    }

    fn backward_data_reads(&self) -> Reads {
        Reads::OUTPUT_GRADIENT
    }

    /// One addition per element and input but the first.
    fn operations(&self, layer: &LayerPlan, _: Phase) -> u64 {
        (layer.inputs.len() as u64 - 1) * elements(layer.output)
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Keeps
    }
}

impl Rules for Concat {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let first = inputs[0];
        match inputs.iter().find(|other| (other.h, other.w) != (first.h, first.w)) {
            Some(other) => Err(Misfit::Other(format!("joins {first} with {other}: heights and widths must be equal"))),
            None => Ok(Planned::plain(Shape { c: inputs.iter().map(|shape| shape.c).sum(), ..first })),
        }
    }

    fn backward_data_reads(&self) -> Reads {
        Reads::OUTPUT_GRADIENT
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Joins
    }
}
