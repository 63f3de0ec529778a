//! Convolution.

use super::{AfterFlatten, Geometry, Misfit, Planned, Reads, Rules};
use crate::model::kind::{Conv, extent};
use crate::plan::{LayerPlan, Phase, Shape};

impl Rules for Conv {
    fn plan(&self, inputs: &[Shape]) -> Result<Planned, Misfit> {
        let geometry = ConvGeometry::new(self, inputs[0])?;
        let weight_shape = vec![self.channels, geometry.group_c(), self.kernel.h, self.kernel.w];
        let biases = if self.bias { self.channels } else { 0 };
        Ok(Planned { output: geometry.output(), geometry: Geometry::Conv(geometry), weight_shape, biases })
    }

    fn backward_data_reads(&self) -> Reads {
        Reads { weights: true, ..Reads::OUTPUT_GRADIENT }
    }

    fn operations(&self, _: &LayerPlan, _: Phase) -> u64 {
        0
    }

    fn after_flatten(&self) -> AfterFlatten {
        // Groups take channels that lie together.
        if self.groups > 1 { AfterFlatten::Refuses } else { AfterFlatten::Restores }
    }
}

/// A two-dimensional convolution over a batch. Pairs are `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Images in the batch.
    pub n: usize,
    /// Input channels, over all groups.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Output channels, over all groups.
    pub k: usize,
    /// Height and width of the filter.
    pub kernel: [usize; 2],
    /// Input pixels between neighbouring outputs.
    pub stride: [usize; 2],
    /// Zeros before the first row and column.
    pub pad: [usize; 2],
    /// Zeros behind the last row and column.
    pub pad_after: [usize; 2],
    /// Last rows and columns of the input that no filter may reach: of a transposed convolution with much `output_padding`.
    pub crop: [usize; 2],
    /// Input pixels between neighbouring taps.
    pub dilation: [usize; 2],
    /// Input and output channels fall into this many groups that do not mix.
    pub groups: usize,
}

impl ConvGeometry {
    /// Fails where groups do not divide the input's channels, or the window is larger than the padded input.
    pub fn new(conv: &Conv, input: Shape) -> Result<ConvGeometry, Misfit> {
        let Conv { channels: k, kernel, stride, pad, dilation, groups, bias: _ } = *conv;
        let Shape { n, c, h, w } = input;
        if c % groups != 0 {
            return Err(Misfit::Other(format!("{c} input channels do not divide into {groups} groups")));
        }
        let extent = extent(kernel, dilation);
        let padding = pad.around([h, w], extent, stride);
        Misfit::check_window(extent, input, padding)?;
        let [before, after] = padding;
        let [kernel, stride, pad, pad_after, dilation] =
            [kernel, stride, before, after, dilation].map(|pair| [pair.h, pair.w]);
        Ok(ConvGeometry { n, c, h, w, k, kernel, stride, pad, pad_after, crop: [0; 2], dilation, groups })
    }

    /// Pixels that a filter reaches over, vertically or horizontally: (kernel − 1) · dilation + 1.
    pub fn extent(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }

    /// ⌊(h − crop + pads − extent) / stride⌋ + 1.
    pub fn out_h(&self) -> usize {
        (self.padded()[0] - self.extent(0)) / self.stride[0] + 1
    }

    /// ⌊(w − crop + pads − extent) / stride⌋ + 1.
    pub fn out_w(&self) -> usize {
        (self.padded()[1] - self.extent(1)) / self.stride[1] + 1
    }

    /// Height and width of what filters reach: the input without its crop, and its padding.
    pub fn padded(&self) -> [usize; 2] {
        [0, 1].map(|axis| [self.h, self.w][axis] + self.pad[axis] + self.pad_after[axis] - self.crop[axis])
    }

    /// Shape of the output.
    pub fn output(&self) -> Shape {
        Shape { n: self.n, c: self.k, h: self.out_h(), w: self.out_w() }
    }

    /// Input channels of one group: what one output channel sees.
    pub fn group_c(&self) -> usize {
        self.c / self.groups
    }

    /// Output channels of one group.
    pub fn group_k(&self) -> usize {
        self.k / self.groups
    }

    /// Elements of the input, over the batch.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output, over the batch.
    pub fn output_len(&self) -> usize {
        self.output().elements()
    }

    /// K · C/groups · R · S.
    pub fn weight_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.group_c() * self.k
    }

    /// Multiply-adds of one phase, counted directly (padding included).
    pub fn macs(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.weight_len()
    }
}
