//! NVTX: named ranges that Nsight Systems and Nsight Compute show.
//!
//! cudarc's own binding is linked when it is built, and would keep the program from starting where NVTX is not. So the library is opened
//! by its name as all others are. It hands ranges on to the profiler that started the program, and without one does nothing.

use std::ffi::{CStr, c_char, c_int};

use super::libraries::{open, search_paths};

/// The library since NVTX 3, and the one before, which CUDA 13 no longer brings.
const NAMES: [&str; 2] = ["libnvtx3interop.so.1", "libnvToolsExt.so.1"];
/// Names the library that a profiler wants to get the ranges. Profilers set it for the programs that they start:
/// <https://nvidia.github.io/NVTX/>, "How does NVTX work under the hood".
const INJECTION: &str = "NVTX_INJECTION64_PATH";

/// The functions that begin and end a range.
#[derive(Clone, Copy)]
pub struct Nvtx {
    push: unsafe extern "C" fn(*const c_char) -> c_int,
    pop: unsafe extern "C" fn() -> c_int,
}

impl Nvtx {
    /// Opens the library, or says why not and how to get it.
    pub fn open() -> Result<Nvtx, String> {
        let folders = search_paths::of_this_process();
        let fix = "pip install nvidia-nvtx";
        open::open(open::Which::Nvtx, &NAMES.map(String::from), &folders)
            .map_err(|missing| format!("{missing}: {fix}"))?;
        let function = |name| open::address(open::Which::Nvtx, name);
        let both = function("nvtxRangePushA\0").zip(function("nvtxRangePop\0"));
        let (push, pop) = both.ok_or_else(|| format!("the {} that opens is no NVTX: {fix}", NAMES[0]))?;
        Ok(Nvtx { push: open::as_function(push), pop: open::as_function(pop) })
    }

    /// Tells if a profiler waits for ranges: it named its library, or has NVTX loaded already.
    pub fn is_awaited() -> bool {
        let named = std::env::var_os(INJECTION).is_some_and(|library| !library.is_empty());
        named || NAMES.iter().any(|name| open::mapped_file(name.trim_end_matches(".1")).is_some())
    }

    /// Begins a range of this thread's inside those that it began before.
    pub fn push(self, name: &CStr) {
        // SAFETY: nvtxRangePushA takes a C string, which it copies, and answers the depth.
        unsafe { (self.push)(name.as_ptr()) };
    }

    /// Ends the range that this thread began last.
    pub fn pop(self) {
        // SAFETY: nvtxRangePop takes nothing, and fails without harm where no range is open.
        unsafe { (self.pop)() };
    }
}
