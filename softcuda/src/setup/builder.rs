//! The device as a test asks for it.

use super::libraries::{Library, Links, library};
use crate::finding::Findings;
use crate::settings::{Clock, Fault, InvalidSetting, PowerLimit, Settings, Throttle, ThrottleReason, VARIABLES};
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::RangeBounds;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A software CUDA device, and how it is to behave: [`command`](Softcuda::command) runs a program on it. Unless told
/// otherwise it is one A100-like GPU of 8 GiB with compute capability 8.0 under CUDA 13.0, and nothing fails.
///
/// ```no_run
/// use softcuda::{Clock, Fault, Softcuda};
///
/// let device = Softcuda::new()
///     .strict(true)
///     .memory(64 << 20)
///     .fault(Fault::call("cuMemAlloc_v2").nth(3).returns("CUDA_ERROR_OUT_OF_MEMORY"))
///     .clock(Clock::Virtual);
/// let output = device.command("target/debug/train")?.arg("--steps=2").output()?;
/// assert!(String::from_utf8_lossy(&output.stderr).contains("out of memory"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Softcuda {
    settings: Settings,
    left_out: Vec<Library>,
    added: Vec<(String, Option<PathBuf>)>,
}

impl Softcuda {
    /// The device with all its defaults, whatever `SOFTCUDA_…` variables this process has.
    pub fn new() -> Self {
        Softcuda::default()
    }

    /// The device as this process's `SOFTCUDA_…` variables describe it.
    ///
    /// # Errors
    /// A variable cannot be read.
    pub fn from_env() -> Result<Self, InvalidSetting> {
        Ok(Softcuda { settings: Settings::from_env()?, ..Softcuda::default() })
    }

    /// A process with findings or leaks ends with exit status 97.
    pub fn strict(mut self, strict: bool) -> Self {
        self.settings.strict = strict;
        self
    }

    /// A file that gets every finding.
    pub fn report(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.report = Some(file.into());
        self
    }

    /// A file that gets a line per call, `library call status`, and `# kernel grid … block …` per launch. It is written
    /// anew by every process.
    pub fn trace(mut self, file: impl Into<PathBuf>) -> Self {
        self.settings.trace = Some(file.into());
        self
    }

    /// One more thing that goes wrong.
    pub fn fault(self, fault: Fault) -> Self {
        self.faults([fault])
    }

    /// More things that go wrong. Of several for one call the first counts.
    pub fn faults(mut self, faults: impl IntoIterator<Item = Fault>) -> Self {
        self.settings.faults.extend(faults);
        self
    }

