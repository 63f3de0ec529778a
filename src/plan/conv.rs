//! The geometry of a convolution, with its shape arithmetic.

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
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Zeros before the first and after the last row (column).
    pub pad: [usize; 2],
    /// Input and output channels fall into this many groups that do not mix.
    pub groups: usize,
}

impl ConvGeometry {
    pub fn out_h(&self) -> usize {
        (self.h + 2 * self.pad[0] - self.kernel[0]) / self.stride[0] + 1
    }

    pub fn out_w(&self) -> usize {
        (self.w + 2 * self.pad[1] - self.kernel[1]) / self.stride[1] + 1
    }

    /// Input channels of one group.
    pub fn group_c(&self) -> usize {
        self.c / self.groups
    }

    /// Output channels of one group.
    pub fn group_k(&self) -> usize {
        self.k / self.groups
    }

    /// Elements of the input, `[N][H][W][C]`.
    pub fn input_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output, `[N][P][Q][K]`.
    pub fn output_len(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.k
    }

    /// Elements of the weights, `[R][S][C/groups][K]`.
    pub fn weight_len(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.group_c() * self.k
    }

    /// Multiply-adds of one phase, counted directly (padding included).
    pub fn macs(&self) -> usize {
        self.n * self.out_h() * self.out_w() * self.weight_len()
    }
}
