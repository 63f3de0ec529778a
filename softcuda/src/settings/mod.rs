//! What a test asks of the device. The builder writes it into environment variables, the device reads it from them once.

mod clock;
mod fault;
mod nvml;
mod parse;

pub use clock::{Clock, Script};
pub use fault::{Effect, Fault, FaultyCall};
pub use nvml::{PowerLimit, Throttle, ThrottleReason};
pub use parse::InvalidSetting;

use parse::{Reader, bytes, flag, number, version};
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

/// All settings; README.md describes the variables. The default is an A100 that fails nowhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub memory: u64,
    pub faults: Vec<Fault>,
    pub trace: Option<PathBuf>,
    pub report: Option<PathBuf>,
    pub strict: bool,
    pub clock: Clock,
    pub capability: (i32, i32),
    pub stream_memory_ops: bool,
    pub memory_pools: bool,
    pub no_device: bool,
    pub devices: u32,
    pub no_permission: bool,
    pub throttle: Vec<Throttle>,
    pub power_limit: Option<PowerLimit>,
    pub others: u32,
    pub serial: bool,
    pub hang: Duration,
    pub driver: (i32, i32),
    /// The driver's version unless told.
    pub cublas: Option<(i32, i32)>,
    pub cudnn: (i32, i32),
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            memory: 8 << 30,
            faults: Vec::new(),
            trace: None,
            report: None,
            strict: false,
            clock: Clock::Host,
            capability: (8, 0),
            stream_memory_ops: true,
            memory_pools: true,
            no_device: false,
            devices: 1,
            no_permission: false,
            throttle: Vec::new(),
            power_limit: None,
            others: 0,
            serial: false,
            hang: Duration::from_secs(30),
            driver: (13, 0),
            cublas: None,
            cudnn: (9, 28),
        }
    }
}

/// The variables, without `SOFTCUDA_`.
pub const VARIABLES: [&str; 20] = [
    "MEMORY",
    "FAULTS",
    "TRACE",
    "REPORT",
    "STRICT",
    "CLOCK",
    "CAPABILITY",
    "STREAM_MEMORY_OPS",
    "POOLS",
    "NO_DEVICE",
    "DEVICES",
    "NO_PERMISSION",
    "THROTTLE",
    "POWER_LIMIT",
    "OTHERS",
    "SERIAL",
    "HANG_SECONDS",
    "DRIVER",
    "CUBLAS",
    "CUDNN",
];

impl Settings {
    /// This process's environment.
    pub fn from_env() -> Result<Settings, InvalidSetting> {
        Settings::read(|name| std::env::var_os(format!("SOFTCUDA_{name}")))
    }

    /// Settings from variables, which `variable` gives by their name without `SOFTCUDA_`. An empty one counts as unset.
    fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Settings, InvalidSetting> {
        let read = Reader(variable);
        let default = Settings::default();
        let faults: Vec<Fault> = read.list("FAULTS")?;
        faults.iter().try_for_each(Fault::check)?;
        Ok(Settings {
            memory: read.one("MEMORY", bytes)?.unwrap_or(default.memory),
            faults,
            trace: read.path("TRACE"),
            report: read.path("REPORT"),
            strict: read.one("STRICT", flag)?.unwrap_or(default.strict),
            clock: read.one("CLOCK", str::parse)?.unwrap_or(default.clock),
            capability: read.one("CAPABILITY", version)?.unwrap_or(default.capability),
            stream_memory_ops: read.one("STREAM_MEMORY_OPS", flag)?.unwrap_or(default.stream_memory_ops),
            memory_pools: read.one("POOLS", flag)?.unwrap_or(default.memory_pools),
            no_device: read.one("NO_DEVICE", flag)?.unwrap_or(default.no_device),
            devices: read.one("DEVICES", number)?.unwrap_or(default.devices),
            no_permission: read.one("NO_PERMISSION", flag)?.unwrap_or(default.no_permission),
            throttle: read.list("THROTTLE")?,
            power_limit: read.one("POWER_LIMIT", str::parse)?,
            others: read.one("OTHERS", number)?.unwrap_or(default.others),
            serial: read.one("SERIAL", flag)?.unwrap_or(default.serial),
            hang: read.one("HANG_SECONDS", number)?.map_or(default.hang, Duration::from_secs),
            driver: read.one("DRIVER", version)?.unwrap_or(default.driver),
            cublas: read.one("CUBLAS", version)?,
            cudnn: read.one("CUDNN", version)?.unwrap_or(default.cudnn),
        })
    }

