//! Help for the compiler to vectorise: versions of a function for several instruction sets, and slices seen as arrays.

/// Compiles functions for AVX-512, for AVX2 and for any machine; the best is chosen when called.
macro_rules! multiversioned {
    ($($function:item)*) => {
        $(#[multiversion::multiversion(targets(
            "x86_64+avx512f+avx512bw+avx512cd+avx512dq+avx512vl+avx2+fma+bmi1+bmi2+lzcnt+popcnt",
            "x86_64+avx2+fma+bmi1+bmi2+lzcnt+popcnt",
        ))]
        $function)*
    };
}
pub(in crate::device::cpu) use multiversioned;

/// `L` elements from position `at` on.
#[inline(always)]
pub fn lanes<const L: usize, T>(slice: &[T], at: usize) -> &[T; L] {
    slice[at..at + L].first_chunk().expect("a slice of L elements")
}

#[inline(always)]
pub fn lanes_mut<const L: usize, T>(slice: &mut [T], at: usize) -> &mut [T; L] {
    slice[at..at + L].first_chunk_mut().expect("a slice of L elements")
}

/// Writes an element of a gradient, or adds to it where another layer wrote before.
#[inline(always)]
pub fn put(gradient: &mut f32, value: f32, accumulate: bool) {
    *gradient = if accumulate { *gradient + value } else { value };
}
