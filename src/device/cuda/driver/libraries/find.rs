//! Finding each library, and asking it who it is.

use std::ffi::c_int;
use std::path::{Path, PathBuf};

use super::advice::{install, package};
use super::open::{self, Which, function};
use super::{Library, search_paths};
use crate::device::cuda::driver::call::{CallError, call};

/// The cuDNN whose functions this program calls. A newer major number may have other functions.
const CUDNN: usize = 9;

/// The driver's own library: it comes with the driver, and nowhere else.
pub fn driver() -> Result<Library, String> {
    open::open(Which::Driver, &["libcuda.so.1".into()], &[]).map_err(|missing| {
        let fix = "install NVIDIA's driver, or start the container with its GPUs (docker run --gpus all)";
        match missing.contains("does not open") {
            true => format!("no NVIDIA driver: {missing}; {fix}"),
            false => format!("no NVIDIA driver: the loader finds no libcuda.so.1; {fix}"),
        }
    })?;
    let mut version: c_int = 0;
    // SAFETY: writes one int; needs no initialised driver.
    let asked = unsafe { call!(driver::cuDriverGetVersion(&mut version)) };
    asked.map_err(|error| format!("{error}: reinstall NVIDIA's driver"))?;
    let version = version as usize;
    let cuda = (version / 1000, version % 1000 / 10);
    let file = file_of(Which::Driver, "cuDriverGetVersion\0");
    Ok(Library { name: "CUDA driver", version: format!("{}.{}", cuda.0, cuda.1), number: cuda, cuda, file })
}

/// cuDNN; `newest` is the CUDA version to recommend where there is none.
pub fn cudnn(folders: &[PathBuf], newest: usize) -> Result<Library, String> {
    open::open(Which::Cudnn, &[format!("libcudnn.so.{CUDNN}")], folders)
        .map_err(|missing| format!("no cuDNN: {missing}: {}", install("cudnn", newest)))?;
    let asked = function!(cudnn::cudnnGetVersion()).zip(function!(cudnn::cudnnGetCudartVersion()));
    let nameless = || format!("the libcudnn.so.{CUDNN} that opens is no cuDNN: {}", install("cudnn", newest));
    let (version, cuda) = asked.ok_or_else(nameless)?;
    // SAFETY: both take nothing and return a number.
    let (version, cuda) = unsafe { (version(), cuda()) };
    let file = file_of(Which::Cudnn, "cudnnGetVersion\0");
    let version = cudnn_version(version);
    let cuda = (cuda / 1000, cuda % 1000 / 10);
    let text = format!("{}.{}.{} for CUDA {}.{}", version[0], version[1], version[2], cuda.0, cuda.1);
    let found = Library { name: "cuDNN", version: text, number: (version[0], version[1]), cuda, file };
    match version[0] >= CUDNN {
        true => Ok(found),
        false => Err(format!("{found} is too old, {CUDNN} is needed: {}", install("cudnn", newest))),
    }
}

/// The digits of cuDNN's own number: 92800 is 9.28.0, and before version 9 there were fewer (8907 is 8.9.7).
fn cudnn_version(number: usize) -> [usize; 3] {
    let major = if number >= 10_000 { 10_000 } else { 1000 };
    [number / major, number % major / 100, number % 100]
}

/// cuBLAS for a CUDA version. The one beside cuDNN comes before those in other folders: they were installed together.
pub fn cublas(cudnn: Option<&Path>, folders: &[PathBuf], major: usize) -> Result<Library, String> {
    let beside = cudnn.map(search_paths::beside).unwrap_or_default();
    let folders = [&beside, folders].concat();
    open::open(Which::Cublas, &versioned("libcublas", major), &folders)
        .map_err(|missing| format!("no cuBLAS: {missing}: {}", install("cublas", major)))?;
    let numbers = cublas_version().map_err(|error| format!("{error}: {}", install("cublas", major)))?;
    let [major, minor, patch] = numbers.map(|number| number as usize);
    let file = file_of(Which::Cublas, "cublasGetProperty\0");
    let (version, number) = (format!("{major}.{minor}.{patch}"), (major, minor));
    Ok(Library { name: "cuBLAS", version, number, cuda: number, file })
}

fn cublas_version() -> Result<[c_int; 3], CallError> {
    use cudarc::cublas::sys::libraryPropertyType_t::{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    let mut numbers: [c_int; 3] = [0; 3];
    for (number, property) in numbers.iter_mut().zip([MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL]) {
        // SAFETY: writes one int; needs no handle.
        unsafe { call!(cublas::cublasGetProperty(property, number)) }?;
    }
    Ok(numbers)
}

/// NVRTC for a CUDA version, with which cuDNN compiles engines at run time. Once it is open, cuDNN finds it by its name.
pub fn nvrtc(cudnn: Option<&Path>, folders: &[PathBuf], major: usize) -> Result<Library, String> {
    let beside = cudnn.map(search_paths::beside).unwrap_or_default();
    let folders = [&beside, folders].concat();
    open::open(Which::Nvrtc, &[format!("libnvrtc.so.{major}")], &folders)
        .map_err(|missing| format!("{missing}: pip install {}", package("cuda-nvrtc", major)))?;
    let nameless = || format!("the libnvrtc.so.{major} that opens is no NVRTC");
    let version = function!(nvrtc::nvrtcVersion(major, minor)).ok_or_else(nameless)?;
    let (mut major, mut minor): (c_int, c_int) = (0, 0);
    // SAFETY: writes two ints.
    unsafe { version(&mut major, &mut minor) };
    let cuda = (major as usize, minor as usize);
    let file = file_of(Which::Nvrtc, "nvrtcVersion\0");
    Ok(Library { name: "NVRTC", version: format!("{major}.{minor}"), number: cuda, cuda, file })
}

/// The driver's compiler of PTX, or how to get it.
pub fn ptx_compiler() -> Result<PathBuf, String> {
    const NAME: &str = "libnvidia-ptxjitcompiler.so";
    let fix = "it comes with NVIDIA's driver; in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility";
    let opened = open::open_first(&[format!("{NAME}.1")], &[]).map_err(|missing| format!("{missing}: {fix}"))?;
    let file = open::mapped_file(NAME).unwrap_or_else(|| "unknown file".into());
    drop(opened);
    Ok(file)
}

/// The wanted version's name first, older ones next: newer ones need a newer driver.
fn versioned(library: &str, major: usize) -> Vec<String> {
    let older = (11..major).rev();
    let newer = major + 1..=13.max(major);
    [major].into_iter().chain(older).chain(newer).map(|major| format!("{library}.so.{major}")).collect()
}

fn file_of(which: Which, function: &str) -> PathBuf {
    open::address(which, function).map_or_else(|| "unknown file".into(), |address| address.file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_names() {
        assert_eq!((cudnn_version(92800), cudnn_version(8907)), ([9, 28, 0], [8, 9, 7]));
        assert_eq!(versioned("libcublas", 12), ["libcublas.so.12", "libcublas.so.11", "libcublas.so.13"]);
        assert_eq!(versioned("libcublas", 13), ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"]);
    }
}
