//! The device's clock as a test asks for it.

use super::InvalidSetting;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The clock that times the device's work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// The machine's own.
    #[default]
    Host,
    /// A clock that only work moves: 1 µs each, an event's record none. The host's clocks follow it and begin at
    /// 2026-01-01 00:00:00 UTC, so that a run is reproducible to the byte.
    Virtual,
    /// As `Virtual`, with durations of one's own.
    Script(Script),
    /// As `Script`, read from a file when the program starts.
    File(PathBuf),
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clock::Host => Ok(()),
            Clock::Virtual => f.write_str("virtual"),
            Clock::Script(script) => write!(f, "{script}"),
            Clock::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Clock {
    type Err = InvalidSetting;

    /// `virtual`, a script (more than one line), or the path of one.
    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        Ok(match text {
            "virtual" => Clock::Virtual,
            script if script.contains('\n') => Clock::Script(script.parse()?),
            path => Clock::File(path.parse().unwrap_or_else(|never: Infallible| match never {})),
        })
    }
}

/// Durations of device work, by the name of the kernel or of the library call that queues it. As text: a line
/// `NAME MICROSECONDS…` each, `#` begins a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    durations: BTreeMap<String, Vec<Duration>>,
}

impl Default for Script {
    fn default() -> Self {
        Script::new()
    }
}

impl Script {
    /// 1 µs for everything, but nothing for an event's record (`cuEventRecord`).
    pub fn new() -> Self {
        let durations = [("*", Duration::from_micros(1)), ("cuEventRecord", Duration::ZERO)];
        Script { durations: durations.map(|(name, duration)| (name.to_string(), vec![duration])).into() }
    }

    /// Work of this name takes these durations in turn, over and over: one for each layer, say, in the order of a step.
    /// `*` stands for every name that has none. An empty list changes nothing.
    pub fn takes(mut self, name: impl Into<String>, durations: impl IntoIterator<Item = Duration>) -> Self {
        let durations: Vec<Duration> = durations.into_iter().collect();
        if !durations.is_empty() {
            self.durations.insert(name.into(), durations);
        }
        self
    }

    /// The name under which work of this name is counted: its own, or `*`.
    pub(crate) fn key<'a>(&self, name: &'a str) -> &'a str {
        if self.durations.contains_key(name) { name } else { "*" }
    }

    /// How long the work takes that comes at `turn`, counted from 0.
    pub(crate) fn duration(&self, key: &str, turn: usize) -> Duration {
        let list = self.durations.get(key).map_or(&[][..], Vec::as_slice);
        if list.is_empty() { Duration::ZERO } else { list[turn % list.len()] }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, durations) in &self.durations {
            f.write_str(name)?;
            for duration in durations {
                write!(f, " {}", duration.as_nanos() as f64 / 1e3)?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl FromStr for Script {
    type Err = InvalidSetting;

    fn from_str(text: &str) -> Result<Self, InvalidSetting> {
        let mut script = Script::new();
        for line in text.lines().map(|line| line.split('#').next().unwrap_or_default()) {
            let mut words = line.split_whitespace();
            let Some(name) = words.next() else { continue };
            let duration = |word: &str| match word.parse::<f64>() {
                Ok(us) if us >= 0.0 && us.is_finite() => Ok(Duration::from_nanos((us * 1e3).round() as u64)),
                _ => Err(InvalidSetting::new(format!("clock script: `{line}` is not NAME MICROSECONDS…"))),
            };
            let list = words.map(duration).collect::<Result<Vec<_>, _>>()?;
            if list.is_empty() {
                return Err(InvalidSetting::new(format!("clock script: `{line}` names no duration")));
            }
            script = script.takes(name, list);
        }
        Ok(script)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_durations_in_microseconds() {
        let script: Script = "# comment\nadd 1.5 2\n\n* 10 # rest\n".parse().unwrap();
        let ns = |name, turn| script.duration(script.key(name), turn).as_nanos();
        assert_eq!([0, 1, 2].map(|turn| ns("add", turn)), [1500, 2000, 1500]);
        assert_eq!((ns("other", 7), ns("cuEventRecord", 7)), (10_000, 0));
    }

    #[test]
    fn a_script_that_cannot_be_read_says_why() {
        for (text, why) in [("add -1", "is not NAME"), ("add soon", "is not NAME"), ("add", "names no duration")] {
            assert!(text.parse::<Script>().unwrap_err().to_string().contains(why), "{text}");
        }
    }
}
