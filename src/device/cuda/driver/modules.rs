//! The program's own kernels on a device: loaded when it is opened, found by name, launched with checked arguments.

use std::collections::HashMap;
use std::ffi::{CString, c_void};

use cudarc::driver::sys::{CUfunction, CUmodule};
use smallvec::SmallVec;

use super::call::{CallError, call};
use super::stream::Stream;

/// Threads per block of every kernel whose grid is its own choice.
const BLOCK: u32 = 256;
/// The most bytes that a thread moves at once.
const VECTOR: u32 = 16;
/// Blocks that every GPU has to take one after the other, some at least.
const WAVE: u32 = 2048;

/// A kernel and the sizes of its parameters.
#[derive(Clone, Debug)]
pub struct Kernel {
    function: CUfunction,
    parameters: SmallVec<[usize; 16]>,
}

// SAFETY: a kernel is a name for something of the driver's, which may be used from any thread.
unsafe impl Send for Kernel {}
// SAFETY: as above.
unsafe impl Sync for Kernel {}

/// Blocks and threads of a launch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Blocks along x, y and z.
    pub blocks: [u32; 3],
    /// Threads of a block along x and y.
    pub threads: [u32; 2],
}

impl Grid {
    /// One thread alone.
    pub const ONE: Grid = Grid { blocks: [1, 1, 1], threads: [1, 1] };

    /// A thread per element.
    pub fn over(elements: u32) -> Grid {
        Grid::of_blocks(elements.div_ceil(BLOCK))
    }

    /// A thread per 16 bytes of a tensor, or two of them where it is large: what a kernel moves at once.
    pub fn streaming(elements: u32, element_bytes: usize) -> Grid {
        let blocks = elements.div_ceil(VECTOR / element_bytes as u32).div_ceil(BLOCK);
        Grid::of_blocks(blocks.min(WAVE.max(blocks.div_ceil(2))))
    }

    /// This many blocks of the usual size.
    pub fn of_blocks(blocks: u32) -> Grid {
        Grid { blocks: [blocks.max(1), 1, 1], threads: [BLOCK, 1] }
    }
}

/// Something that a kernel takes by value: numbers, device addresses, and structs of 4-byte fields.
pub trait Argument {
    /// The value's place.
    fn pointer(&self) -> *const c_void {
        std::ptr::from_ref(self).cast()
    }

    /// The value's size.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }
}

impl Argument for u32 {}
impl Argument for u64 {}
impl Argument for f32 {}

impl Kernel {
    /// Enqueues a launch. The arguments' number and sizes are checked; that they mean the right thing is the caller's part, and
    /// shows in the device's memory alone.
    pub fn launch(&self, stream: &Stream, grid: Grid, arguments: &[&dyn Argument]) -> Result<(), CallError> {
        let sizes = arguments.iter().map(|argument| argument.bytes());
        assert!(sizes.eq(self.parameters.iter().copied()), "a kernel takes {:?}", self.parameters);
        let mut pointers: SmallVec<[*mut c_void; 16]> =
            arguments.iter().map(|argument| argument.pointer().cast_mut()).collect();
        let Grid { blocks: [columns, rows, layers], threads: [x, y] } = grid;
        stream.count(1);
        // SAFETY: one pointer per parameter, each to a value of the parameter's size, which the driver copies at once.
        unsafe {
            call!(driver::cuLaunchKernel(
                self.function,
                columns,
                rows,
                layers,
                x,
                y,
                1,
                0,
                stream.handle(),
                pointers.as_mut_ptr(),
                std::ptr::null_mut()
            ))
        }
    }
}

/// All kernels of a device, loaded.
pub struct Modules {
    modules: Vec<CUmodule>,
    kernels: HashMap<String, Kernel>,
}

// SAFETY: modules are names for something of the driver's, which may be used from any thread.
unsafe impl Send for Modules {}
// SAFETY: as above.
unsafe impl Sync for Modules {}

