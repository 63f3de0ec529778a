//! Clock locks, and that they are put back whatever happens. Each test runs itself once more under softcuda and looks at the
//! calls that NVML got.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use layertime::device::cuda::nvml::NvmlGpu;
use layertime::device::monitor::{Clock, Clocks, Monitor};
use layertime::interrupt::Interrupt;
use softcuda::{Fault, Softcuda};
use tempfile::TempDir;

use super::soft;

/// The UUID of softcuda's first device, as CUDA gives it.
const FIRST: [u8; 16] = *b"softcuda-device\0";
const BOTH: Clocks = Clocks { sm: Some(Clock::Mhz(1400)), memory_mhz: Some(1215) };

/// Tells if this process is the one under softcuda.
fn is_inner() -> bool {
    std::env::var_os("LAYERTIME_TEST_INNER").is_some()
}

/// The same test under softcuda, and the file that NVML's calls are written to.
struct Inner {
    command: Command,
    folder: TempDir,
}

fn inner(test: &str, gpu: Softcuda) -> Inner {
    let folder = tempfile::tempdir().unwrap();
    let mut command = soft::on(&gpu.trace(folder.path().join("trace")), std::env::current_exe().unwrap());
    command.args(["--exact", &format!("cuda::locks::{test}"), "--nocapture"]).env("LAYERTIME_TEST_INNER", "1");
    Inner { command, folder }
}

impl Inner {
    fn output(&mut self) -> Output {
        self.command.output().unwrap()
    }

