//! The device's state while a batch was measured: clocks, temperature, slowdowns, settings that changed.

use std::collections::BTreeMap;

use crate::device::Device;
use crate::device::monitor::{Clock, Monitor, Reading, Slowdown};

/// A measured clock further than this from the locked one was not held.
const CLOCK_TOLERANCE: f64 = 0.02;

/// The device's state over one batch; empty where a device does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Conditions {
    /// Across the timed steps; their mean.
    pub sm_clock_mhz: Option<f64>,
    /// Mean over the samples.
    pub mem_clock_mhz: Option<f64>,
    /// The highest seen.
    pub temperature_c: Option<f64>,
    /// Timed steps with a thermal or hardware slowdown right before or after.
    pub throttled_samples: Option<usize>,
    /// Timed steps with clocks held down by the power limit right before or after.
    pub power_capped_samples: Option<usize>,
}

/// Everything observed beside the durations of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Clocks, temperature, slowdowns.
    pub conditions: Conditions,
    /// Settings are not what they were when the run began.
    pub changed: bool,
    /// For a reader of the figures, in sentences.
    pub notes: Vec<String>,
}

/// Reads a device's state between steps.
pub struct Observer<'a> {
    device: &'a dyn Device,
    /// Settings when the run began.
    before: &'a BTreeMap<String, String>,
    /// One before the first pair, and one after each.
    readings: Vec<Reading>,
}

impl<'a> Observer<'a> {
    /// After warm-up.
    pub fn begin(device: &'a dyn Device, before: &'a BTreeMap<String, String>) -> Observer<'a> {
        let mut observer = Observer { device, before, readings: Vec::new() };
        observer.after_pair();
        observer
    }

    /// After each pair of steps.
    pub fn after_pair(&mut self) {
        self.readings.extend(self.device.monitor().map(Monitor::reading));
    }

    /// After the last pair, with the SM clock across the timed steps.
    pub fn end(self, sm_clock_mhz: Option<f64>) -> Observed {
        let Some(monitor) = self.device.monitor() else { return Observed::default() };
        let conditions = conditions(sm_clock_mhz, &self.readings);
        let changes = changes(self.before, &monitor.settings());
        let changed = !changes.is_empty();
        let notes = changes
            .into_iter()
            .chain(power_cap(&conditions, self.readings.len()))
            .chain(unheld(&conditions, monitor.locked().sm));
        Observed { conditions, changed, notes: notes.collect() }
    }
}

