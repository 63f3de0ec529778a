//! What the device tells about its caller: findings when they happen, leaks when the process ends.

use crate::export::current;
use crate::fault;
use crate::finding::{Finding, FindingKind};
use crate::settings::SETTINGS;
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};

static FINDINGS: AtomicUsize = AtomicUsize::new(0);

/// A check of what is left at exit: a line per thing left.
type Check = fn() -> Vec<String>;
static AT_EXIT: Mutex<Vec<Check>> = Mutex::new(Vec::new());

/// Reports a mistake of the caller's: one line on stderr, and in `SOFTCUDA_REPORT`.
pub fn report(finding: &Finding) {
    FINDINGS.fetch_add(1, Ordering::Relaxed);
    eprintln!("softcuda: {finding}");
    if let Some(path) = &SETTINGS.report {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        let written = file.and_then(|mut file| writeln!(file, "{}", finding.line()));
        if let Err(error) = written {
            eprintln!("softcuda: {}: {error}", path.display());
        }
    }
}

/// Reports one that the current call is to blame for.
pub fn in_call(finding: Finding) {
    report(&finding.of(current()));
}

/// Asks for `check` when the process ends.
pub fn at_exit(check: Check) {
    if cfg!(test) {
        return; // unit tests leave their objects
    }
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // SAFETY: `last_words` is an extern "C" function without arguments that does not unwind.
        unsafe { libc::atexit(last_words) };
    });
    let mut checks = AT_EXIT.lock().unwrap_or_else(|e| e.into_inner());
    if !checks.iter().any(|&known| std::ptr::fn_addr_eq(known, check)) {
        checks.push(check);
    }
}

extern "C" fn last_words() {
    // with a lost device nothing can be given back
    let checks =
        if fault::is_lost() { Vec::new() } else { AT_EXIT.lock().map(|checks| checks.clone()).unwrap_or_default() };
    for line in checks.iter().flat_map(|check| check()) {
        report(&Finding::new(FindingKind::Leak, line).of("left at exit"));
    }
    if SETTINGS.strict && FINDINGS.load(Ordering::Relaxed) > 0 {
        // SAFETY: ends the process at once; nothing is to run after the last exit handler.
        unsafe { libc::_exit(97) }
    }
}
