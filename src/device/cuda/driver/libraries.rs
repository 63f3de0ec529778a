//! Finding NVIDIA's libraries: the driver, cuDNN and cuBLAS.
//!
//! The loader's own choice comes first, because the machine's owner set that up. Where it finds none, the
//! library is opened by its path and kept open: cudarc, which asks the loader by name, then finds it too.

mod search_paths;

use std::ffi::{CStr, c_int, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;

use cudarc::{cublas, cudnn, driver};
use libloading::os::unix::{Library as Opened, RTLD_GLOBAL, RTLD_NOW};

use super::devices;
use crate::device::DeviceError;

/// The oldest cuDNN whose functions this program calls.
const OLDEST_CUDNN: usize = 9;

/// The oldest compute capability that all libraries serve. CUDA 13 dropped what came before, and so did cuDNN 9.11.
const TURING: (i32, i32) = (7, 5);
const WITHOUT_VOLTA: (usize, usize) = (9, 11);
const FOR_VOLTA: [&str; 2] = ["nvidia-cublas-cu12", "\"nvidia-cudnn-cu12<9.11\""];

/// A library that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// Name, as reports write it.
    pub name: &'static str,
    /// Its own, as text.
    pub version: String,
    /// Major and minor number of that.
    pub number: (usize, usize),
    /// Major and minor number of the CUDA that it belongs to; for the driver, the newest that it serves.
    pub cuda: (usize, usize),
    /// The file that was really loaded.
    pub file: PathBuf,
}

/// All that a run needs, known to fit together.
#[derive(Clone, Debug)]
pub struct Libraries {
    /// libcuda.
    pub driver: Library,
    /// libcudnn.
    pub cudnn: Library,
    /// libcublas.
    pub cublas: Library,
}

/// Each library by itself, or what is missing and how to get it.
#[derive(Clone, Debug)]
pub struct Survey {
    /// libcuda.
    pub driver: Result<Library, String>,
    /// libcudnn.
    pub cudnn: Result<Library, String>,
    /// libcublas.
    pub cublas: Result<Library, String>,
}

impl Libraries {
    /// Opens them all, once per process. Must come before the first call of cudarc, which panics where a library is missing.
    pub fn load() -> Result<Libraries, DeviceError> {
        let load = || {
            // Without a driver the large ones are not opened at all.
            find_driver()?;
            let Survey { driver, cudnn, cublas } = survey().clone();
            let found = Libraries { driver: driver?, cudnn: cudnn?, cublas: cublas? };
            found.fit().map(|()| found)
        };
        load().map_err(DeviceError::Unusable)
    }

    /// The facts that reports list.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        [("cuda driver", &self.driver), ("cudnn", &self.cudnn), ("cublas", &self.cublas)]
            .map(|(key, library)| (key, library.to_string()))
            .to_vec()
    }

    /// Fails where they do not work together, saying what to do.
    pub fn fit(&self) -> Result<(), String> {
        let Libraries { driver, cudnn, cublas } = self;
        if cudnn.cuda.0 != cublas.cuda.0 {
            let major = cublas.cuda.0;
            return Err(format!("{cudnn} and {cublas} are for different CUDA versions: {}", install("cudnn", major)));
        }
        if cublas.cuda.0 > driver.cuda.0 {
            let (major, minor) = driver.cuda;
            return Err(format!(
                "{cublas} needs a driver for CUDA {}, but this one is for {major}.{minor}: update the driver, or pip install {}",
                cublas.cuda.0,
                packages(&["cublas", "cudnn"], major),
            ));
        }
        Ok(())
    }

    /// Fails where they do not serve a GPU of this compute capability, saying what to do.
    pub fn serve(&self, gpu: &str, capability: (i32, i32)) -> Result<(), String> {
        let Libraries { cudnn, cublas, .. } = self;
        let without_volta = [(cublas, cublas.cuda.0 >= 13), (cudnn, cudnn.number >= WITHOUT_VOLTA)];
        match without_volta.into_iter().find(|&(_, without)| without && capability < TURING) {
            Some((library, _)) => {
                let ((major, minor), fix) = (capability, FOR_VOLTA.join(" "));
                Err(format!("{library} does not serve {gpu} (compute capability {major}.{minor}): pip install {fix}"))
            }
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.name, self.version, self.file.display())
    }
}

