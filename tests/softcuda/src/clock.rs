//! The device's time: the machine's own, or a virtual one that only moves by scripted durations.
//!
//! `SOFTCUDA_CLOCK=virtual`, or the path of a script: lines `NAME MICROSECONDS…`, where NAME is a kernel or the library
//! call that queued the work, and several durations are used in turn, over and over. `*` stands for every other
//! name; without it other work takes 1 µs. An event's record is work too: `cuEventRecord`, 0 µs unless told.

use crate::knobs::{KNOBS, refuse};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};

/// The nominal SM clock, unless NVML's lock set another.
pub static SM_MHZ: AtomicU64 = AtomicU64::new(1410);

static VIRTUAL_NS: AtomicU64 = AtomicU64::new(0);

struct Script {
    durations_ns: HashMap<String, Vec<u64>>,
    used: HashMap<String, usize>,
}

static SCRIPT: LazyLock<Option<Mutex<Script>>> = LazyLock::new(|| {
    let source = KNOBS.clock.as_deref()?;
    let text = match source {
        "virtual" => String::new(),
        path => std::fs::read_to_string(path).unwrap_or_else(|e| refuse(&format!("{path}: {e}"))),
    };
    Some(Mutex::new(Script { durations_ns: parse_script(&text), used: HashMap::new() }))
});

fn parse_script(text: &str) -> HashMap<String, Vec<u64>> {
    let mut out = HashMap::from([("*".to_string(), vec![1000]), ("cuEventRecord".to_string(), vec![0])]);
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default()) {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let nanoseconds = |word: &str| match word.parse::<f64>() {
            Ok(us) if us >= 0.0 => (us * 1e3).round() as u64,
            _ => refuse(&format!("clock script: `{line}` is not NAME MICROSECONDS…")),
        };
        let list: Vec<u64> = words.map(nanoseconds).collect();
        if list.is_empty() {
            refuse(&format!("clock script: `{line}` names no duration"));
        }
        out.insert(name.to_string(), list);
    }
    out
}

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
    let mut script = script.lock().unwrap_or_else(|e| e.into_inner());
    let key = if script.durations_ns.contains_key(name) { name } else { "*" };
    let used = script.used.entry(key.to_string()).or_default();
    let turn = *used;
    *used += 1;
    let list = &script.durations_ns[key];
    VIRTUAL_NS.fetch_add(list[turn % list.len()], Ordering::Relaxed);
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
pub fn spin() -> Result<(), String> {
    let since = WAITING_SINCE.get().unwrap_or_else(real_ns);
    WAITING_SINCE.set(Some(since));
    if real_ns() - since > KNOBS.hang.as_nanos() as u64 {
        return Err(format!("waited {} s for the host", KNOBS.hang.as_secs()));
    }
    std::thread::sleep(std::time::Duration::from_micros(20));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::parse_script;

    #[test]
    fn a_script_names_durations_in_microseconds() {
        let script = parse_script("# comment\nsgd_f32 1.5 2\n\n* 10 # rest\n");
        assert_eq!(script["sgd_f32"], [1500, 2000]);
        assert_eq!(script["*"], [10_000]);
        assert_eq!(script["cuEventRecord"], [0]);
    }
}
