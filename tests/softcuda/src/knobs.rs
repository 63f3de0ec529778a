//! The environment variables that steer the device, read once. README.md lists them.

use crate::fault::FaultPlan;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

pub struct Knobs {
    /// `SOFTCUDA_MEMORY`: the device's memory, for example `64M`; an allocation beyond it is out of memory.
    pub memory: u64,
    /// `SOFTCUDA_FAULTS`: see `fault`.
    pub faults: FaultPlan,
    /// `SOFTCUDA_TRACE`: a file that gets one line per call.
    pub trace: Option<PathBuf>,
    /// `SOFTCUDA_REPORT`: a file that findings are appended to, besides stderr.
    pub report: Option<PathBuf>,
    /// `SOFTCUDA_STRICT=1`: a process with findings or leaks ends with exit status 97.
    pub strict: bool,
    /// `SOFTCUDA_CLOCK`: `virtual`, or a script of durations.
    pub clock: Option<String>,
    /// `SOFTCUDA_CAPABILITY`: compute capability, `8.0` unless told.
    pub capability: (i32, i32),
    /// `SOFTCUDA_STREAM_MEMORY_OPS=0`: the device has no stream memory operations.
    pub stream_memory_ops: bool,
    /// `SOFTCUDA_POOLS=0`: the device has no stream-ordered allocation.
    pub memory_pools: bool,
    /// `SOFTCUDA_NO_DEVICE=1`: a driver without a device.
    pub no_device: bool,
    /// `SOFTCUDA_DEVICES`: how many devices there are.
    pub devices: u32,
    /// `SOFTCUDA_NO_PERMISSION=1`: NVML refuses to change settings.
    pub no_permission: bool,
    /// `SOFTCUDA_THROTTLE`: clock event reasons, for example `thermal` or `power@20`; see `nvml`.
    pub throttle: String,
    /// `SOFTCUDA_OTHERS`: processes of others on the device.
    pub others: u32,
    /// `SOFTCUDA_SERIAL=1`: every launch waits for its work.
    pub serial: bool,
    /// `SOFTCUDA_HANG_SECONDS`: how long a stream may wait for the host.
    pub hang: Duration,
    /// `SOFTCUDA_DRIVER`: CUDA version of the driver and the libraries, `13.0` unless told.
    pub driver: (i32, i32),
    /// `SOFTCUDA_CUBLAS`: cuBLAS's version, the driver's unless told.
    pub cublas: (i32, i32),
    /// `SOFTCUDA_CUDNN`: cuDNN's own version, `9.28` unless told.
    pub cudnn: (i32, i32),
    /// `SOFTCUDA_POWER_LIMIT`: watts, and the query from which on they hold; 400 before.
    pub power_limit: (u32, u64),
}

pub static KNOBS: LazyLock<Knobs> = LazyLock::new(|| Knobs {
    memory: variable("MEMORY").map_or(8 << 30, |v| bytes(&v)),
    faults: FaultPlan::parse(&variable("FAULTS").unwrap_or_default()),
    trace: variable("TRACE").map(PathBuf::from),
    report: variable("REPORT").map(PathBuf::from),
    strict: flag("STRICT", false),
    clock: variable("CLOCK"),
    capability: variable("CAPABILITY").map_or((8, 0), |v| pair(&v)),
    stream_memory_ops: flag("STREAM_MEMORY_OPS", true),
    memory_pools: flag("POOLS", true),
    no_device: flag("NO_DEVICE", false),
    devices: variable("DEVICES").map_or(1, |v| number(&v)),
    no_permission: flag("NO_PERMISSION", false),
    throttle: variable("THROTTLE").unwrap_or_default(),
    others: variable("OTHERS").map_or(0, |v| number(&v)),
    serial: flag("SERIAL", false),
    hang: Duration::from_secs(variable("HANG_SECONDS").map_or(30, |v| number(&v))),
    driver: driver(),
    cublas: variable("CUBLAS").map_or_else(driver, |v| pair(&v)),
    cudnn: variable("CUDNN").map_or((9, 28), |v| pair(&v)),
    power_limit: variable("POWER_LIMIT").map_or((400, 1), |v| {
        let (watts, query) = v.split_once('@').unwrap_or((&v, "1"));
        (number(watts), number(query))
    }),
});

fn variable(name: &str) -> Option<String> {
    std::env::var(format!("SOFTCUDA_{name}")).ok().filter(|v| !v.is_empty())
}

fn driver() -> (i32, i32) {
    variable("DRIVER").map_or((13, 0), |v| pair(&v))
}

fn flag(name: &str, default: bool) -> bool {
    variable(name).map_or(default, |v| v != "0")
}

/// A knob that cannot be read ends the process: a test that silently tests something else is worse.
pub fn refuse(what: &str) -> ! {
    eprintln!("softcuda: {what}");
    std::process::exit(98)
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.trim().parse().unwrap_or_else(|_| refuse(&format!("`{text}` is not a number")))
}

fn pair(text: &str) -> (i32, i32) {
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    (number(major), number(minor))
}

/// `64M`, `2G`, `1000000`.
fn bytes(text: &str) -> u64 {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    number::<u64>(digits) * factor
}
