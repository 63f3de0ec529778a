//! Convolving with more channels than there are: tensor cores take four or eight at a time, and an image has three. In an NHWC session a phase
//! copies its operands to rows with zeros behind them, convolves, and cuts the result, all within its own row.

use super::form::ConvAddresses;
use crate::device::cuda::driver::{Argument, CallError, Grid, Handles, Kernel, memory};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::cuda::operations::divisor::Divisor;
use crate::plan::{ConvGeometry, Phase};

const ALIGNMENT: usize = 256;
/// The channels of an image, and what they are widened to.
const IMAGE: usize = 3;
const WIDER: [usize; 2] = [4, 8];

/// The way with more channels.
pub struct Widened {
    /// Of the convolution with them.
    pub geometry: ConvGeometry,
    copy: Kernel,
    /// Channels that there are.
    channels: Divisor,
    /// Pixels of the input, and taps of all filters.
    rows: [u32; 2],
    element_bytes: usize,
}

impl Widened {
    /// All for an NHWC convolution of images.
    pub fn all(conv: &ConvGeometry, gpu: &SharedGpu) -> Result<Vec<Widened>, Failure> {
        let serves = gpu.arithmetic.nhwc() && conv.c == IMAGE && conv.groups == 1;
        WIDER.into_iter().filter(|_| serves).map(|channels| Widened::new(conv, channels, gpu)).collect()
    }

    fn new(conv: &ConvGeometry, channels: usize, gpu: &SharedGpu) -> Result<Widened, Failure> {
        Ok(Widened {
            geometry: ConvGeometry { c: channels, ..*conv },
            copy: gpu.kernel("copy_rows")?,
            channels: Divisor::new(conv.c),
            rows: [conv.n * conv.h * conv.w, conv.k * conv.kernel[0] * conv.kernel[1]].map(|rows| rows as u32),
            element_bytes: gpu.arithmetic.element().bytes(),
        })
    }

    fn sizes(&self) -> [usize; 2] {
        self.rows.map(|rows| rows as usize * self.geometry.c * self.element_bytes)
    }

    /// Scratch for input and weights.
    pub fn bytes(&self) -> usize {
        self.sizes().map(|size| size.next_multiple_of(ALIGNMENT)).iter().sum()
    }

    /// Their addresses in scratch that begins at an address; the output stays where it is.
    pub fn addresses(&self, start: u64, own: ConvAddresses) -> ConvAddresses {
        let [x, _] = self.sizes().map(|size| size.next_multiple_of(ALIGNMENT) as u64);
        ConvAddresses { x: start, w: start + x, y: own.y }
    }

    /// Brings the input and the weights that a phase reads into scratch.
    pub fn enter(
        &self,
        handles: &Handles,
        phase: Phase,
        from: ConvAddresses,
        to: ConvAddresses,
    ) -> Result<(), CallError> {
        let [x, w] = [0, 1].map(|index| move |from, to| self.widen(handles, index, from, to));
        match phase {
            Phase::Forward => x(from.x, to.x).and_then(|()| w(from.w, to.w)),
            Phase::BackwardData => w(from.w, to.w),
            Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => x(from.x, to.x),
        }
    }

    /// Brings a phase's result out of scratch, or adds it; forward's is there already.
    pub fn leave(
        &self,
        handles: &Handles,
        phase: Phase,
        from: ConvAddresses,
        to: ConvAddresses,
        adds: bool,
    ) -> Result<(), CallError> {
        let pitches = [self.geometry.c as u32, self.channels.by];
        match phase {
            Phase::Forward => Ok(()),
            Phase::BackwardData => self.rows(handles, 0, [from.x, to.x], pitches, adds),
            Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => {
                self.rows(handles, 1, [from.w, to.w], pitches, false)
            }
        }
    }

    fn widen(&self, handles: &Handles, index: usize, from: u64, to: u64) -> Result<(), CallError> {
        handles.stream.count(1);
        memory::zero(&handles.stream, to, self.sizes()[index])?;
        self.rows(handles, index, [from, to], [self.channels.by, self.geometry.c as u32], false)
    }

    fn rows(
        &self,
        handles: &Handles,
        index: usize,
        [from, to]: [u64; 2],
        [from_pitch, to_pitch]: [u32; 2],
        adds: bool,
    ) -> Result<(), CallError> {
        let (rows, width, adds) = (self.rows[index], self.channels, u32::from(adds));
        let arguments: [&dyn Argument; 7] = [&from, &to, &rows, &width, &from_pitch, &to_pitch, &adds];
        self.copy.launch(&handles.stream, Grid::over(rows * width.by), &arguments)
    }
}
