//! The device as an unmodified program meets it: through the loader. The program is `examples/vector_add`; it is part of
//! this test too, which runs itself once more as that program.

#[path = "../examples/vector_add/program.rs"]
mod vector_add;

use softcuda::FindingKind::{self, *};
use softcuda::{Clock, Fault, Findings, Library, Script, Softcuda};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Names the scenario in the process that is the program.
const SCENARIO: &str = "VECTOR_ADD";

/// The program, in the process that has a scenario.
#[test]
fn program() {
    if let Ok(scenario) = std::env::var(SCENARIO) {
        std::process::exit(vector_add::start(&scenario));
    }
}

/// Makes a command the program with a scenario.
fn as_program<'a>(command: &'a mut Command, scenario: &str) -> &'a mut Command {
    command.args(["--exact", "program", "--nocapture"]).env(SCENARIO, scenario)
}

fn this_test() -> PathBuf {
    std::env::current_exe().expect("this test's own path")
}

/// A device that ends the process with status 97 where it finds something.
fn strict() -> Softcuda {
    Softcuda::new().strict(true)
}

/// Runs a scenario of the program.
fn run(scenario: &str, device: &Softcuda) -> Output {
    let mut command = device.command(this_test()).expect("softcuda is built");
    as_program(&mut command, scenario).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file of this process's own.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("softcuda-{}-{name}", std::process::id()))
}

/// Runs a scenario that must fail; its findings and what it said on stderr.
#[track_caller]
fn fails(scenario: &str, device: Softcuda) -> (Findings, String) {
    static REPORTS: AtomicUsize = AtomicUsize::new(0);
    let report = file(&format!("report-{}", REPORTS.fetch_add(1, Ordering::Relaxed)));
    let device = device.report(&report);
    let output = run(scenario, &device);
    let (findings, stderr) = (device.findings().expect("a report"), text(&output.stderr));
    assert!(!output.status.success(), "{scenario} passed: {stderr}");
    assert!(findings.iter().all(|finding| stderr.contains(&finding.text)), "{stderr}");
    if !findings.is_empty() {
        std::fs::remove_file(&report).expect("still there");
    }
    (findings, stderr)
}

/// A finding of the right kind that says where, and nothing else but leaks of what the error kept from being freed.
#[track_caller]
fn assert_caught(scenario: &str, kind: FindingKind, words: &[&str]) {
    let (findings, _) = fails(scenario, strict());
    let first = findings.first().unwrap_or_else(|| panic!("{scenario}: no finding"));
    assert_eq!(first.kind, kind, "{scenario}: {findings}");
    assert!(words.iter().all(|word| first.text.contains(word)), "{scenario}: {words:?} not all in {first}");
}

#[test]
fn a_right_program_runs_clean() {
    for device in [strict(), strict().memory_pools(false)] {
        let output = run("good", &device);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        assert!(device.findings().expect("no report").is_empty());
    }
}

#[test]
fn work_on_the_wrong_stream_reads_what_is_not_there_yet() {
    assert_caught("wrong-stream", UninitialisedRead, &["add: PTX line"]);
}

#[test]
fn swapped_arguments_are_caught() {
    assert_caught("swapped", UninitialisedRead, &["add: PTX line"]);
}

#[test]
fn an_access_out_of_bounds_is_caught_with_its_thread() {
    assert_caught("out-of-bounds", OutOfBounds, &["thread 1000"]);
}

#[test]
fn a_use_after_free_is_caught() {
    assert_caught("use-after-free", UseAfterFree, &["add: argument 0"]);
}

#[test]
fn a_leak_is_reported_at_exit() {
    let (findings, _) = fails("leak", strict());
    assert!(findings.iter().all(|finding| finding.kind == Leak), "{findings}");
    assert!(findings[0].text.starts_with("left at exit: 4000 bytes of device memory"), "{findings}");
}

/// Without strictness the exit status is the program's own; the findings are the same.
#[test]
fn strictness_is_the_exit_status_only() {
    let report = file("lenient");
    let device = Softcuda::new().report(&report);
    assert!(run("leak", &device).status.success());
    let first = device.findings().expect("a report");
    assert_eq!(run("leak", &device.clone().strict(true)).status.code(), Some(97));
    assert_eq!(device.findings().expect("a report").of_kind(Leak).count(), 2 * first.len(), "a report is appended to");
    std::fs::remove_file(&report).expect("still there");
}

#[test]
fn a_read_before_the_copy_is_done_sees_nan() {
    let output = run("early-read", &strict());
    assert!(text(&output.stdout).ends_with("before NaN after -1\n"), "{output:?}");
}

#[test]
fn a_held_stream_runs_when_released() {
    let output = run("held", &strict());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (findings, stderr) = fails("held", strict().stream_memory_ops(false));
    assert!(findings.is_empty() && stderr.contains("CUDA_ERROR_NOT_SUPPORTED"), "{stderr}");
}