fn conditions(sm_clock_mhz: Option<f64>, readings: &[Reading]) -> Conditions {
    let memory_clocks: Vec<f64> = readings.iter().filter_map(|reading| reading.mem_clock_mhz).collect();
    Conditions {
        sm_clock_mhz,
        mem_clock_mhz: mean(&memory_clocks),
        temperature_c: readings.iter().filter_map(|reading| reading.temperature_c).reduce(f64::max),
        throttled_samples: samples_with(readings, |slowdown| slowdown.thermal_or_hardware),
        power_capped_samples: samples_with(readings, |slowdown| slowdown.power_cap),
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Counts pairs with a slowdown right before or right after; `None` where the device does not tell.
fn samples_with(readings: &[Reading], held: fn(&Slowdown) -> bool) -> Option<usize> {
    let slowdowns: Option<Vec<bool>> = readings.iter().map(|reading| reading.slowdown.as_ref().map(held)).collect();
    let slowdowns = slowdowns.filter(|slowdowns| !slowdowns.is_empty())?;
    Some(slowdowns.windows(2).filter(|ends| ends[0] || ends[1]).count())
}

fn power_cap(conditions: &Conditions, readings: usize) -> Option<String> {
    let capped = conditions.power_capped_samples.filter(|&samples| samples > 0)?;
    Some(format!("the power limit held clocks down in {capped} of {} samples", readings - 1))
}

/// A lock that did not hold: reset by somebody, or not reachable.
fn unheld(conditions: &Conditions, locked: Option<Clock>) -> Option<String> {
    let (Some(Clock::Mhz(locked)), Some(measured)) = (locked, conditions.sm_clock_mhz) else { return None };
    let off = (measured / f64::from(locked) - 1.0).abs() > CLOCK_TOLERANCE;
    off.then(|| format!("the SM clock was {measured:.0} MHz, although locked at {locked} MHz"))
}

/// The settings that are told both times and differ, in sentences.
pub fn changes(before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Vec<String> {
    let changed = now.iter().filter_map(|(name, now)| {
        let before = before.get(name).filter(|before| *before != now)?;
        Some(format!("settings changed during the run: {name} was {before}, now {now}"))
    });
    changed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(thermal_or_hardware: bool, power_cap: bool) -> Reading {
        Reading {
            mem_clock_mhz: Some(1215.0),
            temperature_c: Some(60.0),
            slowdown: Some(Slowdown { thermal_or_hardware, power_cap }),
        }
    }

    /// Five readings bound four samples.
    #[test]
    fn a_sample_is_throttled_when_a_slowdown_is_at_either_end() {
        let [cool, hot] = [reading(false, false), reading(true, false)];
        let throttled = |readings: &[Reading]| conditions(None, readings).throttled_samples;
        assert_eq!(throttled(&[cool; 5]), Some(0));
        assert_eq!(throttled(&[cool, cool, hot, cool, cool]), Some(2));
        assert_eq!(throttled(&[hot, cool, cool, cool, hot]), Some(2));
        assert_eq!(throttled(&[cool, hot, hot, hot, cool]), Some(4));
        assert_eq!(throttled(&[Reading::default(); 5]), None);
        assert_eq!(throttled(&[]), None);
    }

    #[test]
    fn a_power_cap_is_noted_and_no_throttling() {
        let readings = [reading(false, false), reading(false, true), reading(false, false)];
        let seen = conditions(None, &readings);
        assert_eq!((seen.throttled_samples, seen.power_capped_samples), (Some(0), Some(2)));
        assert_eq!(power_cap(&seen, 3).unwrap(), "the power limit held clocks down in 2 of 2 samples");
        let hot = conditions(None, &[reading(true, false); 3]);
        assert_eq!((hot.power_capped_samples, power_cap(&hot, 3)), (Some(0), None));
        assert_eq!(conditions(None, &[Reading::default(); 3]).power_capped_samples, None);
    }

    #[test]
    fn clocks_are_means_and_the_temperature_the_highest() {
        let hotter = Reading { temperature_c: Some(71.0), mem_clock_mhz: Some(1205.0), ..reading(false, false) };
        let seen = conditions(Some(1405.0), &[reading(false, false), hotter]);
        assert_eq!(
            (seen.sm_clock_mhz, seen.mem_clock_mhz, seen.temperature_c),
            (Some(1405.0), Some(1210.0), Some(71.0))
        );
    }

    #[test]
    fn a_lock_that_did_not_hold_is_noted() {
        let at = |mhz| Conditions { sm_clock_mhz: Some(mhz), ..Conditions::default() };
        assert_eq!(unheld(&at(1390.0), Some(Clock::Mhz(1410))), None);
        assert_eq!(
            unheld(&at(1200.0), Some(Clock::Mhz(1410))).unwrap(),
            "the SM clock was 1200 MHz, although locked at 1410 MHz"
        );
        assert_eq!(unheld(&at(1200.0), None), None);
        assert_eq!(unheld(&Conditions::default(), Some(Clock::Mhz(1410))), None);
    }

    #[test]
    fn settings_that_are_told_both_times_can_change() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let before = map(&[("ecc", "on"), ("power_limit", "400 W"), ("temperature", "41 °C")]);
        let now = map(&[("power_limit", "300 W"), ("ecc", "on"), ("mig", "off")]);
        assert_eq!(changes(&before, &now), ["settings changed during the run: power_limit was 400 W, now 300 W"]);
        assert_eq!(changes(&before, &before), [""; 0]);
    }
}
