//! Lanes of a warp, a bit each: which of them an instruction writes.

use super::isa::Combine;

/// The set bits of a lane mask.
pub fn lanes_of(mut lanes: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = lanes.trailing_zeros() as usize;
        lanes &= lanes.wrapping_sub(1);
        (lane < 32).then_some(lane)
    })
}

/// Writes the active lanes.
pub fn put<T: Copy>(value: [T; 32], d: &mut [T; 32], lanes: u32) {
    if lanes == u32::MAX {
        *d = value;
    } else {
        lanes_of(lanes).for_each(|lane| d[lane] = value[lane]);
    }
}

pub fn put_bits(mut bits: u32, predicates: &mut [u32], d: u16, with: Option<Combine>, lanes: u32) {
    if let Some(Combine { f, p, negate }) = with {
        let other = predicates[p as usize];
        bits = f(bits, if negate { !other } else { other });
    }
    let d = &mut predicates[d as usize];
    *d = *d & !lanes | bits & lanes;
}

pub fn select<T: Copy>(a: &[T; 32], b: &[T; 32], choice: u32) -> [T; 32] {
    std::array::from_fn(|i| if choice >> i & 1 == 1 { a[i] } else { b[i] })
}

pub fn has_zero<T: Copy + Default + PartialEq>(values: &[T; 32], lanes: u32) -> bool {
    lanes_of(lanes).any(|lane| values[lane] == T::default())
}
