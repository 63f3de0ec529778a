//! The device as an unmodified program meets it: through the loader. The program is `examples/vector_add`.

use softcuda::{Clock, Fault, Script, Softcuda};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

/// The example, which `cargo test` builds too.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this test's own path");
    let program = test.parent().expect("a folder").with_file_name("examples").join("vector_add");
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    program
}

fn strict() -> Softcuda {
    Softcuda::new().strict(true)
}

/// Runs a scenario of the program.
fn run(scenario: &str, device: &Softcuda) -> Output {
    device.command(program()).expect("softcuda is built").arg(scenario).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The scenario fails, and stderr says why.
#[track_caller]
fn assert_caught(scenario: &str, device: &Softcuda, words: &[&str]) {
    let output = run(scenario, device);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{scenario} passed: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{scenario}: no `{word}` in: {stderr}");
    }
}

#[test]
fn a_right_program_runs_clean() {
    let output = run("good", &strict());
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    let output = run("good", &strict().memory_pools(false));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn work_on_the_wrong_stream_reads_what_is_not_there_yet() {
    assert_caught("wrong-stream", &strict(), &["add", "uninitialised", "ILLEGAL_ADDRESS"]);
}

#[test]
fn swapped_arguments_are_caught() {
    assert_caught("swapped", &strict(), &["add", "PTX line", "uninitialised"]);
}

#[test]
fn an_access_out_of_bounds_is_caught_with_its_thread() {
    assert_caught("out-of-bounds", &strict(), &["out of bounds", "thread 1000"]);
}

#[test]
fn a_use_after_free_is_caught() {
    assert_caught("use-after-free", &strict(), &["freed before"]);
}

#[test]
fn a_leak_is_reported_at_exit() {
    assert_caught("leak", &strict(), &["left at exit: 4000 bytes of device memory"]);
}

#[test]
fn a_read_before_the_copy_is_done_sees_nan() {
    let output = run("early-read", &strict());
    assert_eq!(text(&output.stdout), "before NaN after -1\n");
}

#[test]
fn a_held_stream_runs_when_released() {
    let output = run("held", &strict());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_caught("held", &strict().stream_memory_ops(false), &["CUDA_ERROR_NOT_SUPPORTED"]);
}

/// Two launches of 1.5 and 2.25 µs by script: the events and the host's clock both say 3.75 µs.
#[test]
fn a_virtual_clock_follows_its_script() {
    let [first, second, other] = [1500, 2250, 7000].map(Duration::from_nanos);
    let script = Script::new().takes("add", [first, second]).takes("*", [other]);
    let output = run("timed", &strict().clock(Clock::Script(script)));
    // 14 µs went by before: the upload and the fill
    assert_eq!(text(&output.stdout), "device 0.00375 ms, host 17.75µs\n", "{}", text(&output.stderr));
}

/// The same script in a file.
#[test]
fn a_script_may_be_a_file() {
    let file = std::env::temp_dir().join(format!("softcuda-clock-{}", std::process::id()));
    std::fs::write(&file, "add 1.5 2.25\n* 7\n").expect("a temporary file");
    let output = run("timed", &strict().clock(Clock::File(file.clone())));
    std::fs::remove_file(&file).expect("still there");
    assert_eq!(text(&output.stdout), "device 0.00375 ms, host 17.75µs\n", "{}", text(&output.stderr));
}

#[test]
fn faults_come_where_they_are_asked_for() {
    for (fault, words) in [
        (Fault::call("cuInit").returns("CUDA_ERROR_NO_DEVICE"), "NO_DEVICE"),
        (Fault::call("cuStreamCreate").returns("CUDA_ERROR_OUT_OF_MEMORY"), "OUT_OF_MEMORY"),
        (Fault::call("cuLaunchKernel").returns("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"), "LAUNCH_OUT_OF_RESOURCES"),
        (Fault::call("cuLaunchKernel").work_fails("CUDA_ERROR_LAUNCH_FAILED"), "LAUNCH_FAILED"),
        (Fault::call("cuModuleLoadData").returns("218"), "INVALID_PTX"),
        (Fault::device_lost(12), "DEVICE_UNAVAILABLE"),
    ] {
        assert_caught("good", &strict().fault(fault), &[words]);
    }
}

/// Neither of these faults is a leak of the caller's.
#[test]
fn what_a_fault_keeps_from_being_freed_is_no_leak() {
    for fault in [
        Fault::call("cuMemFreeAsync").returns("CUDA_ERROR_INVALID_VALUE"),
        Fault::device_lost(12),
        Fault::call("cuLaunchKernel").work_fails("CUDA_ERROR_LAUNCH_FAILED"),
    ] {
        let stderr = text(&run("good", &strict().fault(fault.clone())).stderr);
        assert!(!stderr.contains("left at exit"), "{fault}: {stderr}");
    }
}

#[test]
fn memory_runs_out_where_told() {
    assert_caught("good", &strict().memory(6000), &["OUT_OF_MEMORY"]);
}

/// The runner on the command line takes the variables as they are.
#[test]
fn the_runner_reads_the_environment() {
    let runner = |name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_softcuda"));
        let output = command.arg(program()).arg("good").env(name, value).output().expect("the runner starts");
        (output.status.code(), text(&output.stderr))
    };
    assert_eq!(runner("SOFTCUDA_STRICT", "1"), (Some(0), String::new()));
    for (name, value, why) in [
        ("SOFTCUDA_FAULTS", "cuInit", "not CALL@N=STATUS"),
        ("SOFTCUDA_FAULTS", "cuInit@1=CUDA_ERROR_BOGUS", "is none of"),
        ("SOFTCUDA_MEMORY", "lots", "not a number"),
    ] {
        let (status, stderr) = runner(name, value);
        assert!(status == Some(98) && stderr.contains(why), "{name}={value}: {status:?} {stderr}");
    }
}

#[test]
fn a_trace_lists_every_call_with_its_status() {
    let file = std::env::temp_dir().join(format!("softcuda-trace-{}", std::process::id()));
    run("good", &strict().trace(&file));
    let trace = std::fs::read_to_string(&file).expect("a trace");
    std::fs::remove_file(&file).expect("still there");
    for line in ["cuda cuInit CUDA_SUCCESS", "# add grid [1, 1, 1]", "cuda cuLaunchKernel CUDA_SUCCESS"] {
        assert!(trace.contains(line), "no `{line}` in: {trace}");
    }
}
