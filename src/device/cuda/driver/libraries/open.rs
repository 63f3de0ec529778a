//! Libraries opened by their exact names, and the functions in them.
//!
//! A name without a version is never asked for: an older toolkit in the loader's path would answer to it. What is open stays open.

use std::ffi::{CStr, c_void};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use libloading::os::unix::{Library as Opened, RTLD_GLOBAL, RTLD_NOW};

use super::search_paths;

/// The libraries whose functions are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// libcuda.
    Driver,
    /// libcublas.
    Cublas,
    /// libcudnn.
    Cudnn,
    /// libnvrtc, for which cuDNN asks by itself.
    Nvrtc,
    /// libnvtx3interop or libnvToolsExt.
    Nvtx,
}

impl Which {
    fn handle(self) -> &'static OnceLock<Handle> {
        static HANDLES: [OnceLock<Handle>; 5] = [const { OnceLock::new() }; 5];
        match self {
            Which::Driver => &HANDLES[0],
            Which::Cublas => &HANDLES[1],
            Which::Cudnn => &HANDLES[2],
            Which::Nvrtc => &HANDLES[3],
            Which::Nvtx => &HANDLES[4],
        }
    }
}

/// The loader's handle of an open library.
struct Handle(*mut c_void);

// SAFETY: a handle may be used from any thread; it is never closed.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

/// The place of a function in memory.
#[derive(Clone, Copy)]
pub struct Address(*const c_void);

// SAFETY: code may be called from any thread; its library is never closed.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    /// The file that holds the function, as the loader knows it.
    pub fn file(self) -> PathBuf {
        file_at(self.0).unwrap_or_else(|| "unknown file".into())
    }
}

/// Opens a library under the first of these names that the loader finds, else that lies in one of the folders. The error lists what
/// did not open. Does nothing where the library is open already.
pub fn open(which: Which, names: &[String], folders: &[PathBuf]) -> Result<(), String> {
    if which.handle().get().is_none() {
        let opened = open_first(names, folders)?;
        which.handle().get_or_init(|| Handle(opened.into_raw()));
    }
    Ok(())
}

/// Tells if a library is open.
pub fn is_open(which: Which) -> bool {
    which.handle().get().is_some()
}

/// Opens the first library that can be: name by name, the loader's before the folders'.
pub fn open_first(names: &[String], folders: &[PathBuf]) -> Result<Opened, String> {
    let mut faults = Vec::new();
    for name in names {
        let files = search_paths::files(std::slice::from_ref(name), folders);
        for file in [PathBuf::from(name)].into_iter().chain(files) {
            match open_file(&file) {
                Ok(opened) => return Ok(opened),
                Err(error) if is_absent(&file, &error) => {}
                Err(error) => faults.push(format!("{} does not open ({error})", file.display())),
            }
        }
    }
    let here = "in the loader's path, CUDA_HOME, CUDA_PATH, /usr/local/cuda, conda or pip";
    Err(if faults.is_empty() { format!("no {} {here}", names.join(" or ")) } else { faults.join("; ") })
}

/// Opens one file, or what the loader finds by a name. Its symbols are global: cuDNN's own libraries find cuBLAS and NVRTC by theirs.
fn open_file(file: &Path) -> Result<Opened, libloading::Error> {
    // SAFETY: opens NVIDIA's libraries; their initialisers have no conditions.
    unsafe { Opened::open(Some(file), RTLD_NOW | RTLD_GLOBAL) }
}

/// Tells if the loader looked for a name and found no file, as opposed to one that lacks something.
fn is_absent(name: &Path, error: &libloading::Error) -> bool {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    name.components().count() == 1 && text.contains(&format!("{}: cannot open shared object file", name.display()))
}

/// The address of a function in an open library; `name` ends with a NUL.
pub fn address(which: Which, name: &str) -> Option<Address> {
    let name = CStr::from_bytes_with_nul(name.as_bytes()).ok()?;
    let Handle(handle) = which.handle().get()?;
    // SAFETY: an open library's handle and a C string.
    let address = unsafe { libc::dlsym(*handle, name.as_ptr()) };
    (!address.is_null()).then_some(Address(address))
}

