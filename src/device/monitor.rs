//! A device's settings and state, beside its arithmetic: clocks, temperature, slowdowns, who else uses it.

use std::collections::BTreeMap;
use std::fmt;

use super::DeviceError;

/// Reads and fixes a device's settings. Asked between steps, never inside one.
pub trait Monitor: Sync {
    /// The state now.
    fn reading(&self) -> Reading;

    /// What stays as it is until somebody changes it, by name, as text with units: limits, modes, who may use the device.
    fn settings(&self) -> BTreeMap<String, String>;

    /// What changes by itself, by name, as text with units: clocks, temperature, power, other processes.
    fn state(&self) -> BTreeMap<String, String>;

    /// Locks clocks until [`Monitor::release`] or the end of the device, however it comes. `say` is told what is about to happen,
    /// and why what could not be locked stays unlocked; an error is a wish that this device cannot fulfil at all.
    fn lock(&self, wanted: &Clocks, say: &mut dyn FnMut(&str)) -> Result<(), DeviceError>;

    /// What is locked now.
    fn locked(&self) -> Clocks;

    /// Puts back what [`Monitor::lock`] changed.
    fn release(&self);

    /// What a reader of the figures should know now, in sentences: other processes on the device, a slice of it, no NVML.
    fn notes(&self) -> Vec<String>;
}

/// A device's state at one moment; `None` where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    pub mem_clock_mhz: Option<f64>,
    pub temperature_c: Option<f64>,
    pub slowdown: Option<Slowdown>,
}

/// Why clocks are held down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slowdown {
    /// Heat, or the hardware protecting itself: the figures are not the device's usual ones.
    pub thermal_or_hardware: bool,
    /// The power limit, which many devices always reach under load.
    pub power_cap: bool,
}

/// Clocks to lock, or locked; `None` is one that is left as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    pub sm: Option<Clock>,
    pub memory_mhz: Option<u32>,
}

/// An SM clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Mhz(u32),
    /// What the device sustains within its power limit, by specification.
    Base,
    /// The highest that it has.
    Max,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Clock::Mhz(mhz) => write!(f, "{mhz} MHz"),
            Clock::Base => f.write_str("base"),
            Clock::Max => f.write_str("max"),
        }
    }
}
