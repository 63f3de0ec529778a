//! What all descriptors share: creation, destruction, data types, leak counts.

use super::{Result, refuse, refuse_descriptor};
use crate::element::Element;
use crate::settings::SETTINGS;
use cudarc::cudnn::sys::cudnnDataType_t;
use cudarc::cudnn::sys::cudnnStatus_t::{self, *};

/// `descriptor! { TENSORS: Tensor, "tensor descriptors", cudnnTensorDescriptor_t, create, destroy }`: a table of handles
/// and the two exported functions. A descriptor starts unset.
macro_rules! descriptor {
    ($table:ident: $object:ty, $kind:literal, $handle:ident, $create:ident, $destroy:ident) => {
        static $table: $crate::handle::Handles<Option<$object>> = $crate::handle::Handles::new($kind);

        $crate::export::export! { DESCRIPTOR_CALLS: "cudnn", cudarc::cudnn::sys, cudarc::cudnn::sys::cudnnStatus_t;
        fn $create(to: *mut cudarc::cudnn::sys::$handle) {
            $crate::report::at_exit(|| $table.leaks());
            $crate::export::put(to, $table.add(None))
        }
        fn $destroy(descriptor: cudarc::cudnn::sys::$handle) {
            match descriptor.is_null() || $table.remove(descriptor) {
                true => Ok(()),
                false => $crate::dnn::refuse_descriptor("no such descriptor"),
            }
        }
        }
    };
}
pub(crate) use descriptor;

/// A descriptor that has been set.
pub fn set<T>(object: Option<Option<T>>) -> Result<T> {
    match object {
        Some(Some(object)) => Ok(object),
        Some(None) => refuse_descriptor("a descriptor that was never set"),
        None => refuse_descriptor("no such descriptor"),
    }
}

/// The types that softcuda computes with; others are valid in descriptors of the real library only.
pub fn element(ty: cudnnDataType_t) -> Result<Element> {
    match ty {
        cudnnDataType_t::CUDNN_DATA_FLOAT => Ok(Element::F32),
        cudnnDataType_t::CUDNN_DATA_HALF => Ok(Element::F16),
        cudnnDataType_t::CUDNN_DATA_BFLOAT16 => Ok(Element::BF16),
        _ => refuse(CUDNN_STATUS_NOT_SUPPORTED, format!("{ty:?} is not modelled")),
    }
}

pub fn data_type(element: Element) -> cudnnDataType_t {
    match element {
        Element::F32 => cudnnDataType_t::CUDNN_DATA_FLOAT,
        Element::F16 => cudnnDataType_t::CUDNN_DATA_HALF,
        Element::BF16 => cudnnDataType_t::CUDNN_DATA_BFLOAT16,
    }
}

/// bf16 needs compute capability 8.0.
pub fn runs_here(element: Element) -> Result<()> {
    match element {
        Element::BF16 if SETTINGS.capability.0 < 8 => Err(cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED_ARCH_MISMATCH),
        Element::BF16 | Element::F16 | Element::F32 => Ok(()),
    }
}
