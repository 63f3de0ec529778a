//! Faults on demand: `SOFTCUDA_FAULTS` holds comma-separated entries.
//!
//! `CALL@N=STATUS`: the Nth call of CALL returns STATUS without doing anything; `N+` means from the Nth on.
//! `CALL@N~STATUS`: the call succeeds, but the work it queued fails when it runs, and the error sticks.
//! `lost@N`: from the Nth driver call on the device is gone. STATUS is the library's own name for it, in full
//! (`CUDA_ERROR_LAUNCH_FAILED`, `CUDNN_STATUS_INTERNAL_ERROR`), or its number.

use crate::knobs::{KNOBS, refuse};
use std::collections::HashMap;
use std::sync::Mutex;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    call: String,
    nth: u64,
    onwards: bool,
    asynchronous: bool,
    status: String,
}

/// All faults asked for.
#[derive(Debug, Default)]
pub struct FaultPlan {
    entries: Vec<Entry>,
    lost: Option<u64>,
}

impl FaultPlan {
    pub fn parse(text: &str) -> Self {
        let mut plan = FaultPlan::default();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match parse_entry(item) {
                Some(entry) if entry.call == "lost" => plan.lost = Some(entry.nth),
                Some(entry) => plan.entries.push(entry),
                None => refuse(&format!("fault `{item}` is not CALL@N=STATUS, CALL@N~STATUS or lost@N")),
            }
        }
        plan
    }

    fn find(&self, call: &str, count: u64, asynchronous: bool) -> Option<&str> {
        let hit = |e: &&Entry| {
            e.call == call && e.asynchronous == asynchronous && (e.nth == count || e.onwards && count > e.nth)
        };
        self.entries.iter().find(hit).map(|e| e.status.as_str())
    }
}

fn parse_entry(item: &str) -> Option<Entry> {
    let (call, rest) = item.split_once('@')?;
    let asynchronous = rest.contains('~');
    let (nth, status) = match rest.split_once(['=', '~']) {
        Some(parts) => parts,
        None if call == "lost" => (rest, ""),
        None => return None,
    };
    Some(Entry {
        call: call.into(),
        nth: nth.trim_end_matches('+').parse().ok()?,
        onwards: nth.ends_with('+'),
        asynchronous,
        status: status.into(),
    })
}

/// What one call is to do: how often it was called, and the fault that holds for it.
pub enum Fate {
    Proceed,
    Fail(&'static str),
    Lost,
}

static COUNTS: Mutex<Option<HashMap<&'static str, u64>>> = Mutex::new(None);

/// Counts a call and looks up its fault.
pub fn fate(call: &'static str, driver: bool) -> Fate {
    let plan = &KNOBS.faults;
    if plan.entries.is_empty() && plan.lost.is_none() {
        return Fate::Proceed;
    }
    let mut counts = COUNTS.lock().unwrap_or_else(|e| e.into_inner());
    let counts = counts.get_or_insert_default();
    if driver {
        *counts.entry("lost").or_default() += 1;
    }
    let lost = gone(counts);
    let count = counts.entry(call).or_default();
    *count += 1;
    match plan.find(call, *count, false) {
        _ if lost => Fate::Lost,
        Some(status) => Fate::Fail(status),
        None => Fate::Proceed,
    }
}

fn gone(counts: &HashMap<&'static str, u64>) -> bool {
    KNOBS.faults.lost.is_some_and(|nth| counts.get("lost").is_some_and(|&n| n >= nth))
}

/// Whether the device was lost, as asked for.
pub fn is_lost() -> bool {
    COUNTS.lock().unwrap_or_else(|e| e.into_inner()).as_ref().is_some_and(gone)
}

/// The status with which the work queued by this call is to fail later.
pub fn asynchronous(call: &str) -> Option<&'static str> {
    let counts = COUNTS.lock().unwrap_or_else(|e| e.into_inner());
    let count = *counts.as_ref()?.get(call)?;
    KNOBS.faults.find(call, count, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_hit_their_call_and_count_only() {
        let plan = FaultPlan::parse("cuLaunchKernel@3=CUDA_ERROR_LAUNCH_FAILED, cuMemFree_v2@2+=1,cuMemAlloc_v2@1~700");
        assert_eq!(plan.find("cuLaunchKernel", 3, false), Some("CUDA_ERROR_LAUNCH_FAILED"));
        assert_eq!(plan.find("cuLaunchKernel", 4, false), None);
        assert_eq!(plan.find("cuMemFree_v2", 1, false), None);
        assert_eq!(plan.find("cuMemFree_v2", 9, false), Some("1"));
        assert_eq!(plan.find("cuMemAlloc_v2", 1, true), Some("700"));
        assert_eq!(plan.find("cuMemAlloc_v2", 1, false), None);
        assert_eq!(FaultPlan::parse("lost@7").lost, Some(7));
    }
}
