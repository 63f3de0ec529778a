//! The sentences that say how to get a library.

use super::open::{self, Which};
use super::{FOR_VOLTA, TURING};
use crate::device::cuda::driver::devices;

/// How to get a library for a CUDA version.
pub fn install(library: &str, major: usize) -> String {
    format!("pip install {}, or name its folder in LD_LIBRARY_PATH", packages(&[library], major))
}

/// The packages of libraries for a CUDA version; for an old GPU both of the last that serve it, since they must fit together.
pub fn packages(libraries: &[&str], major: usize) -> String {
    match first_gpu_is_old() {
        true => FOR_VOLTA.join(" "),
        false => libraries.iter().map(|library| package(library, major)).collect::<Vec<_>>().join(" "),
    }
}

fn first_gpu_is_old() -> bool {
    let driver = open::is_open(Which::Driver);
    driver && devices::offered().is_ok_and(|gpus| gpus.first().is_some_and(|gpu| gpu.capability < TURING))
}

/// The package's name on PyPI; since CUDA 13 only cuDNN's has a version in it.
pub fn package(library: &str, major: usize) -> String {
    match library {
        "cublas" | "cuda-nvrtc" if major >= 13 => format!("nvidia-{library}"),
        _ => format!("nvidia-{library}-cu{major}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_pypi() {
        assert_eq!((package("cublas", 13), package("cudnn", 13)), ("nvidia-cublas".into(), "nvidia-cudnn-cu13".into()));
        assert_eq!(package("cublas", 12), "nvidia-cublas-cu12");
        let nvrtc = [12, 13].map(|major| package("cuda-nvrtc", major));
        assert_eq!(nvrtc, ["nvidia-cuda-nvrtc-cu12", "nvidia-cuda-nvrtc"]);
    }
}
