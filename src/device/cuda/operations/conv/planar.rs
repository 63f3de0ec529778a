//! Convolving in NCHW for an NHWC session: where cuDNN has no algorithm for NHWC, a phase turns its operands over, convolves, and
//! turns the result back, all within its own row.

use super::form::{ConvAddresses, Form};
use crate::device::cuda::driver::{CallError, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::options::Layout;
use crate::plan::{ConvGeometry, Phase};

const ALIGNMENT: usize = 256;
/// A block turns over a tile of so many elements squared, with so many rows of threads.
const TILE: u32 = 32;
const ROWS: u32 = 8;

/// The way through NCHW.
pub struct Planar {
    /// Descriptors in NCHW.
    pub form: Form,
    transpose: Kernel,
    /// Of x, w and y.
    matrices: [Matrices; 3],
    element_bytes: usize,
}

/// A tensor to turn over: so many matrices \[places, channels\].
#[derive(Clone, Copy, Debug, PartialEq)]
struct Matrices {
    count: u32,
    places: u32,
    channels: u32,
}

impl Matrices {
    fn elements(self) -> usize {
        self.count as usize * self.places as usize * self.channels as usize
    }
}

impl Planar {
    /// Around an NHWC convolution.
    pub fn new(conv: &ConvGeometry, gpu: &SharedGpu) -> Result<Planar, Failure> {
        let of = |[count, places, channels]: [usize; 3]| Matrices {
            count: count as u32,
            places: places as u32,
            channels: channels as u32,
        };
        let output = conv.output();
        Ok(Planar {
            form: Form::new(conv, gpu.arithmetic.element(), Layout::Nchw)?,
            transpose: gpu.kernel("transpose")?,
            matrices: [
                of([conv.n, conv.h * conv.w, conv.c]),
                of([conv.k, conv.kernel[0] * conv.kernel[1], conv.group_c()]),
                of([output.n, output.h * output.w, output.c]),
            ],
            element_bytes: gpu.arithmetic.element().bytes(),
        })
    }

    fn sizes(&self) -> [usize; 3] {
        self.matrices.map(|matrices| (matrices.elements() * self.element_bytes).next_multiple_of(ALIGNMENT))
    }

    /// Scratch for x, w and y.
    pub fn bytes(&self) -> usize {
        self.sizes().iter().sum()
    }

    /// Their addresses in scratch that begins at an address.
    pub fn addresses(&self, start: u64) -> ConvAddresses {
        let [x, w, _] = self.sizes().map(|size| size as u64);
        ConvAddresses { x: start, w: start + x, y: start + x + w }
    }

    /// Brings the tensors that a phase reads into scratch; what it adds to as well.
    pub fn enter(
        &self,
        handles: &Handles,
        phase: Phase,
        from: ConvAddresses,
        to: ConvAddresses,
        adds: bool,
    ) -> Result<(), CallError> {
        let result = result(phase);
        let pairs = [(from.x, to.x), (from.w, to.w), (from.y, to.y)];
        let read = pairs.into_iter().enumerate().filter(|&(index, _)| index != result || adds);
        for (index, (from, to)) in read {
            let Matrices { count, places, channels } = self.matrices[index];
            self.turn(handles, [from, to], count, [places, channels])?;
        }
        Ok(())
    }

    /// Brings a phase's result out of scratch.
    pub fn leave(
        &self,
        handles: &Handles,
        phase: Phase,
        from: ConvAddresses,
        to: ConvAddresses,
    ) -> Result<(), CallError> {
        let index = result(phase);
        let (from, to) = [(from.x, to.x), (from.w, to.w), (from.y, to.y)][index];
        let Matrices { count, places, channels } = self.matrices[index];
        self.turn(handles, [from, to], count, [channels, places])
    }

    fn turn(
        &self,
        handles: &Handles,
        [from, to]: [u64; 2],
        count: u32,
        [rows, columns]: [u32; 2],
    ) -> Result<(), CallError> {
        let blocks = [columns.div_ceil(TILE), rows.div_ceil(TILE), count];
        let grid = Grid { blocks, threads: [TILE, ROWS] };
        self.transpose.launch(&handles.stream, grid, &[&from, &to, &rows, &columns])
    }
}

/// The index of the tensor, among x, w and y, that a phase computes.
fn result(phase: Phase) -> usize {
    match phase {
        Phase::BackwardData => 0,
        Phase::BackwardWeights | Phase::AllReduce | Phase::LossScale | Phase::WeightUpdate => 1,
        Phase::Forward => 2,
    }
}
