//! Division by a number that does not change, as kernels do it: a multiplication and a shift in place of some twenty instructions.

use crate::device::cuda::driver::Argument;

/// A divisor, as `kernels/common.cuh` declares it: n / by = (⌊n · multiplier / 2³²⌋ + n) / 2^shift for every n below 2³¹
/// (Granlund and Montgomery, "Division by Invariant Integers using Multiplication", 1994).
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Divisor {
    /// The number.
    pub by: u32,
    multiplier: u32,
    shift: u32,
}

impl Argument for Divisor {}

impl Divisor {
    /// Of a number below 2³¹; nothing is divided by zero, which stands for what a kernel does not use.
    pub fn new(by: usize) -> Divisor {
        let number = (by as u64).max(1);
        let shift = number.next_power_of_two().trailing_zeros();
        let multiplier = (((1 << shift) - number) << 32) / number + 1;
        Divisor { by: by as u32, multiplier: multiplier as u32, shift }
    }

    /// Tells if a number is a multiple.
    pub fn divides(self, number: u32) -> bool {
        number.is_multiple_of(self.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The kernels' arithmetic.
    fn quotient(Divisor { multiplier, shift, .. }: Divisor, n: u32) -> u32 {
        let high = ((u64::from(n) * u64::from(multiplier)) >> 32) as u32;
        high.checked_add(n).unwrap() >> shift
    }

    proptest! {
        #[test]
        fn quotients_are_those_of_a_division(n in 0u32..1 << 31, by in 1u32..1 << 31, bits in 0u32..31) {
            for by in [by, (by >> bits).max(1)] {
                let divisor = Divisor::new(by as usize);
                for n in [n, n / by * by, (n / by * by).saturating_sub(1)] {
                    prop_assert_eq!(quotient(divisor, n), n / by);
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_are_divided() {
        for by in [1, 2, 3, 5, 7, 255, 256, 257, 65_535, 65_537, (1 << 30) - 1, (1 << 30) + 1, (1 << 31) - 1] {
            for n in [0, 1, by - 1, by, (1 << 31) - 2, (1 << 31) - 1] {
                assert_eq!(quotient(Divisor::new(by as usize), n), n / by, "{n} / {by}");
            }
        }
    }
}
