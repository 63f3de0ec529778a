//! Fully connected layers.

use super::{AfterFlatten, Geometry, Misfit, Planned, Reads, Rules};
use crate::model::kind::Fc;
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for Fc {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let Shape { n, .. } = inputs[0];
        let geometry = FcGeometry { n, inputs: inputs[0].image_elements(), outputs: self.outputs };
        let output = Shape { n, c: self.outputs, h: 1, w: 1 };
        let weight_shape = vec![geometry.outputs, geometry.inputs];
        let biases = if self.bias { self.outputs } else { 0 };
        Ok(Planned { output, geometry: Geometry::Fc(geometry), weight_shape, biases })
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { weights: true, ..Reads::OUTPUT_GRADIENT }
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Restores
    }
}

/// A product of a batch of flattened inputs \[n, inputs\] with weights \[outputs, inputs\].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FcGeometry {
    /// Images in the batch.
    pub n: usize,
    /// Elements of one flattened input.
    pub inputs: usize,
    /// Elements of one output.
    pub outputs: usize,
}

impl FcGeometry {
    /// Multiply-adds of one phase.
    pub fn macs(&self) -> usize {
        self.n * self.inputs * self.outputs
    }
}
