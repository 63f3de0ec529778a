//! Modules, functions and launches.

use super::ready;
use crate::export::{export, put};
use crate::finding::{Finding, FindingKind};
use crate::handle::Handles;
use crate::stream::{self, Failure};
use crate::{memory, ptx, report, trace};
use cudarc::driver::sys::{
    self, CUfunc_cache, CUfunction, CUfunction_attribute, CUjit_option, CUlaunchConfig, CUmodule, CUmoduleLoadingMode,
    CUresult, CUstream,
};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

const ELF: [u8; 4] = *b"\x7fELF";
const FATBIN: [u8; 4] = 0xba55_ed50u32.to_le_bytes();
const SHARED_BYTES: usize = 48 << 10;

struct Module {
    kernels: ptx::Module,
    functions: Vec<usize>,
}

static MODULES: Handles<Module> = Handles::new("modules");
/// Functions belong to their module and go with it.
static FUNCTIONS: Handles<Arc<ptx::Kernel>> = Handles::new("kernel functions");

fn load(to: *mut CUmodule, image: *const c_void) -> Result<(), CUresult> {
    ready()?;
    report::at_exit(|| MODULES.leaks());
    if image.is_null() {
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    // SAFETY: an image is at least four bytes.
    let magic: [u8; 4] = unsafe { image.cast::<[u8; 4]>().read_unaligned() };
    if magic == ELF || magic == FATBIN {
        // machine code: nothing here executes that
        return Err(CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU);
    }
    // SAFETY: PTX images end with a NUL.
    let source = unsafe { CStr::from_ptr(image.cast()) }.to_str().map_err(|_| CUresult::CUDA_ERROR_INVALID_IMAGE)?;
    let kernels = ptx::parse(source).map_err(|finding| {
        report::in_call(finding);
        CUresult::CUDA_ERROR_INVALID_PTX
    })?;
    // SAFETY: the C caller's out-pointer.
    unsafe { put(to, MODULES.add(Module { kernels, functions: Vec::new() })) }
}

/// The three dimensions of a grid and a block, and the dynamic shared memory.
struct Shape {
    grid: [u32; 3],
    block: [u32; 3],
    shared: usize,
}

fn launch(f: CUfunction, shape: Shape, on: CUstream, arguments: *mut *mut c_void) -> Result<(), CUresult> {
    ready()?;
    let kernel = FUNCTIONS.copy(f).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
    let Shape { grid, block, shared } = shape;
    trace::line(format_args!("# {} grid {grid:?} block {block:?}", kernel.name));
    let threads = block.iter().map(|&n| u64::from(n)).product::<u64>();
    let grid_fits = grid.iter().all(|&n| n > 0) && grid[0] <= i32::MAX as u32 && grid[1] <= 65535 && grid[2] <= 65535;
    if !grid_fits
        || threads == 0
        || threads > u64::from(kernel.max_threads)
        || kernel.shared_bytes + shared > SHARED_BYTES
    {
        let text = format!("no launch with grid {grid:?}, block {block:?}, {shared} bytes shared");
        report::report(&Finding::new(FindingKind::InvalidArgument, text).of(&kernel.name));
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    let parameters = gather(&kernel, arguments)?;
    stream::enqueue(
        on as u64,
        &kernel.name.clone(),
        Box::new(move || {
            check_arguments(&kernel, &parameters)?;
            let launch = ptx::Launch { grid, block, dynamic_shared: shared, parameters: &parameters };
            ptx::launch(&kernel, &launch).map_err(|error| Failure::address(error.finding()))
        }),
    )
}

/// The parameter block from the caller's array of pointers to arguments.
fn gather(kernel: &ptx::Kernel, arguments: *mut *mut c_void) -> Result<Vec<u8>, CUresult> {
    let mut block = vec![0; kernel.parameter_bytes()];
    for (i, parameter) in kernel.parameters.iter().enumerate() {
        if arguments.is_null() {
            return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
        }
        // SAFETY: the caller passes one pointer per parameter, each to a value of the parameter's size.
        unsafe {
            let value = (*arguments.add(i)).cast::<u8>();
            std::ptr::copy_nonoverlapping(value, block[parameter.offset..].as_mut_ptr(), parameter.size);
        }
    }
    Ok(block)
}

/// A pointer parameter must be null or live, and no other parameter may be a device address.
fn check_arguments(kernel: &ptx::Kernel, block: &[u8]) -> Result<(), Failure> {
    for (i, parameter) in kernel.parameters.iter().enumerate().filter(|(_, p)| p.size == 8) {
        let bytes = &block[parameter.offset..parameter.offset + 8];
        let value = bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte));
        if parameter.is_pointer && value != 0 {
            memory::find(value, 1).map_err(|finding| Failure::address(finding.of(format_args!("argument {i}"))))?;
        }
        if !parameter.is_pointer && memory::is_device_address(value) {
            let text = format!("argument {i} is a device address, but the kernel uses it as a number");
            return Err(Failure::address(Finding::new(FindingKind::InvalidArgument, text)));
        }
    }
    Ok(())
}

