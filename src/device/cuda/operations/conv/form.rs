//! A convolution's three tensors: their layout and their addresses.

use crate::device::cuda::driver::dnn::{FilterDescriptor, TensorDescriptor};
use crate::device::cuda::driver::{CallError, Element};
use crate::device::options::Layout;
use crate::plan::{ConvGeometry, Shape};

/// Descriptors of input, weights and output in one layout.
pub struct Form {
    /// Input.
    pub x: TensorDescriptor,
    /// Weights.
    pub w: FilterDescriptor,
    /// Output.
    pub y: TensorDescriptor,
}

/// Addresses of a convolution's tensors, or of their gradients.
#[derive(Clone, Copy)]
pub struct ConvAddresses {
    /// Input, or its gradient.
    pub x: u64,
    /// Weights, or their gradient.
    pub w: u64,
    /// Output, or its gradient.
    pub y: u64,
}

impl Form {
    /// Of a convolution in one layout.
    pub fn new(geometry: &ConvGeometry, element: Element, layout: Layout) -> Result<Form, CallError> {
        let &ConvGeometry { n, c, h, w, .. } = geometry;
        Ok(Form {
            x: TensorDescriptor::new(Shape { n, c, h, w }, element, layout)?,
            w: FilterDescriptor::new(geometry, element, layout)?,
            y: TensorDescriptor::new(geometry.output(), element, layout)?,
        })
    }
}
