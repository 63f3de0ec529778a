//! Tensor elements in device memory: f32, f16, bf16, read and written as f32.

use crate::finding::Finding;
use crate::memory;
use half::{bf16, f16};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Element {
    #[default]
    F32,
    F16,
    BF16,
}

impl Element {
    pub fn size(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 | Element::BF16 => 2,
        }
    }

    /// Element `i` from `p`.
    ///
    /// # Safety
    /// `p` is aligned and valid for element `i`.
    #[inline(always)]
    pub unsafe fn load(self, p: *const u8, i: usize) -> f32 {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Element::F32 => *p.cast::<f32>().add(i),
                Element::F16 => (*p.cast::<f16>().add(i)).to_f32(),
                Element::BF16 => (*p.cast::<bf16>().add(i)).to_f32(),
            }
        }
    }

    /// # Safety
    /// As `load`, for a write.
    #[inline(always)]
    pub unsafe fn store(self, p: *mut u8, i: usize, v: f32) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Element::F32 => *p.cast::<f32>().add(i) = v,
                Element::F16 => *p.cast::<f16>().add(i) = f16::from_f32(v),
                Element::BF16 => *p.cast::<bf16>().add(i) = bf16::from_f32(v),
            }
        }
    }

    /// `n` consecutive elements at a device address.
    pub fn read(self, address: u64, n: usize) -> Result<Vec<f32>, Finding> {
        let p = memory::readable(address, n * self.size())?;
        if self == Element::F32 {
            // SAFETY: as below; allocations are aligned, and so are matrices of f32 in them.
            return Ok(unsafe { std::slice::from_raw_parts(p.cast::<f32>(), n) }.to_vec());
        }
        // SAFETY: `n` elements are readable from `p`.
        Ok((0..n).map(|i| unsafe { self.load(p, i) }).collect())
    }
}

/// Rounds to TF32's 10 bits of mantissa, to nearest, ties away from zero, as `cvt.rna.tf32.f32` does.
pub fn tf32(v: f32) -> f32 {
    if v.is_finite() { f32::from_bits((v.to_bits() + 0x1000) & !0x1fff) } else { v }
}

#[cfg(test)]
mod tests {
    use super::tf32;

    #[test]
    fn tf32_keeps_ten_bits() {
        assert_eq!(tf32(1.0), 1.0);
        assert_eq!(tf32(1.0 + 1.0 / 1024.0), 1.0 + 1.0 / 1024.0);
        assert_eq!(tf32(1.0 + 1.0 / 4096.0), 1.0);
        assert_eq!(tf32(1.0 + 1.0 / 2048.0), 1.0 + 1.0 / 1024.0);
        assert_eq!(tf32(-3.3), -3.300_781_3);
    }
}
