//! The functions that this program calls, looked for before the first call: what is missing is said once, and not in the middle of a run.

use super::libraries::open::{self, Which};
use crate::device::DeviceError;

/// Functions of libcuda that every version from CUDA 11 on has.
const DRIVER: &[&str] = &[
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetUuid_v2",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAlloc_v2",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemHostGetDevicePointer_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
];

/// Functions that newer drivers alone have: looked for where they are used.
#[cfg(test)]
const OPTIONAL: &[&str] = &["cuStreamWaitValue32_v2"];

const CUBLAS: &[&str] = &[
    "cublasCreate_v2",
    "cublasDestroy_v2",
    "cublasGemmEx",
    "cublasGetProperty",
    "cublasSetMathMode",
    "cublasSetStream_v2",
];

const CUDNN: &[&str] = &[
    "cudnnActivationBackward",
    "cudnnActivationForward",
    "cudnnBatchNormalizationForwardTraining",
    "cudnnConvolutionBackwardData",
    "cudnnConvolutionBackwardFilter",
    "cudnnConvolutionForward",
    "cudnnCreate",
    "cudnnCreateActivationDescriptor",
    "cudnnCreateConvolutionDescriptor",
    "cudnnCreateFilterDescriptor",
    "cudnnCreateLRNDescriptor",
    "cudnnCreatePoolingDescriptor",
    "cudnnCreateTensorDescriptor",
    "cudnnDestroy",
    "cudnnDestroyActivationDescriptor",
    "cudnnDestroyConvolutionDescriptor",
    "cudnnDestroyFilterDescriptor",
    "cudnnDestroyLRNDescriptor",
    "cudnnDestroyPoolingDescriptor",
    "cudnnDestroyTensorDescriptor",
    "cudnnFindConvolutionBackwardDataAlgorithmEx",
    "cudnnFindConvolutionBackwardFilterAlgorithmEx",
    "cudnnFindConvolutionForwardAlgorithmEx",
    "cudnnGetConvolutionBackwardDataAlgorithm_v7",
    "cudnnGetConvolutionBackwardDataWorkspaceSize",
    "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
    "cudnnGetConvolutionBackwardFilterWorkspaceSize",
    "cudnnGetConvolutionForwardAlgorithm_v7",
    "cudnnGetConvolutionForwardWorkspaceSize",
    "cudnnGetCudartVersion",
    "cudnnGetVersion",
    "cudnnLRNCrossChannelBackward",
    "cudnnLRNCrossChannelForward",
    "cudnnPoolingBackward",
    "cudnnPoolingForward",
    "cudnnSetActivationDescriptor",
    "cudnnSetConvolution2dDescriptor",
    "cudnnSetConvolutionGroupCount",
    "cudnnSetConvolutionMathType",
    "cudnnSetFilter4dDescriptor",
    "cudnnSetLRNDescriptor",
    "cudnnSetPooling2dDescriptor",
    "cudnnSetStream",
    "cudnnSetTensor4dDescriptor",
];

/// `Err` says which function of which library is missing. The libraries must have been loaded (see [`super::libraries`]).
pub fn probe() -> Result<(), DeviceError> {
    let libraries =
        [("libcuda", Which::Driver, DRIVER), ("cuBLAS", Which::Cublas, CUBLAS), ("cuDNN", Which::Cudnn, CUDNN)];
    for (name, library, functions) in libraries {
        if let Some(missing) = functions.iter().find(|function| !has(library, function)) {
            return Err(DeviceError::Unusable(format!("{name} has no {missing}: install a newer one")));
        }
    }
    Ok(())
}

/// Tells if the driver has a function. The libraries must be loaded.
pub fn driver_has(function: &str) -> bool {
    has(Which::Driver, function)
}

fn has(library: Which, function: &str) -> bool {
    open::address(library, &format!("{function}\0")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Every `library::function(` that a macro in this folder calls.
    fn called(folder: &Path, library: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("nvml") {
                called(&path, library, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text: String = std::fs::read_to_string(&path).unwrap().split_whitespace().collect();
                for rest in text.split(&format!("{library}::")).skip(1) {
                    let name: String = rest.chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '_').collect();
                    let is_call = rest[name.len()..].starts_with('(');
                    if is_call && name.starts_with("cu") {
                        found.push(name);
                    }
                }
            }
        }
        found.sort();
        found.dedup();
    }

    /// The descriptors' constructors are the one place where a macro makes the calls.
    #[test]
    fn everything_that_is_called_is_probed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/device/cuda/driver");
        for (library, listed) in [("driver", DRIVER), ("cublas", CUBLAS), ("cudnn", CUDNN)] {
            let mut found = Vec::new();
            called(&folder, library, &mut found);
            assert!(found.len() > 3, "{library}: {found:?}");
            for name in &found {
                assert!(listed.contains(&name.as_str()) || OPTIONAL.contains(&name.as_str()), "{name} is not probed");
            }
            assert!(listed.is_sorted(), "{library}");
            let made = |name: &str| name.ends_with("Descriptor") && !name.starts_with("cudnnSet");
            for name in listed.iter().filter(|name| !made(name)) {
                assert!(found.iter().any(|found| found == name), "{name} is probed and never called");
            }
        }
    }
}
