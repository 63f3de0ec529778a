//! A device's settings around a run: locked before, noted, put back after.

use std::collections::BTreeMap;

use anyhow::Result;

use super::UsageError;
use layertime::device::Device;
use layertime::device::monitor::Clocks;
use layertime::profile::conditions::changes;
use layertime::report::folder::Folder;
use layertime::stderr::say;

/// Settings and state of the device now.
pub fn now(device: &dyn Device) -> Option<BTreeMap<String, String>> {
    let monitor = device.monitor()?;
    let mut now = monitor.settings();
    now.extend(monitor.state());
    Some(now)
}

/// Locks the clocks that the user wants locked; what cannot be is said and goes on. `no_gpu` is why the device is none.
pub fn lock(device: &dyn Device, no_gpu: Option<&str>, wanted: &Clocks) -> Result<()> {
    if *wanted == Clocks::default() {
        return Ok(());
    }
    let Some(monitor) = device.monitor() else {
        let why = match no_gpu {
            Some(why) => format!("no GPU can be used whose clocks could be locked: {why}"),
            None => {
                format!("{} has no clocks to lock: leave --lock-clocks and --lock-memory-clock out", device.info().name)
            }
        };
        return Err(UsageError(why).into());
    };
    Ok(monitor.lock(wanted, &mut |line| say(line))?)
}

/// The wishes that [`lock`] could not fulfil.
pub fn unlocked(device: &dyn Device, wanted: &Clocks) -> Vec<String> {
    let locked = device.monitor().map(|monitor| monitor.locked()).unwrap_or_default();
    let sm =
        (wanted.sm.is_some() && locked.sm.is_none()).then_some("the SM clock is not locked, as --lock-clocks asked");
    let memory = wanted.memory_mhz.is_some() && locked.memory_mhz.is_none();
    let memory = memory.then_some("the memory clock is not locked, as --lock-memory-clock asked");
    sm.into_iter().chain(memory).map(String::from).collect()
}

/// What must be equal for batches to stand in one run, as it is now.
pub fn options(device: &dyn Device) -> BTreeMap<String, String> {
    let locked = device.monitor().map(|monitor| monitor.locked()).unwrap_or_default();
    let sm = locked.sm.map(|clock| ("lock_clocks".into(), clock.to_string()));
    let memory = locked.memory_mhz.map(|mhz| ("lock_memory_clock".into(), format!("{mhz} MHz")));
    device.info().options.clone().into_iter().chain(sm).chain(memory).collect()
}

/// Notes what a reader should know of the device, who else uses it above all.
pub fn note(device: &dyn Device, folder: &mut Folder) {
    let of_monitor = device.monitor().map(|monitor| monitor.notes()).unwrap_or_default();
    folder.run_mut().note(of_monitor.into_iter().chain(device.notes()));
}

/// Puts back what [`lock`] changed, and notes how the settings are then.
pub fn put_back(device: &dyn Device, folder: &mut Folder) {
    note(device, folder);
    let Some(monitor) = device.monitor() else { return };
    monitor.release();
    let before = folder.run().machine.settings_before.clone().unwrap_or_default();
    let run = folder.run_mut();
    run.note(changes(&before, &monitor.settings()));
    run.machine.settings_after = now(device);
}
