//! Device memory for those who run kernels in their own process.

use crate::finding::Finding;
use crate::memory;
use half::{bf16, f16};
use std::marker::PhantomData;

/// Values that are nothing but their bytes, as kernels have them.
///
/// # Safety
/// Every pattern of bits is a value, and there is no padding.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($t:ty),*) => {$(
        // SAFETY: a number has no padding, and every pattern of bits is one.
        unsafe impl Plain for $t {}
    )*};
}
plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, f16, bf16);
// SAFETY: an array is its elements, one after another.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A buffer of the software device in this process, freed when dropped. Kernels that [`ptx::launch`](crate::ptx::launch)
/// runs may use its address.
#[derive(Debug)]
pub struct Buffer<T> {
    address: u64,
    length: usize,
    marker: PhantomData<T>,
}

impl<T: Plain> Buffer<T> {
    /// A buffer of `length` values that nothing has written: reading one is a finding.
    ///
    /// # Panics
    /// The host has no memory left.
    pub fn uninitialised(length: usize) -> Self {
        let address = memory::allocate(length * size_of::<T>(), u64::MAX).expect("host memory");
        Buffer { address, length, marker: PhantomData }
    }

    /// A buffer with these values.
    ///
    /// # Panics
    /// The host has no memory left.
    pub fn of(values: &[T]) -> Self {
        Self::uninitialised(values.len()).with(values)
    }

    /// Pinned host memory with these values, which the device sees at the host's own address.
    ///
    /// # Panics
    /// The host has no memory left.
    pub fn pinned(values: &[T]) -> Self {
        let address = memory::allocate_pinned(size_of_val(values)).expect("host memory") as u64;
        Buffer { address, length: values.len(), marker: PhantomData }.with(values)
    }

    fn with(self, values: &[T]) -> Self {
        let to = memory::writable(self.address, size_of_val(values)).expect("a live buffer");
        // SAFETY: as many bytes on both sides, and fresh memory overlaps nothing.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr().cast(), to, size_of_val(values)) };
        self
    }

    /// The address, as a kernel's argument.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The values.
    ///
    /// # Errors
    /// Some of them were never written.
    pub fn read(&self) -> Result<Vec<T>, Finding> {
        self.read_from(0)
    }

    /// The values from this one on.
    ///
    /// # Errors
    /// Some of them were never written.
    ///
    /// # Panics
    /// There are not so many.
    pub fn read_from(&self, first: usize) -> Result<Vec<T>, Finding> {
        let length = self.length.checked_sub(first).expect("a value of the buffer");
        let from = memory::readable(self.address + (first * size_of::<T>()) as u64, length * size_of::<T>())?;
        // SAFETY: allocations are aligned to 256 bytes, and `length` plain values follow.
        Ok(unsafe { std::slice::from_raw_parts(from.cast(), length) }.to_vec())
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        memory::free(self.address).expect("a live buffer");
    }
}
