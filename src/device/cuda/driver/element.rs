//! Storage types of tensors, and the arithmetic that each precision asks of the libraries.

use cudarc::cublas::sys::{cublasComputeType_t, cudaDataType_t};
use cudarc::cudnn::sys::cudnnDataType_t;
use half::{bf16, f16};
use rayon::prelude::*;

use crate::plan::Precision;

/// The storage type of activations, of their gradients, and of the weights that layers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
}

impl Element {
    /// The type that a precision stores.
    pub fn of(precision: Precision) -> Element {
        match precision {
            Precision::F32 | Precision::Tf32 | Precision::Tf32F32 | Precision::F32Tf32 => Element::F32,
            Precision::F16 => Element::F16,
            Precision::Bf16 => Element::Bf16,
        }
    }

    /// Size of one.
    pub fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 | Element::Bf16 => 2,
        }
    }

    /// How many a kernel moves at once, in 16 bytes.
    pub fn per_vector(self) -> usize {
        16 / self.bytes()
    }

    /// How kernels' names end.
    pub fn suffix(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::Bf16 => "bf16",
        }
    }

    /// cuDNN's number of the type.
    pub(super) fn dnn(self) -> cudnnDataType_t {
        match self {
            Element::F32 => cudnnDataType_t::CUDNN_DATA_FLOAT,
            Element::F16 => cudnnDataType_t::CUDNN_DATA_HALF,
            Element::Bf16 => cudnnDataType_t::CUDNN_DATA_BFLOAT16,
        }
    }

    /// cuBLAS's number of the type.
    pub(super) fn blas(self) -> cudaDataType_t {
        match self {
            Element::F32 => cudaDataType_t::CUDA_R_32F,
            Element::F16 => cudaDataType_t::CUDA_R_16F,
            Element::Bf16 => cudaDataType_t::CUDA_R_16BF,
        }
    }

    /// Values as they lie in memory, each rounded to nearest.
    pub fn encode(self, values: &[f32]) -> Vec<u8> {
        match self {
            Element::F32 => values.par_iter().flat_map_iter(|value| value.to_le_bytes()).collect(),
            Element::F16 => values.par_iter().flat_map_iter(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            Element::Bf16 => values.par_iter().flat_map_iter(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
        }
    }

    /// Values from memory.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Element::F32 => bytes.par_chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Element::F16 => bytes.par_chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            Element::Bf16 => bytes.par_chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        }
    }
}

/// Sums are f32 in every precision.
pub(super) fn blas_compute(precision: Precision) -> cublasComputeType_t {
    match precision {
        Precision::F32 | Precision::Tf32F32 | Precision::F16 | Precision::Bf16 => {
            cublasComputeType_t::CUBLAS_COMPUTE_32F
        }
        Precision::Tf32 | Precision::F32Tf32 => cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_have_an_arithmetic_of_their_own() {
        let compute = [Precision::F32, Precision::Tf32, Precision::Tf32F32, Precision::F32Tf32].map(blas_compute);
        let [f32, tf32] = [cublasComputeType_t::CUBLAS_COMPUTE_32F, cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32];
        assert_eq!(compute, [f32, tf32, f32, tf32]);
    }

    #[test]
    fn memory_and_back() {
        let values = [0.0, -1.5, 65504.0, 3.0e-5];
        assert_eq!(Element::F32.decode(&Element::F32.encode(&values)), values);
        // 1 + 2⁻¹¹ lies between two f16: ties to even. 1 + 2⁻⁸ likewise for bf16.
        assert_eq!(Element::F16.encode(&[1.0 + 2f32.powi(-11)]), [0x00, 0x3c]);
        assert_eq!(Element::Bf16.encode(&[1.0 + 3.0 * 2f32.powi(-8)]), [0x82, 0x3f]);
        assert_eq!(Element::F16.decode(&[0xff, 0x7b]), [65504.0]);
        assert_eq!(Element::Bf16.decode(&[0xc0, 0xbf]), [-1.5]);
    }
}