/// Looks for every library, once per process.
pub fn survey() -> &'static Survey {
    static SURVEY: OnceLock<Survey> = OnceLock::new();
    SURVEY.get_or_init(|| {
        let driver = find_driver();
        let newest = driver.as_ref().map_or(13, |driver| driver.cuda.0);
        let folders = search_paths::folders(|name| std::env::var_os(name));
        let cudnn = find_cudnn(&folders, newest);
        // Where there are several, the cuBLAS that cuDNN was made for.
        let major = cudnn.as_ref().map_or(newest, |cudnn| cudnn.cuda.0);
        Survey { driver, cublas: find_cublas(&folders, major), cudnn }
    })
}

/// The driver's own library: it comes with the driver, and nowhere else.
fn find_driver() -> Result<Library, String> {
    // SAFETY: opens libraries by NVIDIA's names; their initialisers have no conditions.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err(
            "no NVIDIA driver: the loader finds no libcuda.so.1; install NVIDIA's driver, or start the container with \
                    its GPUs (docker run --gpus all)"
                .into(),
        );
    }
    let mut version: c_int = 0;
    // SAFETY: writes one int; needs no initialised driver.
    let status = unsafe { driver::sys::cuDriverGetVersion(&mut version) };
    if status != driver::sys::CUresult::CUDA_SUCCESS {
        return Err(format!("cuDriverGetVersion failed: {status:?}: reinstall NVIDIA's driver"));
    }
    let version = version as usize;
    let cuda = (version / 1000, version % 1000 / 10);
    // SAFETY: the library is there.
    let file = file_of(unsafe { driver::sys::culib() }, b"cuDriverGetVersion\0");
    Ok(Library { name: "CUDA driver", version: format!("{}.{}", cuda.0, cuda.1), number: cuda, cuda, file })
}

fn find_cudnn(folders: &[PathBuf], newest: usize) -> Result<Library, String> {
    // SAFETY: as for the driver.
    let present = || unsafe { cudnn::sys::is_culib_present() };
    open("cuDNN", present, &[format!("libcudnn.so.{OLDEST_CUDNN}")], folders)
        .map_err(|missing| format!("{missing}: {}", install("cudnn", newest)))?;
    // SAFETY: the library is there; the calls only return numbers.
    let (version, cuda) = unsafe { (cudnn::sys::cudnnGetVersion(), cudnn::sys::cudnnGetCudartVersion()) };
    // SAFETY: as above.
    let file = file_of(unsafe { cudnn::sys::culib() }, b"cudnnGetVersion\0");
    let version = cudnn_version(version);
    let cuda = (cuda / 1000, cuda % 1000 / 10);
    let text = format!("{}.{}.{} for CUDA {}.{}", version[0], version[1], version[2], cuda.0, cuda.1);
    let found = Library { name: "cuDNN", version: text, number: (version[0], version[1]), cuda, file };
    match version[0] >= OLDEST_CUDNN {
        true => Ok(found),
        false => Err(format!("{found} is too old, {OLDEST_CUDNN} is needed: {}", install("cudnn", newest))),
    }
}

/// The digits of cuDNN's own number: 92800 is 9.28.0, and before version 9 there were fewer (8907 is 8.9.7).
fn cudnn_version(number: usize) -> [usize; 3] {
    let major = if number >= 10_000 { 10_000 } else { 1000 };
    [number / major, number % major / 100, number % 100]
}