    fn trace(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// The calls that change settings, in order, with their status: 0 is success, 4 no permission (nvml.h).
    fn changes(&self) -> Vec<String> {
        let trace = std::fs::read_to_string(self.trace()).unwrap();
        let changes = trace.lines().filter(|line| line.contains("LockedClocks"));
        changes.map(|line| line.replace("nvml nvmlDevice", "")).collect()
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lock(gpu: &NvmlGpu, wanted: &Clocks) {
    gpu.lock(wanted, &mut |line| eprintln!("said: {line}")).unwrap();
}

const LOCKED_AND_RESET: [&str; 4] =
    ["SetGpuLockedClocks 0", "SetMemoryLockedClocks 0", "ResetGpuLockedClocks 0", "ResetMemoryLockedClocks 0"];

#[test]
fn a_lock_holds_until_the_gpu_is_let_go() {
    if is_inner() {
        let gpu = NvmlGpu::open(FIRST);
        lock(&gpu, &BOTH);
        assert_eq!(gpu.locked(), Clocks { sm: Some(Clock::Mhz(1395)), memory_mhz: Some(1215) });
        assert_eq!(gpu.state()["sm_clock"], "1395 MHz");
        drop(gpu);
        return assert_eq!(NvmlGpu::open(FIRST).state()["sm_clock"], "1410 MHz");
    }
    let mut inner = inner("a_lock_holds_until_the_gpu_is_let_go", soft::gpu());
    let output = inner.output();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(inner.changes(), LOCKED_AND_RESET);
    let said = stderr(&output);
    let warning =
        "said: locking the clocks of GPU 0 until the end of the run; resetting them clears an earlier lock too";
    assert!(said.contains(warning), "{said}");
    assert!(said.contains("sudo nvidia-smi -i 0 --reset-gpu-clocks --reset-memory-clocks"), "{said}");
}

#[test]
fn a_release_resets_once() {
    if is_inner() {
        let gpu = NvmlGpu::open(FIRST);
        lock(&gpu, &Clocks { sm: Some(Clock::Base), memory_mhz: None });
        assert_eq!(gpu.state()["sm_clock"], "1095 MHz");
        gpu.release();
        return assert_eq!(gpu.locked(), Clocks::default());
    }
    let mut inner = inner("a_release_resets_once", soft::gpu());
    assert!(inner.output().status.success());
    assert_eq!(inner.changes(), ["SetGpuLockedClocks 0", "ResetGpuLockedClocks 0"]);
}

#[test]
fn a_panic_puts_the_clocks_back() {
    if is_inner() {
        let gpu = NvmlGpu::open(FIRST);
        lock(&gpu, &BOTH);
        panic!("on purpose");
    }
    let mut inner = inner("a_panic_puts_the_clocks_back", Softcuda::new());
    let output = inner.output();
    assert!(!output.status.success() && stderr(&output).contains("on purpose"), "{output:?}");
    assert_eq!(inner.changes(), LOCKED_AND_RESET);
}

/// A program that hangs with clocks locked; the first signal only asks.
#[test]
fn a_second_signal_ends_at_once_but_puts_the_clocks_back() {
    if is_inner() {
        let interrupt = Interrupt::watch().unwrap();
        let gpu = NvmlGpu::open(FIRST);
        lock(&gpu, &BOTH);
        println!("locked");
        while interrupt.signal().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        println!("asked");
        std::thread::sleep(Duration::from_secs(600));
    }
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let mut inner = inner("a_second_signal_ends_at_once_but_puts_the_clocks_back", Softcuda::new());
        let command = soft::hear_hang_up(&mut inner.command).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
        for word in ["locked", "asked"] {
            assert!(lines.any(|line| line.ends_with(word)), "{signal}: never {word}");
            assert_eq!(inner.changes(), LOCKED_AND_RESET[..2], "{signal}");
            assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        }
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert_eq!(inner.changes(), LOCKED_AND_RESET, "{signal}");
    }
}

#[test]
fn without_permission_nothing_is_locked_and_root_is_told_what_to_do() {
    if is_inner() {
        let gpu = NvmlGpu::open(FIRST);
        lock(&gpu, &BOTH);
        return assert_eq!(gpu.locked(), Clocks::default());
    }
    let gpu = Softcuda::new().no_permission(true).devices(2);
    let mut inner = inner("without_permission_nothing_is_locked_and_root_is_told_what_to_do", gpu);
    let output = inner.output();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        inner.changes(),
        ["SetGpuLockedClocks 4", "SetMemoryLockedClocks 4"],
        "what was not locked is not reset"
    );
    let said = stderr(&output);
    assert!(said.contains("sudo nvidia-smi -i 1 --lock-gpu-clocks=1395,1395"), "{said}");
    assert!(said.contains("sudo nvidia-smi -i 1 --lock-memory-clocks=1215,1215"), "{said}");
}

#[test]
fn a_reset_that_fails_is_said() {
    if is_inner() {
        return lock(&NvmlGpu::open(FIRST), &BOTH);
    }
    let fault = Fault::call("nvmlDeviceResetGpuLockedClocks").returns("NVML_ERROR_GPU_IS_LOST");
    let mut inner = inner("a_reset_that_fails_is_said", Softcuda::new().fault(fault));
    let said = stderr(&inner.output());
    assert!(said.contains("the SM clock is still locked") && said.contains("--reset-gpu-clocks"), "{said}");
    assert_eq!(inner.changes().last().unwrap(), "ResetMemoryLockedClocks 0", "the other is reset all the same");
}

/// The calls that a lock makes, each failing once: no panic, one line, and nothing locked that is not reset.
#[test]
fn nvml_may_fail_at_any_call() {
    if is_inner() {
        let gpu = NvmlGpu::open(FIRST);
        gpu.settings();
        gpu.state();
        gpu.reading();
        gpu.notes();
        return lock(&gpu, &BOTH);
    }
    let mut clean = inner("nvml_may_fail_at_any_call", Softcuda::new());
    assert!(clean.output().status.success());
    let trace = std::fs::read_to_string(clean.trace()).unwrap();
    let mut calls: Vec<&str> = trace.lines().filter_map(|line| line.strip_prefix("nvml ")?.split(' ').next()).collect();
    calls.sort();
    calls.dedup();
    assert!(calls.len() > 20, "{calls:?}");
    for call in calls {
        for status in ["NVML_ERROR_NOT_SUPPORTED", "NVML_ERROR_GPU_IS_LOST"] {
            let fault = Fault::call(call).returns(status);
            let mut inner = inner("nvml_may_fail_at_any_call", Softcuda::new().fault(fault.clone()));
            let output = inner.output();
            assert!(output.status.success(), "{fault}: {output:?}");
            let changes = inner.changes();
            let count = |word: &str| changes.iter().filter(|line| line.contains(word) && line.ends_with(" 0")).count();
            let failed = usize::from(call.contains("Reset"));
            assert_eq!(count("SetGpu"), count("ResetGpu") + failed * usize::from(call.contains("Gpu")), "{fault}");
            assert_eq!(count("SetMem"), count("ResetMem") + failed * usize::from(call.contains("Mem")), "{fault}");
        }
    }
}