    /// The variables that say the same: those whose setting is not the default.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        let default = Settings::default();
        let mut out: Vec<(&'static str, OsString)> = Vec::new();
        let mut put = |name, differs: bool, text: String| {
            if differs {
                out.push((name, text.into()));
            }
        };
        let bit = |flag: bool| u8::from(flag).to_string();
        let dotted = |(major, minor): (i32, i32)| format!("{major}.{minor}");
        put("MEMORY", self.memory != default.memory, self.memory.to_string());
        put("FAULTS", !self.faults.is_empty(), parse::join(&self.faults));
        put("STRICT", self.strict, bit(self.strict));
        put("CLOCK", self.clock != default.clock, self.clock.to_string());
        put("CAPABILITY", self.capability != default.capability, dotted(self.capability));
        put("STREAM_MEMORY_OPS", !self.stream_memory_ops, bit(self.stream_memory_ops));
        put("POOLS", !self.memory_pools, bit(self.memory_pools));
        put("NO_DEVICE", self.no_device, bit(self.no_device));
        put("DEVICES", self.devices != default.devices, self.devices.to_string());
        put("NO_PERMISSION", self.no_permission, bit(self.no_permission));
        put("THROTTLE", !self.throttle.is_empty(), parse::join(&self.throttle));
        put("POWER_LIMIT", self.power_limit.is_some(), self.power_limit.map_or_else(String::new, |p| p.to_string()));
        put("OTHERS", self.others != default.others, self.others.to_string());
        put("SERIAL", self.serial, bit(self.serial));
        put("HANG_SECONDS", self.hang != default.hang, self.hang.as_secs().to_string());
        put("DRIVER", self.driver != default.driver, dotted(self.driver));
        put("CUBLAS", self.cublas.is_some(), self.cublas.map_or_else(String::new, dotted));
        put("CUDNN", self.cudnn != default.cudnn, dotted(self.cudnn));
        let files = [("TRACE", &self.trace), ("REPORT", &self.report)];
        out.extend(files.into_iter().filter_map(|(name, file)| Some((name, file.clone()?.into_os_string()))));
        out
    }

    /// cuBLAS's version.
    pub fn cublas_version(&self) -> (i32, i32) {
        self.cublas.unwrap_or(self.driver)
    }
}

/// The settings of this process. What cannot be read ends it: a test that silently tests something else is worse.
pub static SETTINGS: LazyLock<Settings> =
    LazyLock::new(|| Settings::from_env().unwrap_or_else(|error| refuse(&error.to_string())));

/// Ends the process with status 98.
pub fn refuse(what: &str) -> ! {
    eprintln!("softcuda: {what}");
    std::process::exit(98)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every setting, none of them the default.
    fn unusual() -> Settings {
        Settings {
            memory: 64 << 20,
            faults: vec![
                Fault::call("cuInit").nth(3).returns("CUDA_ERROR_NO_DEVICE"),
                Fault::call("cuLaunchKernel").from(2).work_fails("700"),
                Fault::device_lost(9),
            ],
            trace: Some("calls, all".into()),
            report: Some("/tmp/a report".into()),
            strict: true,
            clock: Clock::Script(Script::new().takes("add", [1500, 2250].map(Duration::from_nanos))),
            capability: (7, 5),
            stream_memory_ops: false,
            memory_pools: false,
            no_device: true,
            devices: 2,
            no_permission: true,
            throttle: vec![
                Throttle::new(ThrottleReason::HwThermal, 4..=4),
                Throttle::new(ThrottleReason::PowerCap, 20..),
            ],
            power_limit: Some(PowerLimit { watts: 300, from_query: 5 }),
            others: 2,
            serial: true,
            hang: Duration::from_secs(5),
            driver: (12, 2),
            cublas: Some((12, 9)),
            cudnn: (9, 10),
        }
    }

    #[test]
    fn the_device_reads_what_the_builder_wrote() {
        let variables = unusual().variables();
        assert_eq!(variables.len(), VARIABLES.len());
        let of = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        assert!(VARIABLES.iter().all(|name| of(name).is_some()), "{variables:?}");
        assert_eq!(Settings::read(of).unwrap(), unusual());
    }

    #[test]
    fn defaults_need_no_variable() {
        assert_eq!(Settings::default().variables(), []);
        assert_eq!(Settings::read(|_| None).unwrap(), Settings::default());
        assert_eq!(Settings::read(|_| Some("".into())).unwrap(), Settings::default());
    }

    #[test]
    fn an_error_names_its_variable() {
        let error = Settings::read(|name| (name == "MEMORY").then(|| "lots".into())).unwrap_err();
        assert_eq!(error.to_string(), "SOFTCUDA_MEMORY: `lots` is not a number");
    }

    #[test]
    fn the_readme_has_every_variable() {
        let readme = include_str!("../../README.md");
        for name in VARIABLES {
            assert!(readme.contains(&format!("`SOFTCUDA_{name}=")), "SOFTCUDA_{name}");
        }
    }
}