impl Modules {
    /// Loads every image, PTX or machine code, with PTX that declares its kernels. All are loaded now: loading at first use would wait for
    /// a stream that may be held.
    pub fn load<'a>(images: impl Iterator<Item = (&'a [u8], &'a str)>) -> Result<Modules, CallError> {
        let mut modules = Modules { modules: Vec::new(), kernels: HashMap::new() };
        for (image, declarations) in images {
            modules.add(image, declarations)?;
        }
        Ok(modules)
    }

    fn add(&mut self, image: &[u8], declarations: &str) -> Result<(), CallError> {
        // PTX must end with a NUL; machine code knows its own length.
        let image = [image, &[0]].concat();
        let mut module = std::ptr::null_mut();
        // SAFETY: an out-pointer to a local, and an image as the driver wants it.
        unsafe { call!(driver::cuModuleLoadData(&mut module, image.as_ptr().cast())) }?;
        self.modules.push(module);
        for (name, parameters) in entries(declarations) {
            let (mut function, c_name) = (std::ptr::null_mut(), CString::new(name).unwrap_or_default());
            // SAFETY: an out-pointer to a local, a live module, and a C string.
            unsafe { call!(driver::cuModuleGetFunction(&mut function, module, c_name.as_ptr())) }?;
            self.kernels.insert(name.to_owned(), Kernel { function, parameters });
        }
        Ok(())
    }

    /// The kernel with this name.
    pub fn get(&self, name: &str) -> Option<Kernel> {
        self.kernels.get(name).cloned()
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        for &module in &self.modules {
            // SAFETY: loaded in `add`, unloaded nowhere else. Nothing can be done about a failure.
            let _ = unsafe { call!(driver::cuModuleUnload(module)) };
        }
    }
}

/// The kernels of a PTX text, each with the sizes of its parameters.
fn entries(ptx: &str) -> impl Iterator<Item = (&str, SmallVec<[usize; 16]>)> {
    ptx.split(".entry ").skip(1).filter_map(|entry| {
        let (name, rest) = entry.split_once('(')?;
        let (parameters, _) = rest.split_once(')')?;
        Some((name.trim(), parameters.split(',').filter_map(parameter_bytes).collect()))
    })
}

/// The size of `.param .u64 name` or `.param .align 4 .b8 name[48]`.
fn parameter_bytes(declaration: &str) -> Option<usize> {
    let kind = declaration
        .split_whitespace()
        .find(|word| word.starts_with('.') && word.ends_with(|last: char| last.is_ascii_digit()))?;
    let bits: usize = kind.trim_start_matches(|first: char| !first.is_ascii_digit()).parse().ok()?;
    let count = declaration.split_once('[').and_then(|(_, count)| count.trim().trim_end_matches(']').parse().ok());
    Some(bits / 8 * count.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_by_their_declarations() {
        let ptx = ".visible .entry one(\n\t.param .u64 one_param_0,\n\t.param .align 4 .b8 one_param_1[48],\n\t.param .f32 \
                   one_param_2\n)\n{\n\tld.param.u64 %rd1, [one_param_0];\n}\n.visible .entry none()\n{ }";
        let found: Vec<(&str, Vec<usize>)> = entries(ptx).map(|(name, sizes)| (name, sizes.into_vec())).collect();
        assert_eq!(found, [("one", vec![8, 48, 4]), ("none", vec![])]);
    }

    #[test]
    fn grids_cover_their_elements() {
        assert_eq!([1, 256, 257].map(|elements| Grid::over(elements).blocks[0]), [1, 1, 2]);
        let blocks = |elements, bytes| Grid::streaming(elements, bytes).blocks[0];
        assert_eq!([blocks(1, 4), blocks(1024, 4), blocks(1025, 4), blocks(2049, 2)], [1, 1, 2, 2]);
        // 3000 blocks of a vector per thread are 2048 of up to two, 6000 are 3000 of two.
        assert_eq!([blocks(3000 * 1024, 4), blocks(6000 * 1024, 4)], [2048, 3000]);
    }
}
