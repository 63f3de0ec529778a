//! Local response normalisation: by cuDNN where its form is the described one, else by an own kernel.
//!
//! cuDNN's window of an even size leans the other way, its size, beta and k are bounded, and its bf16 form is not documented.

use super::divisor::Divisor;
use super::{BackwardData, Forward, Operation};
use crate::device::cuda::driver::dnn::{GradientRefs, LrnDescriptor, TensorDescriptor, TensorRef};
use crate::device::cuda::driver::{Argument, Buffer, CallError, Element, Grid, Handles, Kernel};
use crate::device::cuda::failure::Failure;
use crate::device::cuda::gpu::SharedGpu;
use crate::model::kind;
use crate::plan::Shape;

/// Local response normalisation.
pub enum LrnOp {
    /// By cuDNN.
    Library {
        /// Its constants.
        lrn: LrnDescriptor,
        /// Input and output.
        tensor: TensorDescriptor,
    },
    /// By an own kernel.
    Own(Box<OwnLrn>),
}

/// The own kernels and their memory.
pub struct OwnLrn {
    forward: Kernel,
    backward: Kernel,
    shape: LrnShape,
    elements: u32,
    grid: Grid,
    /// k + alpha/size · Σ x² of each element, f32, for the way back.
    scale: Buffer,
}

/// As `kernels/lrn.cu` declares it.
#[derive(Clone, Copy)]
#[repr(C)]
struct LrnShape {
    channels: Divisor,
    spatial: Divisor,
    nhwc: u32,
    size: u32,
    alpha: f32,
    beta: f32,
    k: f32,
}

impl Argument for LrnShape {}

/// A thread per vector, where neighbours in memory that share windows are made of vectors.
fn grid(shape: Shape, nhwc: bool, element: Element) -> Grid {
    let (elements, run) = (shape.elements() as u32, if nhwc { shape.c } else { shape.h * shape.w });
    match run.is_multiple_of(element.per_vector()) {
        true => Grid::streaming(elements, element.bytes()),
        false => Grid::over(elements),
    }
}

/// Tells if cuDNN computes just this (cudnnSetLRNDescriptor's limits are CUDNN_LRN_MIN_N and so on).
fn is_cudnns(lrn: &kind::Lrn, element: Element) -> bool {
    !lrn.size.is_multiple_of(2) && lrn.size <= 16 && lrn.k >= 1e-5 && lrn.beta >= 0.01 && element != Element::Bf16
}

impl LrnOp {
    /// Of inputs with this shape.
    pub fn new(lrn: &kind::Lrn, shape: Shape, gpu: &SharedGpu) -> Result<LrnOp, Failure> {
        let arithmetic = &gpu.arithmetic;
        if is_cudnns(lrn, arithmetic.element()) {
            let tensor = TensorDescriptor::new(shape, arithmetic.element(), arithmetic.layout)?;
            return Ok(LrnOp::Library { lrn: LrnDescriptor::new(lrn)?, tensor });
        }
        let lrn_shape = LrnShape {
            channels: Divisor::new(shape.c),
            spatial: Divisor::new(shape.h * shape.w),
            nhwc: arithmetic.nhwc().into(),
            size: lrn.size as u32,
            alpha: lrn.alpha,
            beta: lrn.beta,
            k: lrn.k,
        };
        Ok(LrnOp::Own(Box::new(OwnLrn {
            forward: gpu.kernel("lrn_forward")?,
            backward: gpu.kernel("lrn_backward")?,
            shape: lrn_shape,
            elements: shape.elements() as u32,
            grid: grid(shape, arithmetic.nhwc(), arithmetic.element()),
            scale: Buffer::new(size_of::<f32>() * shape.elements())?,
        })))
    }
}

impl Operation for LrnOp {
    fn forward(&self, handles: &Handles, at: &Forward) -> Result<(), CallError> {
        let (x, y) = (at.x(), at.output);
        match self {
            LrnOp::Library { lrn, tensor } => {
                let at = |address| TensorRef { tensor, address };
                handles.stream.count(1);
                handles.dnn.lrn_forward(lrn, at(x), at(y))
            }
            LrnOp::Own(own) => {
                let OwnLrn { shape, elements, grid, scale, .. } = &**own;
                own.forward.launch(&handles.stream, *grid, &[&x, &y, &scale.address(), shape, elements])
            }
        }
    }

    fn backward_data(&self, handles: &Handles, at: &BackwardData) -> Result<(), CallError> {
        let BackwardData { x, y, dy, dx, accumulate, .. } = at;
        match self {
            LrnOp::Library { lrn, tensor } => {
                let [y, dy, x, dx] = [y, dy, x, dx].map(|&address| TensorRef { tensor, address });
                handles.stream.count(1);
                handles.dnn.lrn_backward(lrn, GradientRefs { y, dy, x, dx }, *accumulate)
            }
            LrnOp::Own(own) => {
                let OwnLrn { shape, elements, grid, scale, .. } = &**own;
                let accumulate = u32::from(*accumulate);
                let arguments: [&dyn Argument; 8] = [x, y, &scale.address(), dy, dx, shape, &accumulate, elements];
                own.backward.launch(&handles.stream, *grid, &arguments)
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            LrnOp::Library { .. } => 0,
            LrnOp::Own(own) => own.scale.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cudnn_gets_what_it_computes_alike() {
        let caffe = kind::Lrn { size: 5, alpha: 1e-4, beta: 0.75, k: 1.0, within_channel: false };
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
