//! Lines on stderr.

use std::fmt::Display;
use std::io::Write;

use crate::units::visible;

/// Writes a line to stderr, with what steers a terminal spelled out: a line may hold names from files. A stderr that is full or closed changes nothing: no run may end for want of a reader.
pub fn say(line: impl Display) {
    // One write, so that lines of several programs do not mix.
    let _ = std::io::stderr().write_all((visible(&line.to_string()) + "\n").as_bytes());
}
