//! The functions that this program calls, looked for before the first call: cudarc panics at a missing one.

use cudarc::{cublas, cudnn, driver};

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

const CUBLAS: &[&str] =
    &["cublasCreate_v2", "cublasDestroy_v2", "cublasGemmEx", "cublasSetMathMode", "cublasSetStream_v2"];

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
    // SAFETY: all three are loaded.
    let libraries = unsafe {
        [
            ("libcuda", driver::sys::culib(), DRIVER),
            ("cuBLAS", cublas::sys::culib(), CUBLAS),
            ("cuDNN", cudnn::sys::culib(), CUDNN),
        ]
    };
    for (name, library, functions) in libraries {
        if let Some(missing) = functions.iter().find(|function| !has(library, function)) {
            return Err(DeviceError::Unusable(format!("{name} has no {missing}: install a newer one")));
        }
    }
    Ok(())
}

/// Tells if the driver has a function. The libraries must be loaded.
pub fn driver_has(function: &str) -> bool {
    // SAFETY: present, as `probe` found.
    has(unsafe { driver::sys::culib() }, function)
}

fn has(library: &libloading::Library, function: &str) -> bool {
    // SAFETY: the symbol is looked up, and not called by this type.
    unsafe { library.get::<unsafe extern "C" fn()>(function.as_bytes()) }.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// These look at devices and libraries without opening any, through cudarc's own wrappers.
    const OTHERS: [&str; 2] = ["devices.rs", "libraries.rs"];

    /// Every `library::function(` that a macro in this folder calls.
    fn called(folder: &Path, library: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !["nvml", "libraries"].iter().any(|other| path.ends_with(other)) {
                called(&path, library, found);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !OTHERS.iter().any(|other| path.ends_with(other))
            {
                let text: String = std::fs::read_to_string(&path).unwrap().split_whitespace().collect();
                for rest in text.split(&format!("{library}::")).skip(1) {
                    let name: String = rest.chars().take_while(|&c| c.is_ascii_alphanumeric() || c == '_').collect();
                    let is_call = rest[name.len()..].starts_with('(');
                    if is_call && name.starts_with("cu") && !name.starts_with("culib") {
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
