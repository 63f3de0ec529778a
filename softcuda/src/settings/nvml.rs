//! Settings for NVML's reports.

use super::InvalidSetting;
use super::parse::number;
use std::fmt;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::str::FromStr;

/// A reason for which NVML says that clocks are held down: its clocks event reasons, formerly throttle reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThrottleReason {
    /// Nothing runs.
    Idle,
    /// The power limit: `SwPowerCap`.
    PowerCap,
    /// Any slowdown by hardware.
    HwSlowdown,
    /// A thermal slowdown by the driver.
    SwThermal,
    /// A thermal slowdown by hardware.
    HwThermal,
    /// The power brake.
    PowerBrake,
}

impl ThrottleReason {
    const ALL: [(ThrottleReason, &str, u64); 6] = [
        (ThrottleReason::Idle, "idle", 0x1),
        (ThrottleReason::PowerCap, "power", 0x4),
        (ThrottleReason::HwSlowdown, "hw_slowdown", 0x8),
        (ThrottleReason::SwThermal, "sw_thermal", 0x20),
        (ThrottleReason::HwThermal, "thermal", 0x40),
        (ThrottleReason::PowerBrake, "power_brake", 0x80),
    ];

    fn entry(self) -> (&'static str, u64) {
        let entry = Self::ALL.iter().find(|(reason, ..)| *reason == self);
        entry.map_or(("", 0), |&(_, name, bit)| (name, bit))
    }

    /// The bit in NVML's mask of reasons (`nvmlClocksEventReason…` of nvml.h).
    pub(crate) fn bit(self) -> u64 {
        self.entry().1
    }
}

/// A reason and the queries, counted from 1, that find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttle {
    pub reason: ThrottleReason,
    pub queries: RangeInclusive<u64>,
}

impl Throttle {
    pub fn new(reason: ThrottleReason, queries: impl RangeBounds<u64>) -> Self {
        let first = match queries.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 1,
        };
        let last = match queries.end_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_sub(1),
            Bound::Unbounded => u64::MAX,
        };
        Throttle { reason, queries: first..=last }
    }
}

impl fmt::Display for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}-{}", self.reason.entry().0, self.queries.start(), self.queries.end())
    }
}

impl FromStr for Throttle {
    type Err = InvalidSetting;

    /// `REASON`, `REASON@N` (from the Nth query on) or `REASON@N-M`.
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let (name, when) = text.split_once('@').unwrap_or((text, "1"));
        let names = || ThrottleReason::ALL.map(|(_, name, _)| name).join(", ");
        let known = ThrottleReason::ALL.iter().find(|(_, known, _)| *known == name);
        let &(reason, ..) = known.ok_or_else(|| InvalidSetting::new(format!("`{name}` is none of {}", names())))?;
        let queries = match when.split_once('-') {
            Some((first, last)) => number(first)?..=number(last)?,
            None => number(when)?..=u64::MAX,
        };
        Ok(Throttle { reason, queries })
    }
}

/// A power limit that changes: 400 W before the query (counted from 1), `watts` from it on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerLimit {
    pub watts: u32,
    pub from_query: u64,
}

impl fmt::Display for PowerLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.watts, self.from_query)
    }
}

impl FromStr for PowerLimit {
    type Err = InvalidSetting;

    /// `WATTS` or `WATTS@QUERY`.
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let (watts, query) = text.split_once('@').unwrap_or((text, "1"));
        Ok(PowerLimit { watts: number(watts)?, from_query: number(query)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_hold_for_their_queries() {
        let holds = |text: &str, query| text.parse::<Throttle>().unwrap().queries.contains(&query);
        assert!(holds("thermal", 1) && holds("power@3", 30) && holds("hw_slowdown@3-4", 4));
        assert!(!holds("power@3", 2) && !holds("hw_slowdown@3-4", 5));
        assert_eq!("thermal".parse::<Throttle>().unwrap().reason.bit(), 0x40);
        assert_eq!(Throttle::new(ThrottleReason::Idle, 3..5).queries, 3..=4);
        assert!("hot".parse::<Throttle>().unwrap_err().to_string().contains("none of idle, power"));
    }
}
