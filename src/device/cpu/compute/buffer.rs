//! Large aligned memory that is resident before a step begins.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::tasks::pieces;

use crate::device::DeviceError;

/// The size of a huge page on x86-64 and most aarch64 systems.
const HUGE_PAGE: usize = 2 << 20;
const CACHE_LINE: usize = 64;

/// Zeroed `f32`s, aligned to a cache line (large ones to a huge page, which the system is asked for) and touched, so that no
/// step pays for a page fault.
pub struct ResidentBuffer {
    start: NonNull<f32>,
    len: usize,
}

// SAFETY: a buffer owns its memory as a `Vec<f32>` does.
unsafe impl Send for ResidentBuffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for ResidentBuffer {}

impl ResidentBuffer {
    pub fn zeroed(len: usize) -> Result<ResidentBuffer, DeviceError> {
        if len == 0 {
            return Ok(ResidentBuffer { start: NonNull::dangling(), len });
        }
        let refused = || DeviceError::OutOfMemory { needed: 4 * len as u64, available: 0, smaller_helps: false };
        let layout = layout(len).ok_or_else(refused)?;
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }.cast()).ok_or_else(refused)?;
        let mut buffer = ResidentBuffer { start, len };
        buffer.make_resident();
        Ok(buffer)
    }

    fn make_resident(&mut self) {
        if 4 * self.len >= HUGE_PAGE {
            ask_for_huge_pages(&mut *self);
        }
        const PAGE: usize = 4096 / 4;
        pieces(self, HUGE_PAGE / 4, |_, part| {
            for page in part.chunks_mut(PAGE) {
                // SAFETY: a reference to the page's first element; the volatile write cannot be optimised away.
                unsafe { std::ptr::write_volatile(&mut page[0], 0.0) }
            }
        });
    }
}

fn layout(len: usize) -> Option<Layout> {
    let bytes = len.checked_mul(4)?;
    let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
    Layout::from_size_align(bytes, align).ok()
}

#[cfg(target_os = "linux")]
fn ask_for_huge_pages(memory: &mut [f32]) {
    // SAFETY: advice on memory that we own; it changes no contents. A refusal only costs speed.
    unsafe { libc::madvise(memory.as_mut_ptr().cast(), size_of_val(memory), libc::MADV_HUGEPAGE) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: &mut [f32]) {}

impl Drop for ResidentBuffer {
    fn drop(&mut self) {
        if let (Some(layout), true) = (layout(self.len), self.len > 0) {
            // SAFETY: allocated in `zeroed` with the same layout.
            unsafe { dealloc(self.start.as_ptr().cast(), layout) }
        }
    }
}

impl Deref for ResidentBuffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `len` initialised elements (zeroed), owned by us.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for ResidentBuffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_aligned_and_writable() {
        for len in [0, 1, 1000, HUGE_PAGE] {
            let mut buffer = ResidentBuffer::zeroed(len).unwrap();
            assert_eq!(buffer.len(), len);
            assert!(buffer.iter().all(|&element| element == 0.0));
            assert_eq!(buffer.as_ptr() as usize % if len == 0 { 4 } else { CACHE_LINE }, 0);
            buffer.fill(1.0);
            assert_eq!(buffer.iter().sum::<f32>(), len as f32);
        }
    }

    #[test]
    fn what_no_machine_has_is_refused() {
        assert!(matches!(ResidentBuffer::zeroed(usize::MAX / 8), Err(DeviceError::OutOfMemory { .. })));
    }
}