#[test]
fn a_stream_that_is_never_released_is_ended() {
    let (findings, stderr) = fails("stuck", strict().hang(Duration::from_secs(1)));
    assert_eq!(findings.kinds().first(), Some(&Hang), "{findings}");
    assert!(stderr.contains("CUDA_ERROR_LAUNCH_TIMEOUT"), "{stderr}");
}

/// Two launches of 1.5 and 2.25 µs by script: the events and the host's clock both say 3.75 µs.
#[test]
fn a_virtual_clock_follows_its_script() {
    let [first, second, other] = [1500, 2250, 7000].map(Duration::from_nanos);
    let script = Script::new().takes("add", [first, second]).takes("*", [other]);
    let output = run("timed", &strict().clock(Clock::Script(script)));
    // 14 µs went by before: the upload and the fill
    assert!(text(&output.stdout).ends_with("device 0.00375 ms, host 17.75µs\n"), "{}", text(&output.stderr));
}

/// The same script in a file.
#[test]
fn a_script_may_be_a_file() {
    let file = file("clock");
    std::fs::write(&file, "add 1.5 2.25\n* 7\n").expect("a temporary file");
    let output = run("timed", &strict().clock(Clock::File(file.clone())));
    std::fs::remove_file(&file).expect("still there");
    assert!(text(&output.stdout).ends_with("device 0.00375 ms, host 17.75µs\n"), "{}", text(&output.stderr));
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
        let (_, stderr) = fails("good", strict().fault(fault));
        assert!(stderr.contains(words), "no {words} in: {stderr}");
    }
}

/// None of these faults is a leak of the caller's.
#[test]
fn what_a_fault_keeps_from_being_freed_is_no_leak() {
    for (fault, kinds) in [
        (Fault::call("cuMemFreeAsync").returns("CUDA_ERROR_INVALID_VALUE"), vec![]),
        (Fault::device_lost(12), vec![]),
        (Fault::call("cuLaunchKernel").work_fails("CUDA_ERROR_LAUNCH_FAILED"), vec![RequestedFault]),
    ] {
        let report = file(&format!("fault-{}", kinds.len()));
        let device = strict().report(&report).fault(fault.clone());
        run("good", &device);
        assert_eq!(device.findings().expect("a report").kinds(), kinds, "{fault}");
        let _ = std::fs::remove_file(&report);
    }
}

#[test]
fn a_fault_that_never_comes_is_an_error() {
    let error = strict().fault(Fault::call("cuMemAloc").returns("2")).command("true").expect_err("no such call");
    assert!(error.to_string().contains("cuMemAloc is not exported"), "{error}");
}

#[test]
fn memory_runs_out_where_told() {
    let (findings, stderr) = fails("good", strict().memory(6000));
    assert!(findings.is_empty() && stderr.contains("OUT_OF_MEMORY"), "{stderr}");
}

/// The runner on the command line takes the variables as they are.
#[test]
fn the_runner_reads_the_environment() {
    let runner = |name: &str, value: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_softcuda"));
        let output = as_program(command.arg(this_test()), "good").env(name, value).output().expect("the runner starts");
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
    let file = file("trace");
    run("good", &strict().trace(&file));
    let trace = std::fs::read_to_string(&file).expect("a trace");
    std::fs::remove_file(&file).expect("still there");
    for line in ["cuda cuInit CUDA_SUCCESS", "# add grid [1, 1, 1]", "cuda cuLaunchKernel CUDA_SUCCESS"] {
        assert!(trace.contains(line), "no `{line}` in: {trace}");
    }
}

/// A program that looks for an old cuDNN first finds the file that the test laid there; softcuda itself has other names.
#[test]
fn a_test_chooses_what_lies_in_the_folder() {
    let device =
        strict().cublas(12, 9).without(Library::Nvml).also_named("libcudnn.so.8").beside("libcudnn.so", "/old");
    let folder = device.folder().expect("softcuda is built");
    let target = |name: &str| std::fs::read_link(folder.join(name)).ok();
    let own = softcuda::library().expect("softcuda is built");
    for name in ["libcuda.so.1", "libcublas.so.12", "libcublasLt.so.12", "libcudnn.so.9", "libcudnn.so.8"] {
        assert_eq!(target(name), Some(own.clone()), "{name}");
    }
    assert_eq!(target("libcudnn.so"), Some("/old".into()));
    assert_eq!([target("libcublas.so.13"), target("libnvidia-ml.so.1")], [None, None]);
    assert_ne!(folder, strict().folder().expect("softcuda is built"));
}

/// The loader finds every function of COVERAGE.md.
#[test]
fn every_function_is_exported() {
    let path = softcuda::library().expect("softcuda is built");
    // SAFETY: softcuda's own library, whose initialisers do nothing; symbols are looked up and not used.
    let library = unsafe { libloading::Library::new(&path) }.expect("it opens");
    let page = softcuda::coverage();
    let names: Vec<&str> = page.lines().filter(|line| line.starts_with("cu") || line.starts_with("nvml")).collect();
    assert!(names.len() > 200, "{}", names.len());
    for name in names {
        // SAFETY: as above.
        assert!(unsafe { library.get::<*const ()>(name) }.is_ok(), "{name} is not in {}", path.display());
    }
}
