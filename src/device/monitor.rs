//! A device's settings and state, beside its arithmetic: clocks, temperature, slowdowns, who else uses it.

use std::collections::BTreeMap;

use super::DeviceError;

/// Reads and fixes a device's settings. Asked between steps, never inside one.
pub trait Monitor: Sync {
    /// The state now.
    fn reading(&self) -> Reading;

    /// Every setting that bears on speed, by name, as text with units.
    fn settings(&self) -> BTreeMap<String, String>;

    /// Locks clocks until [`Monitor::release`], or the end of the device. What could not be locked stays unlocked, and `say` is
    /// told why; an error is a wish that no permission could fulfil.
    fn lock(&self, wanted: &Clocks, say: &mut dyn FnMut(&str)) -> Result<(), DeviceError>;

    /// The clocks that are locked now, in MHz.
    fn locked(&self) -> Locked;

    /// Puts back what [`Monitor::lock`] changed.
    fn release(&self);

    /// What a reader of the figures should know, in sentences: other processes on the device, MIG, no NVML.
    fn notes(&self) -> Vec<String>;
}

/// A device's state at one moment; `None` where it does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    pub mem_clock_mhz: Option<f64>,
    pub temperature_c: Option<f64>,
    /// Why the clocks are lower than asked for.
    pub slowdown: Option<Slowdown>,
}

/// Why clocks are held down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slowdown {
    /// Heat, or the hardware protecting itself: the figures are not the device's usual ones.
    pub thermal_or_hardware: bool,
    /// The power limit: how many devices always run under load.
    pub power_cap: bool,
}

/// Which clocks to lock; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    pub sm: Option<Clock>,
    pub memory_mhz: Option<u32>,
}

/// An SM clock to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    Mhz(u32),
    /// What the device sustains by specification.
    Base,
    Max,
}

/// What is locked, in MHz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    pub sm_mhz: Option<u32>,
    pub memory_mhz: Option<u32>,
}
