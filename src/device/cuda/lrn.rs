//! Local response normalisation: by cuDNN where its form is the described one, else by an own kernel.
//!
//! cuDNN's window of an even size leans the other way, its size, beta and k are bounded, and its bf16 form is not documented.

use super::call::Fault;
use super::dnn::{self, At, Tensor};
use super::element::Element;
use super::gpu::Gpu;
use super::memory::Buffer;
use super::modules::{Argument, Grid, Kernel};
use super::queue::Queue;
use crate::device::DeviceError;
use crate::model::kind;
use crate::plan::Shape;

pub enum Lrn {
    Library { lrn: dnn::Lrn, tensor: Tensor },
    Own(Box<Own>),
}

pub struct Own {
    forward: Kernel,
    backward: Kernel,
    shape: LrnShape,
    elements: u32,
    /// k + alpha/size · Σ x² of each element, f32, for the way back.
    scale: Buffer,
}

/// As `kernels/lrn.cu` declares it.
#[derive(Clone, Copy)]
#[repr(C)]
struct LrnShape {
    channels: u32,
    spatial: u32,
    nhwc: u32,
    size: u32,
    alpha: f32,
    beta: f32,
    k: f32,
}

impl Argument for LrnShape {}

/// Whether cuDNN computes just this (cudnnSetLRNDescriptor's limits are CUDNN_LRN_MIN_N and so on).
fn is_cudnns(lrn: &kind::Lrn, element: Element) -> bool {
    !lrn.size.is_multiple_of(2) && lrn.size <= 16 && lrn.k >= 1e-5 && lrn.beta >= 0.01 && element != Element::Bf16
}

impl Lrn {
    pub fn new(lrn: &kind::Lrn, shape: Shape, gpu: &Gpu) -> Result<Lrn, DeviceError> {
        let arithmetic = &gpu.arithmetic;
        if is_cudnns(lrn, arithmetic.element()) {
            let tensor = Tensor::new(shape, arithmetic.element(), arithmetic.layout)?;
            return Ok(Lrn::Library { lrn: dnn::Lrn::new(lrn)?, tensor });
        }
        let lrn_shape = LrnShape {
            channels: shape.c as u32,
            spatial: (shape.h * shape.w) as u32,
            nhwc: arithmetic.nhwc().into(),
            size: lrn.size as u32,
            alpha: lrn.alpha,
            beta: lrn.beta,
            k: lrn.k,
        };
        Ok(Lrn::Own(Box::new(Own {
            forward: gpu.kernel("lrn_forward")?,
            backward: gpu.kernel("lrn_backward")?,
            shape: lrn_shape,
            elements: shape.elements() as u32,
            scale: Buffer::new(size_of::<f32>() * shape.elements())?,
        })))
    }

    pub fn forward(&self, queue: &Queue, x: u64, y: u64) -> Result<(), Fault> {
        match self {
            Lrn::Library { lrn, tensor } => {
                let at = |address| At { tensor, address };
                queue.stream.count(1);
                queue.dnn.lrn_forward(lrn, at(x), at(y))
            }
            Lrn::Own(own) => {
                let Own { shape, elements, scale, .. } = &**own;
                own.forward.launch(&queue.stream, Grid::over(*elements), &[&x, &y, &scale.address(), shape, elements])
            }
        }
    }

    pub fn backward_data(&self, queue: &Queue, [x, y, dy, dx]: [u64; 4], accumulate: bool) -> Result<(), Fault> {
        match self {
            Lrn::Library { lrn, tensor } => {
                queue.stream.count(1);
                queue.dnn.lrn_backward(lrn, [y, dy, x, dx].map(|address| At { tensor, address }), accumulate)
            }
            Lrn::Own(own) => {
                let Own { shape, elements, scale, .. } = &**own;
                let accumulate = u32::from(accumulate);
                let arguments: [&dyn Argument; 8] = [&x, &y, &scale.address(), &dy, &dx, shape, &accumulate, elements];
                own.backward.launch(&queue.stream, Grid::over(*elements), &arguments)
            }
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Lrn::Library { .. } => 0,
            Lrn::Own(own) => own.scale.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cudnn_gets_what_it_computes_alike() {
        let caffe = kind::Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0 };
        assert!(is_cudnns(&caffe, Element::F32) && is_cudnns(&caffe, Element::F16));
        assert!(!is_cudnns(&caffe, Element::Bf16));
        for other in [
            kind::Lrn { size: 4, ..caffe },
            kind::Lrn { size: 17, ..caffe },
            kind::Lrn { k: 0.0, ..caffe },
            kind::Lrn { beta: 0.001, ..caffe },
        ] {
            assert!(!is_cudnns(&other, Element::F32), "{other:?}");
        }
    }
}
