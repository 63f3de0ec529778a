//! Lines on stderr.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to stderr. A stderr that is full or closed changes nothing: no run may end for want of a reader.
pub fn say(line: impl Display) {
    // One write, so that lines of several programs do not mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
