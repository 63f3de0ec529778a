//! A line per call in `SOFTCUDA_TRACE`: library, call, status.

use crate::settings::{SETTINGS, refuse};
use std::fs::File;
use std::io::Write;
use std::sync::{LazyLock, Mutex};

static FILE: LazyLock<Option<Mutex<File>>> = LazyLock::new(|| {
    let path = SETTINGS.trace.as_ref()?;
    match File::create(path) {
        Ok(file) => Some(Mutex::new(file)),
        Err(error) => refuse(&format!("{}: {error}", path.display())),
    }
});

pub fn line(text: std::fmt::Arguments) {
    if let Some(file) = &*FILE {
        let mut file = file.lock().unwrap_or_else(|e| e.into_inner());
        if let Err(error) = writeln!(file, "{text}") {
            eprintln!("softcuda: trace: {error}");
        }
    }
}
