//! The device's time: the machine's own, or a virtual one that only moves by scripted durations.

use crate::finding::{Finding, FindingKind};
use crate::settings::{Clock, SETTINGS, Script, refuse};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

/// The nominal SM clock, unless NVML's lock set another.
pub static SM_MHZ: AtomicU64 = AtomicU64::new(1410);

static VIRTUAL_NS: AtomicU64 = AtomicU64::new(0);

/// The script of a virtual clock.
static SCRIPT: LazyLock<Option<Script>> = LazyLock::new(|| match &SETTINGS.clock {
    Clock::Host => None,
    Clock::Virtual => Some(Script::new()),
    Clock::Script(script) => Some(script.clone()),
    Clock::File(path) => {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let script = text.and_then(|text| text.parse::<Script>().map_err(|error| error.to_string()));
        Some(script.unwrap_or_else(|error| refuse(&format!("{}: {error}", path.display()))))
    }
});

/// How often work of each name has run.
static USED: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

pub fn is_virtual() -> bool {
    SCRIPT.is_some()
}

/// The machine's monotonic time, whoever interposes `clock_gettime`.
pub fn real_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The device's time in nanoseconds.
pub fn now_ns() -> u64 {
    if is_virtual() { VIRTUAL_NS.load(Ordering::Relaxed) } else { real_ns() }
}

/// Work named `name` has run: the virtual clock moves on.
pub fn worked(name: &str) {
    let Some(script) = &*SCRIPT else { return };
    let key = script.key(name);
    let mut used = USED.lock().unwrap_or_else(|e| e.into_inner());
    let used = used.entry(key.to_string()).or_default();
    let duration = script.duration(key, *used);
    *used += 1;
    VIRTUAL_NS.fetch_add(duration.as_nanos() as u64, Ordering::Relaxed);
}

/// `%globaltimer`. Reading it moves a virtual clock by 1 µs, so that loops over it end.
pub fn global_timer() -> u64 {
    if is_virtual() { VIRTUAL_NS.fetch_add(1000, Ordering::Relaxed) + 1000 } else { real_ns() }
}

/// `%clock64`: the SM clock's cycles, at the locked or nominal frequency.
pub fn cycles() -> u64 {
    (u128::from(now_ns()) * u128::from(SM_MHZ.load(Ordering::Relaxed)) / 1000) as u64
}

thread_local! {
    static WAITING_SINCE: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

/// The operation that this thread runs has made progress: a wait begins anew.
pub fn progress() {
    WAITING_SINCE.set(None);
}

/// One turn of a wait for the host: gives it the processor, and ends a wait that is hopeless.
pub fn spin() -> Result<(), Finding> {
    let since = WAITING_SINCE.get().unwrap_or_else(real_ns);
    WAITING_SINCE.set(Some(since));
    if real_ns() - since > SETTINGS.hang.as_nanos() as u64 {
        return Err(Finding::new(FindingKind::Hang, format!("waited {} s for the host", SETTINGS.hang.as_secs())));
    }
    std::thread::sleep(std::time::Duration::from_micros(20));
    Ok(())
}
