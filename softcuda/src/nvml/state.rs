//! NVML's memory between calls: clock locks, and the number of queries for clock event reasons.

use super::{Code, INVALID_ARGUMENT};
use crate::clock::SM_MHZ;
use crate::settings::SETTINGS;
use nvml_wrapper_sys::bindings::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Clocks in MHz, as on an A100.
pub const SM_MAX: u32 = 1410;
pub const SM_BASE: u32 = 1095;
pub const MEMORY_MAX: u32 = 1215;
/// Every supported SM clock is a multiple of this.
pub const STEP: u32 = 15;

/// Locked ranges, of the SM and the memory clock.
#[derive(Default)]
pub struct Locks {
    pub sm: Option<(u32, u32)>,
    pub memory: Option<(u32, u32)>,
}

pub static LOCKS: Mutex<Locks> = Mutex::new(Locks { sm: None, memory: None });

fn locks() -> std::sync::MutexGuard<'static, Locks> {
    LOCKS.lock().unwrap_or_else(|e| e.into_inner())
}

pub fn permitted() -> Result<(), Code> {
    if SETTINGS.no_permission { Err(nvmlReturn_enum_NVML_ERROR_NO_PERMISSION) } else { Ok(()) }
}

pub fn lock_sm(low: u32, high: u32) -> Result<(), Code> {
    permitted()?;
    if low > high || low == 0 {
        return Err(INVALID_ARGUMENT);
    }
    locks().sm = Some((low, high));
    SM_MHZ.store(sm_mhz().into(), Ordering::Relaxed);
    Ok(())
}

pub fn lock_memory(low: u32, high: u32) -> Result<(), Code> {
    permitted()?;
    if low > high || low == 0 {
        return Err(INVALID_ARGUMENT);
    }
    locks().memory = Some((low, high));
    Ok(())
}

pub fn unlock_sm() -> Result<(), Code> {
    permitted()?;
    locks().sm = None;
    SM_MHZ.store(SM_MAX.into(), Ordering::Relaxed);
    Ok(())
}

pub fn unlock_memory() -> Result<(), Code> {
    permitted()?;
    locks().memory = None;
    Ok(())
}

/// The SM clock now: the highest that the lock allows, rounded down to what the device supports.
pub fn sm_mhz() -> u32 {
    const BASE: u32 = nvmlClockLimitId_enum_NVML_CLOCK_LIMIT_ID_TDP;
    locks().sm.map_or(SM_MAX, |(_, high)| match high {
        BASE => SM_BASE,
        _ => (high.min(SM_MAX) / STEP * STEP).max(210),
    })
}

/// In milliwatts.
pub fn power_limit() -> u32 {
    static QUERIES: AtomicU64 = AtomicU64::new(0);
    let query = QUERIES.fetch_add(1, Ordering::Relaxed) + 1;
    let changed = SETTINGS.power_limit.filter(|limit| query >= limit.from_query);
    1000 * changed.map_or(400, |limit| limit.watts)
}

pub fn memory_mhz() -> u32 {
    locks().memory.map_or(MEMORY_MAX, |(_, high)| high.min(MEMORY_MAX))
}

/// A lock that was never reset outlives the process on a real device.
pub fn left_locked() -> Vec<String> {
    let locks = locks();
    let sm = locks.sm.map(|(low, high)| format!("the SM clock locked to {low}-{high} MHz"));
    let memory = locks.memory.map(|(low, high)| format!("the memory clock locked to {low}-{high} MHz"));
    sm.into_iter().chain(memory).collect()
}

static QUERIES: AtomicU64 = AtomicU64::new(0);

/// The bits of the reasons that hold at this query.
pub fn event_reasons() -> u64 {
    let query = QUERIES.fetch_add(1, Ordering::Relaxed) + 1;
    let now = SETTINGS.throttle.iter().filter(|throttle| throttle.queries.contains(&query));
    now.fold(0, |all, throttle| all | throttle.reason.bit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_holds_until_reset() {
        assert_eq!(lock_sm(1400, 1000), Err(INVALID_ARGUMENT));
        lock_sm(1000, 1000).expect("permitted");
        assert_eq!((sm_mhz(), left_locked().len()), (990, 1));
        let base = nvmlClockLimitId_enum_NVML_CLOCK_LIMIT_ID_TDP;
        lock_sm(base, base).expect("permitted");
        assert_eq!(sm_mhz(), SM_BASE);
        unlock_sm().expect("permitted");
        assert_eq!((sm_mhz(), left_locked().len()), (SM_MAX, 0));
    }
}
