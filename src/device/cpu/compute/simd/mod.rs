//! Vectors of f32, as wide as the CPU has them, behind one small trait, so that each kernel is written once.

#[cfg(target_arch = "x86_64")]
pub(in crate::device::cpu) mod x86;

/// The instruction sets the kernels exist for. `Portable` leaves the arithmetic to the crate `gemm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// AVX-512F.
    Avx512,
    /// AVX2 with FMA.
    Avx2,
    /// No vector instructions of our own.
    Portable,
}

impl Isa {
    const ALL: [Isa; 3] = [Isa::Avx512, Isa::Avx2, Isa::Portable];

    /// The word for it in reports.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Avx512 => "avx512",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        }
    }

    /// Tells if this CPU can run it.
    pub fn is_supported(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }

    /// All that this CPU can run, the fastest first.
    pub fn supported() -> impl Iterator<Item = Isa> {
        Self::ALL.into_iter().filter(|isa| isa.is_supported())
    }

    /// The fastest that this CPU can run.
    pub fn detect() -> Isa {
        Self::supported().next().unwrap_or(Isa::Portable)
    }

    /// The one of this name, or the fastest where there is none. An error says what names there are.
    pub fn named(name: Option<&str>) -> Result<Isa, String> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Ok(Isa::detect());
        };
        Self::supported().find(|isa| isa.name() == name).ok_or_else(|| {
            let names: Vec<_> = Self::supported().map(Isa::name).collect();
            format!("this CPU has no instructions `{name}`: name one of {}", names.join(", "))
        })
    }
}

/// A register of [`LANES`](Vector::LANES) f32.
///
/// # Safety
/// Every method needs the CPU to have the vector's instruction set (see [`Isa::is_supported`]). Pointers must be
/// valid for the lanes that are read or written; `stream` needs alignment to the vector's size besides.
pub(in crate::device::cpu) trait Vector: Copy {
    const LANES: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `lanes` lanes (fewer than `LANES`), the others 0.
    unsafe fn load_part(from: *const f32, lanes: usize) -> Self;
    /// One number in every lane.
    unsafe fn splat(from: *const f32) -> Self;
    /// As [`splat`](Self::splat), of a number at hand.
    unsafe fn constant(number: f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first `lanes` lanes, fewer than `LANES`.
    unsafe fn store_part(self, to: *mut f32, lanes: usize);
    /// Stores past the caches.
    unsafe fn stream(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    /// `self · factor + addend`, rounded once.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    unsafe fn scale(self, factor: f32) -> Self;
    /// The sum over the lanes.
    unsafe fn sum(self) -> f32;
    /// Lane by lane the one that `lanes` names; it has [`LANES`](Self::LANES) numbers.
    unsafe fn permuted(self, lanes: *const u32) -> Self;
    /// Writes a square of `LANES` rows and columns turned around; both pitches are from row to row.
    unsafe fn transpose(from: *const f32, from_pitch: usize, to: *mut f32, to_pitch: usize);
}

/// Asks for a cache line that will be read later, from the memory into an L2 cache. Any address will do.
#[inline(always)]
pub(in crate::device::cpu) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, which faults nowhere; every x86-64 CPU has SSE.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(address.cast())
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Makes [`Vector::stream`]ed numbers visible to the threads that later synchronise with this one.
pub(in crate::device::cpu) fn end_stream() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 CPU has SSE.
    unsafe {
        std::arch::x86_64::_mm_sfence()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_name() {
        assert_eq!(Isa::named(None), Ok(Isa::detect()));
        assert_eq!(Isa::named(Some("")), Ok(Isa::detect()));
        for isa in Isa::supported() {
            assert_eq!(Isa::named(Some(isa.name())), Ok(isa));
        }
        assert!(
            Isa::named(Some("mmx"))
                .is_err_and(|error| error.contains("`mmx`: name one of") && error.ends_with("portable"))
        );
    }
}
