//! A device's settings and state, beside its arithmetic: clocks, temperature, slowdowns, who else uses it.

use std::collections::BTreeMap;
use std::fmt;

use super::DeviceError;

/// Reads and fixes a device's settings. Asked between steps, never inside one.
pub trait Monitor: Sync {
    /// The state now.
    fn reading(&self) -> Reading;

    /// Settings that hold until somebody changes them, by name, as text with units: limits, modes, who may use the device.
    fn settings(&self) -> BTreeMap<String, String>;

    /// Readings that change by themselves, by name, as text with units: clocks, temperature, power, other processes.
    fn state(&self) -> BTreeMap<String, String>;

    /// Locks clocks until [`Monitor::release`] or the end of the device, however it comes. `say` is told what is about to happen,
    /// and why what could not be locked stays unlocked; an error is a wish that this device cannot fulfil at all.
    fn lock(&self, wanted: &Clocks, say: &mut dyn FnMut(&str)) -> Result<(), DeviceError>;

    /// The clocks that are locked now.
    fn locked(&self) -> Clocks;

    /// Puts back what [`Monitor::lock`] changed.
    fn release(&self);

    /// Notes for a reader of the figures, in sentences: other processes on the device, a slice of it, no NVML.
    fn notes(&self) -> Vec<String>;
}

/// A device's state at one moment; `None` where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// The memory's clock.
    pub mem_clock_mhz: Option<f64>,
    /// The chip's temperature.
    pub temperature_c: Option<f64>,
    /// Reasons that hold clocks down.
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

/// Clocks to lock, or locked; `None` leaves a clock as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// The multiprocessors' clock.
    pub sm: Option<Clock>,
    /// The memory's clock.
    pub memory_mhz: Option<u32>,
}

/// An SM clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A clock by its rate.
    Mhz(u32),
    /// The clock that the device sustains within its power limit, by specification.
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