fn find_cublas(folders: &[PathBuf], major: usize) -> Result<Library, String> {
    // SAFETY: as for the driver.
    let present = || unsafe { cublas::sys::is_culib_present() };
    open("cuBLAS", present, &cublas_names(major), folders)
        .map_err(|missing| format!("{missing}: {}", install("cublas", major)))?;
    use cublas::sys::libraryPropertyType_t::{MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL};
    let mut numbers: [c_int; 3] = [0; 3];
    for (number, property) in numbers.iter_mut().zip([MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL]) {
        // SAFETY: writes one int; needs no handle.
        let status = unsafe { cublas::sys::cublasGetProperty(property, number) };
        if status != cublas::sys::cublasStatus_t::CUBLAS_STATUS_SUCCESS {
            return Err(format!("cublasGetProperty failed: {status:?}: {}", install("cublas", major)));
        }
    }
    let [major, minor, patch] = numbers.map(|number| number as usize);
    // SAFETY: the library is there.
    let file = file_of(unsafe { cublas::sys::culib() }, b"cublasGetProperty\0");
    let (version, number) = (format!("{major}.{minor}.{patch}"), (major, minor));
    Ok(Library { name: "cuBLAS", version, number, cuda: number, file })
}

/// The wanted version's name first, older ones next: newer ones need a newer driver.
fn cublas_names(major: usize) -> Vec<String> {
    let older = (11..major).rev();
    let newer = major + 1..=13.max(major);
    [major].into_iter().chain(older).chain(newer).map(|major| format!("libcublas.so.{major}")).collect()
}