    /// The clock that times the device's work.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.settings.clock = clock;
        self
    }

    /// The device's memory in bytes (8 GiB): an allocation beyond it fails.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.settings.memory = bytes;
        self
    }

    /// The compute capability (8.0): below 8.0 there is neither TF32 nor bf16.
    pub fn capability(mut self, major: u16, minor: u16) -> Self {
        self.settings.capability = (major.into(), minor.into());
        self
    }

    /// The number of devices (1). NVML counts them in reverse.
    pub fn devices(mut self, devices: u32) -> Self {
        self.settings.devices = devices;
        self
    }

    /// A driver without a device: `cuInit` returns `CUDA_ERROR_NO_DEVICE`, and NVML does not start.
    pub fn no_device(mut self, no_device: bool) -> Self {
        self.settings.no_device = no_device;
        self
    }

    /// The CUDA version of the driver and of the libraries (13.0).
    pub fn driver(mut self, major: u16, minor: u16) -> Self {
        self.settings.driver = (major.into(), minor.into());
        self
    }

    /// cuBLAS's own version (the driver's); its major is in the library's name, `libcublas.so.13`.
    pub fn cublas(mut self, major: u16, minor: u16) -> Self {
        self.settings.cublas = Some((major.into(), minor.into()));
        self
    }

    /// cuDNN's version (9.28); its major is in the library's name, `libcudnn.so.9`.
    pub fn cudnn(mut self, major: u16, minor: u16) -> Self {
        self.settings.cudnn = (major.into(), minor.into());
        self
    }

    /// The device has stream memory operations, `cuStreamWaitValue32` and `cuStreamWriteValue32` (it has).
    pub fn stream_memory_ops(mut self, has: bool) -> Self {
        self.settings.stream_memory_ops = has;
        self
    }

    /// The device says that it has stream-ordered allocation (it does).
    pub fn memory_pools(mut self, has: bool) -> Self {
        self.settings.memory_pools = has;
        self
    }

    /// Every launch waits for its work, as under `CUDA_LAUNCH_BLOCKING` and some profilers.
    pub fn serial(mut self, serial: bool) -> Self {
        self.settings.serial = serial;
        self
    }

    /// How long a stream may wait for the host (30 s) before that is an error; in whole seconds.
    pub fn hang(mut self, longest: Duration) -> Self {
        self.settings.hang = longest;
        self
    }

    /// NVML refuses to change settings.
    pub fn no_permission(mut self, no_permission: bool) -> Self {
        self.settings.no_permission = no_permission;
        self
    }

    /// NVML reports a reason that holds clocks down, to these of the queries for it, counted from 1: `4..=4`, `20..`, `..`.
    pub fn throttle(mut self, reason: ThrottleReason, queries: impl RangeBounds<u64>) -> Self {
        self.settings.throttle.push(Throttle::new(reason, queries));
        self
    }

    /// NVML reports this power limit from the given query on, counted from 1, and 400 W before.
    pub fn power_limit(mut self, watts: u32, from_query: u64) -> Self {
        self.settings.power_limit = Some(PowerLimit { watts, from_query });
        self
    }

    /// This many processes of others are on the device, each with 1 GiB.
    pub fn others(mut self, processes: u32) -> Self {
        self.settings.others = processes;
        self
    }

    /// Leaves a library out of the folder: the program finds what the machine has, or none.
    pub fn without(mut self, library: Library) -> Self {
        self.left_out.push(library);
        self
    }

    /// softcuda stands in the folder under this name too: `libcudnn.so.8` for a program that looks for that first.
    pub fn also_named(mut self, name: impl Into<String>) -> Self {
        self.added.push((name.into(), None));
        self
    }

    /// Another file stands in the folder under this name, in place of softcuda where that has the name: an old or a
    /// broken library beside the right one.
    pub fn beside(mut self, name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.added.push((name.into(), Some(file.into())));
        self
    }

    /// The folder that holds softcuda under the names of NVIDIA's libraries.
    ///
    /// # Errors
    /// softcuda's library is not built, or the folder cannot be written.
    pub fn folder(&self) -> io::Result<PathBuf> {
        let (cublas, cudnn) = (self.settings.cublas_version().0, self.settings.cudnn.0);
        let mut links = Links::new(cublas, cudnn, &self.left_out);
        self.added.iter().for_each(|(name, file)| links.add(name, file.clone()));
        let library = library()?;
        links.lay_out(&library.with_file_name("softcuda-libraries"), &library)
    }

    /// The findings so far, from the file that [`report`](Softcuda::report) named; none where no file was named.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn findings(&self) -> io::Result<Findings> {
        self.settings.report.as_ref().map_or(Ok(Findings::default()), Findings::read)
    }

    /// A command that runs `program` on this device. It may be given arguments, a folder and more variables; relative
    /// paths of `report` and `trace` are relative to that folder.
    ///
    /// # Errors
    /// As [`folder`](Softcuda::folder); a fault names a function that is not exported, or a status that it cannot return.
    pub fn command(&self, program: impl AsRef<OsStr>) -> io::Result<Command> {
        self.settings.faults.iter().try_for_each(Fault::check).map_err(io::Error::other)?;
        let folder = self.folder()?;
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", in_front(&folder, "LD_LIBRARY_PATH"));
        for name in VARIABLES {
            command.env_remove(format!("SOFTCUDA_{name}"));
        }
        for (name, value) in self.settings.variables() {
            command.env(format!("SOFTCUDA_{name}"), value);
        }
        if self.settings.clock != Clock::Host {
            // only a preloaded library can make the host's clocks follow
            command.env("LD_PRELOAD", in_front(&library()?, "LD_PRELOAD"));
        }
        Ok(command)
    }
}

/// A path list with `first` in front.
fn in_front(first: &Path, variable: &str) -> OsString {
    let mut list = first.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os(variable).filter(|rest| !rest.is_empty()) {
        list.push(":");
        list.push(rest);
    }
    list
}
