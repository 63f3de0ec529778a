//! NVML: a GPU's settings and state.
//!
//! A GPU is matched by its UUID, because NVML counts GPUs in another order than CUDA. Nothing here ends a run: where NVML is
//! missing or refuses, the run goes on and says so.

mod lock;
mod settings;

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::PathBuf;
use std::sync::OnceLock;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::{Clock as Domain, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::libraries::open::file_at;
use crate::device::DeviceError;
use crate::device::monitor::{Clocks, Monitor, Reading, Slowdown};
use lock::Lock;

/// A GPU as NVML knows it, or why NVML does not.
pub struct NvmlGpu {
    known: Result<FoundGpu, String>,
}

struct FoundGpu {
    device: Device<'static>,
    lock: Lock,
    /// The program sees a slice of the GPU only; `device` is the whole.
    slice: bool,
}

impl NvmlGpu {
    /// The GPU with this UUID, as the CUDA driver gives it.
    pub fn open(uuid: [u8; 16]) -> NvmlGpu {
        NvmlGpu { known: find(uuid) }
    }

    /// NVML's own number of it, which nvidia-smi takes.
    pub fn index(&self) -> Option<u32> {
        self.known.as_ref().ok().map(|known| known.lock.index)
    }

    /// The facts that reports list of NVML and the driver.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let Ok(nvml) = nvml() else { return Vec::new() };
        let file = file().map(|file| format!(" ({})", file.display())).unwrap_or_default();
        let driver = nvml.sys_driver_version().map(|version| ("driver", version));
        let library = nvml.sys_nvml_version().map(|version| ("nvml", version + &file));
        [driver, library].into_iter().flatten().collect()
    }
}

impl Monitor for NvmlGpu {
    fn reading(&self) -> Reading {
        let Ok(FoundGpu { device, .. }) = &self.known else { return Reading::default() };
        Reading {
            mem_clock_mhz: device.clock_info(Domain::Memory).ok().map(f64::from),
            temperature_c: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            slowdown: device.current_throttle_reasons().ok().map(slowdown),
        }
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.known.as_ref().map(|known| settings::settings(&known.device)).unwrap_or_default()
    }

    fn state(&self) -> BTreeMap<String, String> {
        self.known.as_ref().map(|known| settings::state(&known.device)).unwrap_or_default()
    }

    fn lock(&self, wanted: &Clocks, say: &mut dyn FnMut(&str)) -> Result<(), DeviceError> {
        match &self.known {
            Ok(known) => known.lock.set(wanted, say),
            Err(why) => {
                say(&format!("clocks stay unlocked: {why}"));
                Ok(())
            }
        }
    }

    fn locked(&self) -> Clocks {
        self.known.as_ref().map(|known| known.lock.locked()).unwrap_or_default()
    }

    fn release(&self) {
        if let Ok(known) = &self.known {
            known.lock.release();
        }
    }

    fn notes(&self) -> Vec<String> {
        let FoundGpu { device, slice, .. } = match &self.known {
            Ok(known) => known,
            Err(why) => return vec![format!("the GPU's settings and slowdowns are unknown: {why}")],
        };
        let slice = slice.then(|| "the GPU is shared in slices (MIG): its clocks serve all of them".to_owned());
        let others = settings::others(&settings::processes(device), std::process::id());
        slice.into_iter().chain(others).collect()
    }
}

fn find(uuid: [u8; 16]) -> Result<FoundGpu, String> {
    let nvml = nvml().as_ref().map_err(Clone::clone)?;
    let digits = uuid_digits(uuid);
    let whole = nvml.device_by_uuid(format!("GPU-{digits}")).map(|device| (device, false));
    let (device, slice) = whole
        .or_else(|_| {
            let slice = nvml.device_by_uuid(format!("MIG-{digits}"))?;
            Ok((slice.mig_parent_device()?, true))
        })
        .map_err(|error: NvmlError| format!("NVML does not know the GPU with UUID {digits}: {error}"))?;
    let index = device.index().map_err(|error| format!("NVML does not number the GPU {digits}: {error}"))?;
    let same = nvml.device_by_index(index).map_err(|error| format!("NVML has no GPU {index}: {error}"))?;
    Ok(FoundGpu { device, lock: Lock::new(same, index), slice })
}

/// NVML, started once and never shut down: clocks are put back by the last thing that runs.
fn nvml() -> &'static Result<Nvml, String> {
    static NVML: OnceLock<Result<Nvml, String>> = OnceLock::new();
    NVML.get_or_init(|| {
        Nvml::init().map_err(|error| match error {
            NvmlError::LibloadingError(_) => {
                "no NVML: the loader finds no libnvidia-ml.so.1, which comes with NVIDIA's driver".into()
            }
            error => format!("NVML does not start: {error}"),
        })
    })
}

/// NVML's version and file, or what is missing.
pub fn survey() -> Result<(String, Option<PathBuf>), String> {
    let nvml = nvml().as_ref().map_err(Clone::clone)?;
    let version = nvml.sys_nvml_version().map_err(|error| format!("NVML tells no version: {error}"))?;
    Ok((version, file()))
}

fn file() -> Option<PathBuf> {
    let start = nvml().as_ref().ok()?.lib().nvmlInit_v2.as_ref().ok()?;
    file_at(*start as *const c_void)
}

/// The UUID in groups: 8-4-4-4-12 hexadecimal digits.
fn uuid_digits(uuid: [u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// The slowdowns among NVML's reasons: not idling, nor clocks that somebody chose.
fn slowdown(reasons: ThrottleReasons) -> Slowdown {
    let thermal_or_hardware = ThrottleReasons::HW_SLOWDOWN
        | ThrottleReasons::SW_THERMAL_SLOWDOWN
        | ThrottleReasons::HW_THERMAL_SLOWDOWN
        | ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN;
    Slowdown {
        thermal_or_hardware: reasons.intersects(thermal_or_hardware),
        power_cap: reasons.contains(ThrottleReasons::SW_POWER_CAP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bits as in nvml.h (nvmlClocksEventReason…).
    #[test]
    fn reasons_are_told_apart() {
        let of = |bits| slowdown(ThrottleReasons::from_bits_truncate(bits));
        let power = Slowdown { power_cap: true, ..Slowdown::default() };
        let heat = Slowdown { thermal_or_hardware: true, ..Slowdown::default() };
        for (bits, expected) in [
            (0x0, Slowdown::default()),
            (0x1, Slowdown::default()),   // idle
            (0x2, Slowdown::default()),   // application clocks
            (0x10, Slowdown::default()),  // sync boost
            (0x100, Slowdown::default()), // display clocks
            (0x4, power),
            (0x8, heat),
            (0x20, heat),
            (0x40, heat),
            (0x80, heat),
            (0x44, Slowdown { thermal_or_hardware: true, power_cap: true }),
        ] {
            assert_eq!(of(bits), expected, "{bits:#x}");
        }
    }

    #[test]
    fn a_uuid_in_groups() {
        let uuid = [0x5a, 0xfe, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0xff];
        assert_eq!(uuid_digits(uuid), "5afe0001-0203-0405-0607-08090a0b0cff");
    }
}
