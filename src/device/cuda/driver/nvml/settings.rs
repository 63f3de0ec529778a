//! A GPU's settings and state as text. Items that the GPU does not tell are left out.

use std::collections::BTreeMap;
use std::fmt::Display;

use nvml_wrapper::Device;
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor, TemperatureThreshold};
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;

/// Collects what a GPU tells.
#[derive(Default)]
struct Told(BTreeMap<String, String>);

impl Told {
    fn add<T>(&mut self, name: &str, value: Result<T, NvmlError>, text: impl Fn(T) -> String) {
        if let Ok(value) = value {
            self.0.insert(name.into(), text(value));
        }
    }
}

/// The settings: they stay as they are until somebody changes them.
pub fn settings(gpu: &Device) -> BTreeMap<String, String> {
    let mut told = Told::default();
    told.add("sm_clock_max", gpu.max_clock_info(Clock::SM), mhz);
    told.add("memory_clock_max", gpu.max_clock_info(Clock::Memory), mhz);
    told.add("application_sm_clock", gpu.applications_clock(Clock::SM), mhz);
    told.add("application_memory_clock", gpu.applications_clock(Clock::Memory), mhz);
    told.add("power_limit", gpu.enforced_power_limit(), watts);
    told.add("power_limit_default", gpu.power_management_limit_default(), watts);
    told.add("slowdown_temperature", gpu.temperature_threshold(TemperatureThreshold::Slowdown), celsius);
    told.add("ecc", gpu.is_ecc_enabled(), |mode| on(mode.currently_enabled));
    told.add("persistence_mode", gpu.is_in_persistent_mode(), on);
    told.add("mig", gpu.mig_mode(), |mode| on(mode.current != 0));
    told.add("compute_mode", gpu.compute_mode(), |mode| format!("{mode:?}"));
    told.add("auto_boost", gpu.auto_boosted_clocks_enabled(), |boost| on(boost.is_enabled));
    told.0
}

/// The state, which changes by itself.
pub fn state(gpu: &Device) -> BTreeMap<String, String> {
    let mut told = Told::default();
    told.add("sm_clock", gpu.clock_info(Clock::SM), mhz);
    told.add("memory_clock", gpu.clock_info(Clock::Memory), mhz);
    told.add("temperature", gpu.temperature(TemperatureSensor::Gpu), celsius);
    told.add("power", gpu.power_usage(), watts);
    told.add("performance_state", gpu.performance_state(), |state| format!("P{}", state.as_c()));
    told.add("clocks_held_by", gpu.current_throttle_reasons(), reasons);
    let own = std::process::id();
    let text = |&(pid, bytes): &(u32, Option<u64>)| {
        let memory = bytes.map(|bytes| format!(" ({} MiB)", bytes >> 20)).unwrap_or_default();
        format!("{}{memory}", if pid == own { "this".into() } else { pid.to_string() })
    };
    let processes: Vec<String> = processes(gpu).iter().map(text).collect();
    told.0.insert("processes".into(), if processes.is_empty() { "none".into() } else { processes.join(", ") });
    told.0
}

/// The processes on the GPU: number, and memory where it is told.
pub fn processes(gpu: &Device) -> Vec<(u32, Option<u64>)> {
    let compute = gpu.running_compute_processes().unwrap_or_default();
    let graphics = gpu.running_graphics_processes().unwrap_or_default();
    let memory = |memory| match memory {
        UsedGpuMemory::Used(bytes) => Some(bytes),
        UsedGpuMemory::Unavailable => None,
    };
    let processes = compute.into_iter().chain(graphics).map(|process| (process.pid, memory(process.used_gpu_memory)));
    processes.collect::<BTreeMap<u32, Option<u64>>>().into_iter().collect()
}

/// A sentence on the processes of others, if there are any, given this process's number. In a container NVML counts by the
/// host's numbers: then this process is one of them, unknown which.
pub fn others(processes: &[(u32, Option<u64>)], own: u32) -> Option<String> {
    let known = processes.iter().any(|&(pid, _)| pid == own);
    let others: Vec<String> =
        processes.iter().map(|&(pid, _)| pid).filter(|&pid| pid != own).map(|pid| pid.to_string()).collect();
    let list = others.join(", ");
    match (known, others.len()) {
        (_, 0) | (false, 1) => None,
        (true, _) => Some(format!("other processes are on the GPU: {list}")),
        (false, _) => Some(format!("other processes are on the GPU: all but one of {list}")),
    }
}

/// Why the clocks are what they are, in words.
fn reasons(reasons: ThrottleReasons) -> String {
    const WORDS: [(ThrottleReasons, &str); 9] = [
        (ThrottleReasons::GPU_IDLE, "idle"),
        (ThrottleReasons::APPLICATIONS_CLOCKS_SETTING, "application clocks"),
        (ThrottleReasons::SW_POWER_CAP, "power cap"),
        (ThrottleReasons::HW_SLOWDOWN, "hardware slowdown"),
        (ThrottleReasons::SYNC_BOOST, "sync boost"),
        (ThrottleReasons::SW_THERMAL_SLOWDOWN, "software thermal slowdown"),
        (ThrottleReasons::HW_THERMAL_SLOWDOWN, "hardware thermal slowdown"),
        (ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN, "hardware power brake"),
        (ThrottleReasons::DISPLAY_CLOCK_SETTING, "display clocks"),
    ];
    let words: Vec<&str> =
        WORDS.into_iter().filter(|(reason, _)| reasons.contains(*reason)).map(|(_, word)| word).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

fn mhz(value: u32) -> String {
    format!("{value} MHz")
}

fn celsius(value: impl Display) -> String {
    format!("{value} °C")
}

/// NVML counts in milliwatts.
fn watts(value: u32) -> String {
    format!("{:.0} W", f64::from(value) / 1e3)
}

fn on(value: bool) -> String {
    if value { "on" } else { "off" }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_in_words() {
        let text = |bits| reasons(ThrottleReasons::from_bits_truncate(bits));
        assert_eq!(text(0), "nothing");
        assert_eq!(text(0x1), "idle");
        assert_eq!(text(0x44), "power cap, hardware thermal slowdown");
    }

    #[test]
    fn this_process_is_no_other() {
        let sentence = |pids: &[u32]| others(&pids.iter().map(|&pid| (pid, None)).collect::<Vec<_>>(), 7);
        assert_eq!(sentence(&[]), None);
        assert_eq!(sentence(&[7]), None);
        assert_eq!(sentence(&[7, 12]).unwrap(), "other processes are on the GPU: 12");
        // A container: own number unknown.
        assert_eq!(sentence(&[31337]), None);
        assert_eq!(sentence(&[31337, 31338]).unwrap(), "other processes are on the GPU: all but one of 31337, 31338");
    }

    #[test]
    fn units() {
        assert_eq!((watts(399_600), mhz(1410), on(false)), ("400 W".into(), "1410 MHz".into(), "off".into()));
    }
}