fn attribute(kernel: &ptx::Kernel, which: CUfunction_attribute) -> c_int {
    use sys::CUfunction_attribute_enum::*;
    match which {
        CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK => kernel.max_threads as c_int,
        CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES => kernel.shared_bytes as c_int,
        CU_FUNC_ATTRIBUTE_NUM_REGS => kernel.registers32.min(255) as c_int,
        CU_FUNC_ATTRIBUTE_PTX_VERSION => 60,
        _ => 0,
    }
}

export! { CALLS: "cuda", sys, CUresult;
fn cuModuleLoadData(to: *mut CUmodule, image: *const c_void) {
    load(to, image)
}
fn cuModuleLoadDataEx(to: *mut CUmodule, image: *const c_void, _count: c_uint, _options: *mut CUjit_option, _values: *mut *mut c_void) {
    load(to, image)
}
fn cuModuleUnload(module: CUmodule) {
    let object = MODULES.get(module).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
    for &function in &object.lock().unwrap_or_else(|e| e.into_inner()).functions {
        FUNCTIONS.remove(function as CUfunction);
    }
    MODULES.remove(module);
    stream::check()
}
fn cuModuleGetFunction(to: *mut CUfunction, module: CUmodule, name: *const c_char) {
    ready()?;
    let name = CStr::from_ptr(name).to_str().map_err(|_| CUresult::CUDA_ERROR_NOT_FOUND)?;
    let mut found = None;
    let exists = MODULES.change(module, |module| {
        if let Some(kernel) = module.kernels.get(name) {
            let function: CUfunction = FUNCTIONS.add(kernel.clone());
            module.functions.push(function as usize);
            found = Some(function);
        }
    });
    if !exists {
        return Err(CUresult::CUDA_ERROR_INVALID_HANDLE);
    }
    put(to, found.ok_or(CUresult::CUDA_ERROR_NOT_FOUND)?)
}
fn cuModuleGetLoadingMode(to: *mut CUmoduleLoadingMode) {
    put(to, sys::CUmoduleLoadingMode_enum::CU_MODULE_EAGER_LOADING)
}
fn cuFuncGetAttribute(to: *mut c_int, which: CUfunction_attribute, f: CUfunction) {
    let kernel = FUNCTIONS.copy(f).ok_or(CUresult::CUDA_ERROR_INVALID_HANDLE)?;
    put(to, attribute(&kernel, which))
}
fn cuFuncSetAttribute(_f: CUfunction, _which: CUfunction_attribute, _value: c_int) {
    ready()
}
fn cuFuncSetCacheConfig(_f: CUfunction, _config: CUfunc_cache) {
    ready()
}
fn cuOccupancyMaxActiveBlocksPerMultiprocessor(to: *mut c_int, _f: CUfunction, threads: c_int, _shared: usize) {
    ready()?;
    put(to, 2048 / threads.max(1))
}
fn cuLaunchKernel(
    f: CUfunction, gx: c_uint, gy: c_uint, gz: c_uint, bx: c_uint, by: c_uint, bz: c_uint, shared: c_uint,
    on: CUstream, arguments: *mut *mut c_void, _extra: *mut *mut c_void,
) {
    launch(f, Shape { grid: [gx, gy, gz], block: [bx, by, bz], shared: shared as usize }, on, arguments)
}
fn cuLaunchKernelEx(config: *const CUlaunchConfig, f: CUfunction, arguments: *mut *mut c_void, _extra: *mut *mut c_void) {
    if config.is_null() {
        report::in_call(Finding::new(FindingKind::InvalidArgument, "null configuration"));
        return Err(CUresult::CUDA_ERROR_INVALID_VALUE);
    }
    let c = &*config;
    let (grid, block) = ([c.gridDimX, c.gridDimY, c.gridDimZ], [c.blockDimX, c.blockDimY, c.blockDimZ]);
    launch(f, Shape { grid, block, shared: c.sharedMemBytes as usize }, c.hStream, arguments)
}
}
