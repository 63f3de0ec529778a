//! The roofline of Williams, Waterman and Patterson (2009), *Roofline: an insightful visual performance model for multicore
//! architectures*, Commun. ACM 52:65: what two rates allow a phase.

use super::{Bound, Cost};

/// A phase that takes more than this many times what either rate asks for is bound by latency.
const LATENCY: f64 = 4.0;

/// A phase that moves its bytes quicker than this many times the memory's rate has them in a cache.
const QUICKER: f64 = 1.1;

/// The two rates that limit a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// Operations per second.
    pub flops_per_s: f64,
    /// Bytes read and written per second.
    pub bytes_per_s: f64,
    /// Fewer bytes than these may live in a cache; 0 where that is not known.
    pub cached_bytes: u64,
}

impl Roofline {
    /// The time in µs that computing alone takes.
    pub fn compute_us(self, cost: Cost) -> f64 {
        cost.flops as f64 / self.flops_per_s * 1e6
    }

    /// The time in µs that moving bytes alone takes.
    pub fn memory_us(self, cost: Cost) -> f64 {
        cost.bytes as f64 / self.bytes_per_s * 1e6
    }

    /// The longer of the two in µs: the least that a phase takes.
    pub fn roof_us(self, cost: Cost) -> f64 {
        self.compute_us(cost).max(self.memory_us(cost))
    }

    /// Names what limits a phase that takes `us`.
    pub fn bound(self, cost: Cost, us: f64) -> Bound {
        let memory_us = self.memory_us(cost);
        if cost.bytes < self.cached_bytes && self.compute_us(cost) < memory_us && us * QUICKER < memory_us {
            return Bound::Cache;
        }
        self.bound_unless(us > LATENCY * self.roof_us(cost), cost)
    }

    /// Names the rate that asks for the longer time, unless it is known that neither limits the phase.
    pub fn bound_unless(self, latency: bool, cost: Cost) -> Bound {
        match (latency, self.compute_us(cost) >= self.memory_us(cost)) {
            (true, _) => Bound::Latency,
            (false, true) => Bound::Compute,
            (false, false) => Bound::Memory,
        }
    }

    /// Operations per byte above which computing limits.
    pub fn ridge(self) -> f64 {
        self.flops_per_s / self.bytes_per_s
    }
}

/// 10⁹ per second, of an amount in µs: GFLOP/s of operations, GB/s of bytes.
pub fn giga_per_s(amount: u64, us: f64) -> f64 {
    amount as f64 / us / 1e3
}

/// Operations per byte; infinite without bytes.
pub fn intensity(cost: Cost) -> f64 {
    cost.flops as f64 / cost.bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 µs for 1000 operations or for 100 bytes.
    const ROOF: Roofline = Roofline { flops_per_s: 1e9, bytes_per_s: 1e8, cached_bytes: 0 };

    fn cost(flops: u64, bytes: u64) -> Cost {
        Cost { macs: 0, flops, bytes }
    }

    #[test]
    fn the_longer_of_the_two_is_the_roof() {
        assert_eq!((ROOF.roof_us(cost(3000, 100)), ROOF.bound(cost(3000, 100), 4.0)), (3.0, Bound::Compute));
        assert_eq!((ROOF.roof_us(cost(1000, 500)), ROOF.bound(cost(1000, 500), 20.0)), (5.0, Bound::Memory));
        assert_eq!(ROOF.bound(cost(1000, 500), 20.1), Bound::Latency);
        // 500 bytes take memory 5 µs; in 4 they come from a cache, if they fit in one.
        let cached = Roofline { cached_bytes: 501, ..ROOF };
        assert_eq!(
            [4.0, 4.6, 21.0].map(|us| cached.bound(cost(1000, 500), us)),
            [Bound::Cache, Bound::Memory, Bound::Latency]
        );
        assert_eq!(
            [cached.bound(cost(1000, 501), 4.0), cached.bound(cost(9000, 500), 4.0)],
            [Bound::Memory, Bound::Compute]
        );
        assert_eq!((ROOF.ridge(), intensity(cost(1000, 500)), giga_per_s(3000, 1.0)), (10.0, 2.0, 3.0));
    }
}
