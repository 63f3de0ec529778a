//! The faults that were asked for, as calls come in.

use crate::settings::{Effect, Fault, SETTINGS};
use std::collections::HashMap;
use std::sync::Mutex;

/// The outcome of a call.
pub enum Fate {
    Proceed,
    Fail(&'static str),
    Lost,
}

/// How often each function was called; `lost` counts the driver's calls.
static COUNTS: Mutex<Option<HashMap<&'static str, u64>>> = Mutex::new(None);

/// Counts a call and looks up its fault.
pub fn fate(call: &'static str, driver: bool) -> Fate {
    let faults = &SETTINGS.faults;
    if faults.is_empty() {
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
    match returned(faults, call, *count) {
        _ if lost => Fate::Lost,
        Some(status) => Fate::Fail(status),
        None => Fate::Proceed,
    }
}

/// The status that the `count`th use of a call returns.
fn returned<'a>(faults: &'a [Fault], call: &str, count: u64) -> Option<&'a str> {
    faults.iter().find_map(|fault| match &fault.0 {
        Effect::Return { at, status } if at.covers(call, count) => Some(status.as_str()),
        Effect::Return { .. } | Effect::WorkFails { .. } | Effect::Lost { .. } => None,
    })
}

fn gone(counts: &HashMap<&'static str, u64>) -> bool {
    let calls = counts.get("lost").copied().unwrap_or(0);
    SETTINGS.faults.iter().any(|fault| matches!(fault.0, Effect::Lost { nth } if calls >= nth))
}

/// The device was lost, as asked for.
pub fn is_lost() -> bool {
    COUNTS.lock().unwrap_or_else(|e| e.into_inner()).as_ref().is_some_and(gone)
}

/// The status with which the work queued by this call is to fail later.
pub fn of_work(call: &str) -> Option<&'static str> {
    let counts = COUNTS.lock().unwrap_or_else(|e| e.into_inner());
    let count = *counts.as_ref()?.get(call)?;
    SETTINGS.faults.iter().find_map(|fault| match &fault.0 {
        Effect::WorkFails { at, status } if at.covers(call, count) => Some(status.as_str()),
        Effect::WorkFails { .. } | Effect::Return { .. } | Effect::Lost { .. } => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_that_covers_a_call_decides() {
        let faults = ["cuInit@2=3", "cuInit@1+=4", "cuInit@1~5", "lost@1"].map(|text| text.parse().unwrap());
        assert_eq!([1, 2, 3].map(|n| returned(&faults, "cuInit", n)), [Some("4"), Some("3"), Some("4")]);
        assert_eq!(returned(&faults, "cuCtxSynchronize", 1), None);
    }
}
