//! Padding that differs on opposite sides: cuDNN's legacy API has one number for both, and no engine is sure to take two. The phases
//! convolve a copy of the input with its zeros; forward makes it and backward_weights reads it again, as frameworks keep it, and
//! backward_data takes the gradient out of its own. The copy goes without the input's last rows and columns that no filter may reach.

use crate::device::cuda::driver::{Argument, Buffer, CallError, Element, Grid, Handles, Kernel, memory};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::device::cuda::operations::divisor::Divisor;
use crate::philox::{Philox, RandomStream};
use crate::plan::ConvGeometry;

/// Numbers that fill the copy before anything is there.
const NUMBERS: usize = 1 << 10;

/// As `kernels/padding.cu` declares it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct PadShape {
    height: Divisor,
    width: Divisor,
    inner: Divisor,
    padded_height: Divisor,
    padded_width: Divisor,
    top: u32,
    left: u32,
}

impl Argument for PadShape {}

/// The input with its zeros, or its gradient.
pub struct Padded {
    /// The convolution over it, which pads nothing.
    pub geometry: ConvGeometry,
    pad: Kernel,
    crop: Kernel,
    shape: PadShape,
    elements: u32,
    padded_elements: u32,
    element: Element,
    memory: Buffer,
}

impl Padded {
    /// None where opposite sides have equal padding and filters may reach all of the input.
    pub fn new(conv: &ConvGeometry, gpu: &SharedGpu, handles: &Handles) -> Result<Option<Padded>, Failure> {
        if conv.pad == conv.pad_after && conv.crop == [0; 2] {
            return Ok(None);
        }
        let [h, w] = [conv.h, conv.w];
        let [padded_h, padded_w] = conv.padded();
        let geometry = ConvGeometry { h: padded_h, w: padded_w, pad: [0; 2], pad_after: [0; 2], crop: [0; 2], ..*conv };
        let shape = PadShape {
            height: Divisor::new(h),
            width: Divisor::new(w),
            inner: Divisor::new(if gpu.arithmetic.nhwc() { conv.c } else { 1 }),
            padded_height: Divisor::new(padded_h),
            padded_width: Divisor::new(padded_w),
            top: conv.pad[0] as u32,
            left: conv.pad[1] as u32,
        };
        let element = gpu.arithmetic.element();
        let memory = Buffer::new(geometry.input_len() * element.bytes())?;
        // A search of algorithms reads it: hardware runs faster on zeros.
        let philox = Philox::new(1);
        let numbers: Vec<f32> = (0..NUMBERS).map(|index| philox.uniform(RandomStream::Images, index) - 0.5).collect();
        memory::repeat(&handles.stream, memory.address(), memory.bytes(), &element.encode(&numbers))?;
        Ok(Some(Padded {
            pad: gpu.kernel("pad")?,
            crop: gpu.kernel("crop")?,
            shape,
            elements: conv.input_len() as u32,
            padded_elements: geometry.input_len() as u32,
            element,
            memory,
            geometry,
        }))
    }

    /// Threads for so many elements: one for 16 bytes where those lie within a pixel.
    fn grid(&self, elements: u32) -> Grid {
        match Divisor::new(self.element.per_vector()).divides(self.shape.inner.by) {
            true => Grid::streaming(elements, self.element.bytes()),
            false => Grid::over(elements),
        }
    }

    /// Its place.
    pub fn address(&self) -> u64 {
        self.memory.address()
    }

    /// Device memory held.
    pub fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    /// Brings the input in.
    pub fn enter(&self, handles: &Handles, x: u64) -> Result<(), CallError> {
        let arguments: [&dyn Argument; 4] = [&x, &self.address(), &self.shape, &self.padded_elements];
        self.pad.launch(&handles.stream, self.grid(self.padded_elements), &arguments)
    }

    /// Takes the gradient out.
    pub fn leave(&self, handles: &Handles, dx: u64, accumulate: bool) -> Result<(), CallError> {
        let (from, accumulate) = (self.address(), u32::from(accumulate));
        let arguments: [&dyn Argument; 5] = [&from, &dx, &self.shape, &accumulate, &self.elements];
        self.crop.launch(&handles.stream, self.grid(self.elements), &arguments)
    }
}