/// A binding's function type, and the type of the foreign function that it declares.
pub trait Declared {
    /// The same with C's calling convention.
    type Foreign: Copy;
}

macro_rules! declared {
    ($($argument:ident)*) => {
        impl<R, $($argument),*> Declared for unsafe fn($($argument),*) -> R {
            type Foreign = unsafe extern "C" fn($($argument),*) -> R;
        }
    };
}

/// For as many arguments as any function has: cublasGemmEx has 19.
macro_rules! declared_up_to {
    () => { declared!(); };
    ($first:ident $($rest:ident)*) => { declared!($first $($rest)*); declared_up_to!($($rest)*); };
}
declared_up_to!(A B C D E F G H I J K L M N O P Q S T);

/// The function at an address, with the type of its binding. Calling it is sound where the binding declares the function at the address.
pub fn as_declared<D: Declared>(_: D, address: Address) -> D::Foreign {
    // SAFETY: both are plain pointers, neither is null; whoever calls the function vouches for its type.
    unsafe { std::mem::transmute_copy::<*const c_void, D::Foreign>(&address.0) }
}

/// The function at an address, as a pointer type that is written out. Calling it is sound where that is the function's type.
pub fn as_function<F: Copy>(address: Address) -> F {
    const { assert!(size_of::<F>() == size_of::<*const c_void>()) };
    // SAFETY: both are plain pointers, neither is null; whoever calls the function vouches for its type.
    unsafe { std::mem::transmute_copy::<*const c_void, F>(&address.0) }
}

/// `function!(cudnn::cudnnGetVersion())`: the function of an open library with the type that cudarc declares, or `None`. The arguments
/// are only counted.
macro_rules! function {
    ($library:ident :: $name:ident ( $($argument:expr),* $(,)? )) => {{
        use $crate::device::cuda::driver::libraries::open;
        static ADDRESS: std::sync::OnceLock<open::Address> = std::sync::OnceLock::new();
        let declared: unsafe fn($(open::any!($argument)),*) -> _ = cudarc::$library::sys::$name;
        let found = ADDRESS.get().copied().or_else(|| {
            let found = open::address(open::which!($library), concat!(stringify!($name), "\0"))?;
            Some(*ADDRESS.get_or_init(|| found))
        });
        found.map(|address| open::as_declared(declared, address))
    }};
}

macro_rules! any {
    ($argument:expr) => {
        _
    };
}

macro_rules! which {
    (driver) => {
        open::Which::Driver
    };
    (cublas) => {
        open::Which::Cublas
    };
    (cudnn) => {
        open::Which::Cudnn
    };
    (nvrtc) => {
        open::Which::Nvrtc
    };
}

pub(in super::super) use {any, function, which};

/// The file that was loaded at an address.
pub fn file_at(address: *const c_void) -> Option<PathBuf> {
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

/// The file of an open library whose name begins like this, as the process's memory map has it.
pub fn mapped_file(beginning: &str) -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut files = maps.lines().filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])));
    files.find(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(beginning)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_is_named() {
        let missing = open_first(&["libno-such.so.9".into()], &[]).unwrap_err();
        assert!(missing.starts_with("no libno-such.so.9 in the loader's path"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libno-such.so.9"), "no library").unwrap();
        let broken = open_first(&["libno-such.so.9".into()], &[folder.path().into()]).unwrap_err();
        assert!(broken.contains("does not open") && broken.contains("libno-such.so.9"), "{broken}");
    }

    /// libc is open everywhere; a function of it has an address, and its file is libc's.
    #[test]
    fn functions_have_files() {
        let file = file_at(libc::getpid as *const c_void).unwrap();
        assert!(file.file_name().unwrap().to_string_lossy().starts_with("lib"), "{}", file.display());
        assert!(mapped_file("libc.so").is_some() && mapped_file("libno-such.so").is_none());
    }
}