/// Makes a library present: the loader's, or the first file of these names that opens.
fn open(name: &str, present: impl Fn() -> bool, names: &[String], folders: &[PathBuf]) -> Result<(), String> {
    if present() {
        return Ok(());
    }
    let mut faults = Vec::new();
    for file in search_paths::files(names, folders) {
        // SAFETY: as for the driver. The symbols are global, as they would be had the loader found it.
        match unsafe { Opened::open(Some(&file), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(opened) => {
                std::mem::forget(opened);
                if present() {
                    return Ok(());
                }
                faults.push(format!("{} opens, but the loader does not find it by its name", file.display()));
            }
            Err(error) => faults.push(format!("{} does not open ({error})", file.display())),
        }
    }
    let here = "in the loader's path, CUDA_HOME, CUDA_PATH, /usr/local/cuda, conda or pip";
    let why = if faults.is_empty() { format!("no {} {here}", names[0]) } else { faults.join("; ") };
    Err(format!("no {name}: {why}"))
}

/// The file that holds a symbol, as the loader knows it.
fn file_of(library: &libloading::Library, symbol: &[u8]) -> PathBuf {
    // SAFETY: the symbol is only looked at as an address.
    let address = unsafe { library.get::<*const c_void>(symbol) }.map_or(std::ptr::null(), |symbol| *symbol);
    file_at(address).unwrap_or_else(|| "unknown file".into())
}

/// The file that was loaded at an address.
pub(super) fn file_at(address: *const c_void) -> Option<PathBuf> {
    // SAFETY: plain data, which zeros are valid for.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked for; the name lives as long as the library, which is never closed.
    unsafe {
        if libc::dladdr(address, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        Some(CStr::from_ptr(info.dli_fname).to_string_lossy().into_owned().into())
    }
}

/// How to get a library for a CUDA version.
fn install(library: &str, major: usize) -> String {
    format!("pip install {}, or name its folder in LD_LIBRARY_PATH", packages(&[library], major))
}

/// The packages of libraries for a CUDA version; for an old GPU both of the last that serve it, since they must fit together.
fn packages(libraries: &[&str], major: usize) -> String {
    match first_gpu_is_old() {
        true => FOR_VOLTA.join(" "),
        false => libraries.iter().map(|library| package(library, major)).collect::<Vec<_>>().join(" "),
    }
}

fn first_gpu_is_old() -> bool {
    // SAFETY: as in `find_driver`.
    let driver = unsafe { driver::sys::is_culib_present() };
    driver && devices::offered().is_ok_and(|gpus| gpus.first().is_some_and(|gpu| gpu.capability < TURING))
}

/// The package's name on PyPI; since CUDA 13 cuBLAS's has no version in it.
fn package(library: &str, major: usize) -> String {
    match library {
        "cublas" if major >= 13 => "nvidia-cublas".into(),
        _ => format!("nvidia-{library}-cu{major}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn libraries(driver: (usize, usize), cudnn: usize, cublas: usize) -> Libraries {
        let library = |name, cuda| Library { name, version: "V".into(), number: cuda, cuda, file: "F".into() };
        Libraries {
            driver: library("CUDA driver", driver),
            cudnn: library("cuDNN", (cudnn, 0)),
            cublas: library("cuBLAS", (cublas, 0)),
        }
    }

    #[test]
    fn libraries_of_one_major_version_that_the_driver_serves_fit() {
        for (driver, major) in [((13, 0), 13), ((13, 0), 12), ((12, 2), 12)] {
            assert_eq!(libraries(driver, major, major).fit(), Ok(()));
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_way_out() {
        let mixed = libraries((13, 0), 12, 13).fit().unwrap_err();
        assert!(mixed.contains("different CUDA versions: pip install nvidia-cudnn-cu13"), "{mixed}");
        let old_driver = libraries((12, 2), 13, 13).fit().unwrap_err();
        let fix = "this one is for 12.2: update the driver, or pip install nvidia-cublas-cu12 nvidia-cudnn-cu12";
        assert!(old_driver.contains(fix), "{old_driver}");
    }

    #[test]
    fn old_gpus_want_old_libraries() {
        let with = |cuda: usize, number| {
            let found = libraries((13, 0), cuda, cuda);
            Libraries { cudnn: Library { number, ..found.cudnn }, ..found }
        };
        let fix = "pip install nvidia-cublas-cu12 \"nvidia-cudnn-cu12<9.11\"";
        for (cuda, number, library) in [(13, (9, 10), "cuBLAS"), (12, (9, 11), "cuDNN"), (12, (10, 0), "cuDNN")] {
            let refused = with(cuda, number).serve("V100", (7, 0)).unwrap_err();
            assert!(refused.starts_with(library) && refused.contains("V100") && refused.ends_with(fix), "{refused}");
            assert_eq!(with(cuda, number).serve("T4", (7, 5)), Ok(()));
        }
        assert_eq!(with(12, (9, 10)).serve("P100", (6, 0)), Ok(()));
    }

    #[test]
    fn versions_and_names() {
        assert_eq!((cudnn_version(92800), cudnn_version(8907)), ([9, 28, 0], [8, 9, 7]));
        assert_eq!(cublas_names(12), ["libcublas.so.12", "libcublas.so.11", "libcublas.so.13"]);
        assert_eq!(cublas_names(13), ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"]);
        assert_eq!((package("cublas", 13), package("cudnn", 13)), ("nvidia-cublas".into(), "nvidia-cudnn-cu13".into()));
        assert_eq!(package("cublas", 12), "nvidia-cublas-cu12");
    }

    /// The way out that a missing library's message shows, on a machine where nothing is to be found.
    #[test]
    fn a_missing_library_is_named() {
        let missing = open("cuDNN", || false, &["libcudnn.so.9".into()], &[]).unwrap_err();
        assert!(missing.starts_with("no cuDNN: no libcudnn.so.9 in the loader's path"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libcudnn.so.9"), "no library").unwrap();
        let broken = open("cuDNN", || false, &["libcudnn.so.9".into()], &[folder.path().into()]).unwrap_err();
        assert!(broken.contains("does not open") && broken.contains("libcudnn.so.9"), "{broken}");
    }
}
