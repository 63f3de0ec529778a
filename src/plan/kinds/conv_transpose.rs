//! Transposed convolution: a convolution from the output to the input, with forward and backward_data exchanged.

use super::{AfterFlatten, ConvGeometry, Geometry, Misfit, Planned, Reads, Rules};
use crate::model::kind::{Conv, ConvTranspose, Padding, extent};
use crate::plan::{LayerPlan, Phase, Shape};

impl ConvTranspose {
    /// The convolution whose input's gradient it is.
    pub fn transposed(&self, input: Shape) -> Conv {
        let &ConvTranspose { kernel, stride, pad, dilation, groups, .. } = self;
        Conv { channels: input.c, kernel, stride, pad, dilation, groups, bias: false }
    }

    /// That convolution's sizes.
    pub fn geometry(&self, input: Shape) -> Result<ConvGeometry, Misfit> {
        let groups = self.groups;
        if !input.c.is_multiple_of(groups) {
            return Err(Misfit::Other(format!("{} input channels do not divide into {groups} groups", input.c)));
        }
        let mut geometry = ConvGeometry::new(&self.transposed(input), self.output(input)?)?;
        // Where more than a stride is added, filters could stand at more places than there are inputs: padding goes, then pixels.
        for (axis, more) in [self.output_padding.h, self.output_padding.w].into_iter().enumerate() {
            if more >= geometry.stride[axis] {
                let after = geometry.pad_after[axis];
                geometry.pad_after[axis] = after.saturating_sub(more);
                geometry.crop[axis] = more.saturating_sub(after);
            }
        }
        Ok(geometry)
    }

    /// (size − 1) · stride + extent + output_padding − pads, as in PyTorch.
    fn output(&self, input: Shape) -> Result<Shape, Misfit> {
        let ConvTranspose { kernel, stride, dilation, output_padding: more, .. } = *self;
        let extent = extent(kernel, dilation);
        let Padding::Sides { before, after } = self.pad else {
            return Err(Misfit::Other("pad = \"same\" is of convolutions: give numbers".into()));
        };
        let side = |size: usize, stride: usize, extent: usize, more: usize, pads: usize| {
            ((size - 1) * stride + extent + more).checked_sub(pads).filter(|&side| side > 0)
        };
        let h = side(input.h, stride.h, extent.h, more.h, before.h + after.h);
        let w = side(input.w, stride.w, extent.w, more.w, before.w + after.w);
        match (h, w) {
            (Some(h), Some(w)) => Ok(Shape { n: input.n, c: self.channels, h, w }),
            _ => Err(Misfit::Other(format!("pad {} leaves nothing of the output of {input}", self.pad))),
        }
    }
}

impl Rules for ConvTranspose {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let (input, geometry) = (inputs[0], self.geometry(inputs[0])?);
        let ConvGeometry { n, c, h, w, .. } = geometry;
        let output = Shape { n, c, h, w };
        let weight_shape = vec![input.c, geometry.group_c(), self.kernel.h, self.kernel.w];
        let biases = if self.bias { self.channels } else { 0 };
        Ok(Planned { output, geometry: Geometry::Conv(geometry), weight_shape, biases })
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { weights: true, ..Reads::OUTPUT_GRADIENT }
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    /// Its input's channels are the rows of its weights, which lie as they are.
    fn after_flatten(&self) -> AfterFlatten {
        AfterFlatten::Refuses
    }
}
