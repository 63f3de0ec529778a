//! Ctrl-C, SIGTERM and a closed terminal: noted when they come, obeyed between steps, so that nothing half-written stays behind.
//! A second signal of the same kind ends the program at once, after putting back what must not stay changed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// A signal that asked the program to end, if one came. Cheap to clone and to look at.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    signal: Arc<AtomicUsize>,
}

type Cleanup = Box<dyn Fn() + Send>;

/// Done before a sudden end.
static BEFORE_SUDDEN_END: Mutex<Vec<Cleanup>> = Mutex::new(Vec::new());

fn before() -> MutexGuard<'static, Vec<Cleanup>> {
    BEFORE_SUDDEN_END.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Cleanup for when a second signal ends the program without unwinding. It runs on another thread than all else.
pub fn before_sudden_end(work: impl Fn() + Send + 'static) {
    before().push(Box::new(work));
}

impl Interrupt {
    /// Watches the signals from now on, on a thread that sleeps until one comes.
    pub fn watch() -> std::io::Result<Interrupt> {
        let interrupt = Interrupt::default();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        if !is_ignored(SIGHUP) {
            signals.add_signal(SIGHUP)?;
        }
        let noted = interrupt.signal.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            let mut seen = Vec::new();
            for signal in signals.forever() {
                if seen.contains(&signal) {
                    end(signal);
                }
                seen.push(signal);
                noted.store(signal as usize, Ordering::Relaxed);
            }
        })?;
        Ok(interrupt)
    }

    /// The signal that asked for an end, if one did.
    pub fn signal(&self) -> Option<i32> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(signal as i32),
        }
    }
}

/// Ends the program whatever its other threads are at.
fn end(signal: i32) -> ! {
    before().iter().for_each(|work| work());
    signal_hook::low_level::exit(128 + signal)
}

/// As after `nohup`, which asks to go on when the terminal closes.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: plain data, which zeros are valid for.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: only reads the present action into `action`.
    let read = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    read == 0 && action.sa_sigaction == libc::SIG_IGN
}
