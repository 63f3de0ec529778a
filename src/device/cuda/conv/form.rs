//! A convolution's three tensors: how they lie, and where.

use crate::device::cuda::call::Fault;
use crate::device::cuda::dnn::{Filter, Tensor};
use crate::device::cuda::element::Element;
use crate::device::options::Layout;
use crate::plan::{ConvGeometry, Shape};

/// Descriptors of input, weights and output in one layout.
pub struct Form {
    pub x: Tensor,
    pub w: Filter,
    pub y: Tensor,
}

/// Addresses of a convolution's tensors, or of their gradients.
#[derive(Clone, Copy)]
pub struct Operands {
    pub x: u64,
    pub w: u64,
    pub y: u64,
}

impl Form {
    pub fn new(geometry: &ConvGeometry, element: Element, layout: Layout) -> Result<Form, Fault> {
        let &ConvGeometry { n, c, h, w, .. } = geometry;
        Ok(Form {
            x: Tensor::new(Shape { n, c, h, w }, element, layout)?,
            w: Filter::new(geometry, element, layout)?,
            y: Tensor::new(geometry.output(), element, layout)?,
        })
    }
}
