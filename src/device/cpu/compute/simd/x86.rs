//! The vectors of x86-64.

use super::Vector;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(in crate::device::cpu) struct Avx512(__m512);

impl Vector for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract, here and in every method below.
        unsafe { Self(_mm512_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, lanes: usize) -> Self {
        // SAFETY: see `zero`; masked lanes are not touched.
        unsafe { Self(_mm512_maskz_loadu_ps((1u16 << lanes) - 1, from)) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_set1_ps(*from)) }
    }
    #[inline(always)]
    unsafe fn constant(number: f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_set1_ps(number)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see `zero`.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: usize) {
        // SAFETY: see `zero`; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(to, (1u16 << lanes) - 1, self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: see `zero`.
        unsafe { _mm512_stream_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, addend.0)) }
    }
    #[inline(always)]
    unsafe fn scale(self, factor: f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_mul_ps(self.0, _mm512_set1_ps(factor))) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see `zero`.
        unsafe { _mm512_reduce_add_ps(self.0) }
    }
    #[inline(always)]
    unsafe fn permuted(self, lanes: *const u32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm512_permutexvar_ps(_mm512_loadu_si512(lanes.cast()), self.0)) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize) {
        // SAFETY: see `zero`.
        unsafe {
            let mut rows = [_mm512_setzero_ps(); 16];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm512_loadu_ps(from.add(i * from_pitch));
            }
            let mut pairs = rows;
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            // Now 4 × 4 squares are turned around within their 128 bits ...
            for i in 0..4 {
                for half in 0..2 {
                    let first = _mm512_castps_pd(pairs[4 * i + half]);
                    let second = _mm512_castps_pd(pairs[4 * i + 2 + half]);
                    rows[4 * i + 2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(first, second));
                    rows[4 * i + 2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(first, second));
                }
            }
            // ... and the squares are.
            for i in 0..4 {
                let even = [
                    _mm512_shuffle_f32x4::<0x88>(rows[i], rows[i + 4]),
                    _mm512_shuffle_f32x4::<0x88>(rows[i + 8], rows[i + 12]),
                ];
                let odd = [
                    _mm512_shuffle_f32x4::<0xdd>(rows[i], rows[i + 4]),
                    _mm512_shuffle_f32x4::<0xdd>(rows[i + 8], rows[i + 12]),
                ];
                let turned = [
                    _mm512_shuffle_f32x4::<0x88>(even[0], even[1]),
                    _mm512_shuffle_f32x4::<0x88>(odd[0], odd[1]),
                    _mm512_shuffle_f32x4::<0xdd>(even[0], even[1]),
                    _mm512_shuffle_f32x4::<0xdd>(odd[0], odd[1]),
                ];
                for (square, row) in turned.into_iter().enumerate() {
                    _mm512_storeu_ps(to.add((4 * square + i) * to_pitch), row);
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
pub(in crate::device::cpu) struct Avx2(__m256);

/// Eight set and eight clear lanes: a window into it masks the first lanes.
static AVX2_MASKS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];

impl Avx2 {
    #[inline(always)]
    unsafe fn mask(lanes: usize) -> __m256i {
        // SAFETY: the CPU has AVX2 by the trait's contract; `lanes` is at most 8, so the window lies in the table.
        unsafe { _mm256_loadu_si256(AVX2_MASKS.as_ptr().add(8 - lanes).cast()) }
    }
}

impl Vector for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn zero() -> Self {
        // SAFETY: the trait's contract, here and in every method below.
        unsafe { Self(_mm256_setzero_ps()) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_loadu_ps(from)) }
    }
    #[inline(always)]
    unsafe fn load_part(from: *const f32, lanes: usize) -> Self {
        // SAFETY: see `zero`; masked lanes are not touched.
        unsafe { Self(_mm256_maskload_ps(from, Self::mask(lanes))) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_set1_ps(*from)) }
    }
    #[inline(always)]
    unsafe fn constant(number: f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_set1_ps(number)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: see `zero`.
        unsafe { _mm256_storeu_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, lanes: usize) {
        // SAFETY: see `zero`; masked lanes are not touched.
        unsafe { _mm256_maskstore_ps(to, Self::mask(lanes), self.0) }
    }
    #[inline(always)]
    unsafe fn stream(self, to: *mut f32) {
        // SAFETY: see `zero`.
        unsafe { _mm256_stream_ps(to, self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_add_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_sub_ps(self.0, other.0)) }
    }
    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_fmadd_ps(self.0, factor.0, addend.0)) }
    }
    #[inline(always)]
    unsafe fn scale(self, factor: f32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_mul_ps(self.0, _mm256_set1_ps(factor))) }
    }
    #[inline(always)]
    unsafe fn sum(self) -> f32 {
        // SAFETY: see `zero`.
        unsafe {
            let four = _mm_add_ps(_mm256_castps256_ps128(self.0), _mm256_extractf128_ps::<1>(self.0));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
    #[inline(always)]
    unsafe fn permuted(self, lanes: *const u32) -> Self {
        // SAFETY: see `zero`.
        unsafe { Self(_mm256_permutevar8x32_ps(self.0, _mm256_loadu_si256(lanes.cast()))) }
    }
    #[inline(always)]
    unsafe fn transpose(from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize) {
        // SAFETY: see `zero`.
        unsafe {
            let mut rows = [_mm256_setzero_ps(); 8];
            for (i, row) in rows.iter_mut().enumerate() {
                *row = _mm256_loadu_ps(from.add(i * from_pitch));
            }
            let mut pairs = rows;
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]);
            }
            for i in 0..2 {
                for half in 0..2 {
                    let first = _mm256_castps_pd(pairs[4 * i + half]);
                    let second = _mm256_castps_pd(pairs[4 * i + 2 + half]);
                    rows[4 * i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(first, second));
                    rows[4 * i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(first, second));
                }
            }
            for i in 0..4 {
                _mm256_storeu_ps(to.add(i * to_pitch), _mm256_permute2f128_ps::<0x20>(rows[i], rows[i + 4]));
                _mm256_storeu_ps(to.add((4 + i) * to_pitch), _mm256_permute2f128_ps::<0x31>(rows[i], rows[i + 4]));
            }
        }
    }
}
