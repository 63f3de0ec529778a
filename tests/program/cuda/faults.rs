//! Every call that a run makes fails once, early and late: what happens then is one clear line, and nothing is left behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use softcuda::{Clock, Fault, FindingKind, Findings, Softcuda};

use super::soft::{self, QUICK};
use crate::program::{Program, records};

/// A run that has batch 1 and is to measure batch 2: its ceilings are there already, and its rows must stay.
struct Prepared {
    program: Program,
    options: &'static str,
    phases: String,
}

/// How a run with a fault ended: with it what phases.csv holds.
struct Attempt {
    output: Output,
    phases: String,
    findings: Findings,
}

impl Prepared {
    fn new(options: &'static str) -> Prepared {
        let program = Program::new();
        let output = soft::output(&program, &format!("{QUICK} --batch 1 {options}"), &soft::gpu());
        assert!(output.status.success(), "{output:?}");
        let phases = std::fs::read_to_string(program.run_folder().join("phases.csv")).unwrap();
        Prepared { program, options, phases }
    }

    /// Goes on with batch 2 in a copy of the folder.
    fn go_on(&self, gpu: Softcuda) -> Attempt {
        let copy = tempfile::tempdir_in(self.program.folder.path()).unwrap();
        for entry in std::fs::read_dir(self.program.run_folder()).unwrap() {
            let file = entry.unwrap().path();
            std::fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        }
        let gpu = gpu.report(copy.path().join("findings"));
        let arguments = format!("{QUICK} --batch 1,2 {} --resume {}", self.options, copy.path().display());
        let mut child = soft::command(&self.program, &arguments, &gpu)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("it hangs: {gpu:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        let phases = std::fs::read_to_string(copy.path().join("phases.csv")).unwrap();
        Attempt { output, phases, findings: gpu.findings().unwrap() }
    }

    /// How often the run calls each function, and each kernel it launches, without a fault.
    fn calls(&self) -> BTreeMap<(String, String), u64> {
        let file = self.program.folder.path().join("trace.txt");
        let Attempt { output, .. } = self.go_on(soft::gpu().trace(&file));
        assert!(output.status.success(), "{output:?}");
        let mut calls = BTreeMap::new();
        for line in std::fs::read_to_string(&file).unwrap().lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split(' ').collect();
            if let [library, call, _status] = words[..] {
                *calls.entry((library.to_owned(), call.to_owned())).or_default() += 1;
            }
        }
        calls
    }
}

/// A status of a library that says nothing about memory.
fn status(library: &str, late: bool) -> &'static str {
    match (library, late) {
        ("cuda", false) => "CUDA_ERROR_INVALID_VALUE",
        ("cuda", true) => "CUDA_ERROR_LAUNCH_FAILED",
        ("cublas", false) => "CUBLAS_STATUS_INTERNAL_ERROR",
        ("cublas", true) => "CUBLAS_STATUS_EXECUTION_FAILED",
        ("cudnn", false) => "CUDNN_STATUS_NOT_SUPPORTED",
        ("cudnn", true) => "CUDNN_STATUS_EXECUTION_FAILED",
        _ => "999",
    }
}

/// Tells if nothing can be said or done about a failure: giving back, and asking what is only reported.
fn may_pass(call: &str) -> bool {
    ["Free", "Destroy", "Unload", "Release"].iter().any(|word| call.contains(word)) || call.starts_with("nvml")
}

/// Holds whatever fails: no panic, no leak, and the rows that were there before.
fn assert_orderly(Attempt { output, phases, findings }: &Attempt, prepared: &Prepared, fault: &Fault) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{fault}: {stderr}");
    assert_eq!(findings.of_kind(FindingKind::Leak).next(), None, "{fault}");
    assert!(phases.starts_with(&prepared.phases), "{fault}: rows of batch 1 are gone");
    assert!(matches!(output.status.code(), Some(0 | 1)), "{fault}: {:?} {stderr}", output.status);
    if output.status.code() == Some(1) {
        assert_eq!(soft::own_lines(output).len(), 1, "{fault}: {stderr}");
    }
}

/// Fails the first and a late use of each call that `wanted` takes; how many faults were tried.
fn fail_each(prepared: &Prepared, wanted: impl Fn(&str, &str) -> bool) -> usize {
    let mut tried = 0;
    for ((library, call), uses) in prepared.calls().iter().filter(|((library, call), _)| wanted(library, call)) {
        let late = uses - uses / 3;
        let uses = if late > 1 { vec![(1, false), (late, true)] } else { vec![(1, false)] };
        for (nth, is_late) in uses {
            let fault = Fault::call(call).nth(nth).returns(status(library, is_late));
            let attempt = prepared.go_on(soft::gpu().fault(fault.clone()));
            assert_orderly(&attempt, prepared, &fault);
            let Attempt { output, .. } = attempt;
            let said = soft::own_lines(&output).join("\n");
            let named = said.contains(call.trim_end_matches("_v2")) && said.contains(status(library, is_late));
            let passes = may_pass(call) || passes_unsaid(call);
            assert!(output.status.code() == Some(1) && named || passes, "{fault}: {:?} {said}", output.status);
            tried += 1;
        }
    }
    tried
}

/// A figure that is only reported may be missing from the report; an offer of cuDNN's whose workspace it then cannot tell is passed over; and
/// before a search its guesses only say how much scratch to take. A graph that is not supported, and an engine that fails, are passed over too;
/// `graph.rs` shows when not.
fn passes_unsaid(call: &str) -> bool {
    call == "cuMemGetInfo_v2"
        || call.starts_with("cudnnBackend")
        || call.ends_with("WorkspaceSize")
        || call.ends_with("Algorithm_v7")
}

#[test]
fn driver_calls() {
    let tried = fail_each(&Prepared::new(""), |library, _| library == "cuda");
    println!("{tried} faults of the driver tried");
    assert!(tried >= 40, "{tried}");
}

#[test]
fn cudnn_and_cublas_calls() {
    let graph = fail_each(&Prepared::new(""), |library, _| matches!(library, "cudnn" | "cublas"));
    let legacy = fail_each(&Prepared::new("--cudnn legacy"), |_, call| call.contains("Convolution"));
    println!("{} faults of cuDNN and cuBLAS tried", graph + legacy);
    assert!(graph >= 50 && legacy >= 20, "{graph} {legacy}");
}

/// Work that fails on the device is seen when the step is waited for, and no later step runs.
#[test]
fn work_that_fails_later() {
    let prepared = Prepared::new("--precision f16");
    for call in ["cuLaunchKernel", "cudnnBackendExecute", "cublasGemmEx", "cudnnPoolingBackward"] {
        for nth in [1, 5] {
            let fault = Fault::call(call).nth(nth).work_fails("CUDA_ERROR_ILLEGAL_ADDRESS");
            // The fault itself is a finding of softcuda's, so strictness would hide the exit code; leaks are looked for all the same.
            let attempt = prepared.go_on(soft::gpu().strict(false).fault(fault.clone()));
            assert_orderly(&attempt, &prepared, &fault);
            assert_eq!(attempt.findings.kinds(), [FindingKind::RequestedFault], "{fault}");
            let Attempt { output, .. } = attempt;
            let said = soft::own_lines(&output).join("\n");
            assert!(output.status.code() == Some(1) && said.contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{fault}: {said}");
        }
    }
}

#[test]
fn a_lost_device() {
    let prepared = Prepared::new("");
    for nth in [1, 20, 150, 300, 600, 1000] {
        let fault = Fault::device_lost(nth);
        let attempt = prepared.go_on(soft::gpu().fault(fault.clone()));
        assert_orderly(&attempt, &prepared, &fault);
        let Attempt { output, .. } = attempt;
        let said = soft::own_lines(&output).join("\n");
        assert!(output.status.code() == Some(1) && said.starts_with("error: "), "{fault}: {said}");
    }
}

/// In the ceilings, before there is a folder.
#[test]
fn ceilings_that_fail_leave_no_folder() {
    for (call, status) in [
        ("cublasGemmEx", "CUBLAS_STATUS_INTERNAL_ERROR"),
        ("cuMemsetD8Async", "CUDA_ERROR_NOT_SUPPORTED"),
        ("cuMemcpyDtoDAsync_v2", "CUDA_ERROR_INVALID_VALUE"),
    ] {
        let program = Program::new();
        let gpu = soft::gpu().fault(Fault::call(call).returns(status));
        let output = soft::output(&program, &format!("{QUICK} --batch 1"), &gpu);
        soft::assert_refused(&output, 1, &[call, status]);
        assert!(!Path::new(&program.folder.path().join("results")).exists());
    }
}

/// An error in the middle of a sweep leaves the batches before it.
#[test]
fn rows_before_an_error_stay() {
    let program = Program::new();
    // Batch 1 runs 21 steps of eight convolutions; they are chosen without a run.
    let fault = Fault::call("cudnnBackendExecute").nth(21 * 8 + 1).returns("CUDNN_STATUS_EXECUTION_FAILED");
    let gpu = soft::gpu().clock(Clock::Virtual).fault(fault);
    let output = soft::output(&program, &format!("{QUICK} --batch 1,2 --algorithms heuristic"), &gpu);
    let named = ["batch 2", "conv1", "forward", "cudnnBackendExecute", "CUDNN_STATUS_EXECUTION_FAILED"];
    soft::assert_refused(&output, 1, &named);
    let rows = records(&program.run_folder().join("phases.csv"));
    assert!(!rows.is_empty() && rows.iter().all(|row| row["batch"] == "1"));
}

/// NVML only watches: whatever it refuses, the run goes on.
#[test]
fn nvml_calls() {
    let prepared = Prepared::new("");
    let tried = fail_each(&prepared, |library, _| library == "nvml");
    println!("{tried} faults of NVML tried");
    assert!(tried >= 20, "{tried}");
}

/// Kernels that a newer compiler made are refused by an older driver; the committed ones then serve.
#[test]
fn a_driver_older_than_the_compiler() {
    let program = Program::new();
    let fault = Fault::call("cuModuleLoadData").nth(2).returns("CUDA_ERROR_UNSUPPORTED_PTX_VERSION");
    let output = soft::output(&program, &format!("{QUICK} --batch 1"), &soft::gpu().fault(fault));
    assert!(output.status.success(), "{output:?}");
    let run = std::fs::read_to_string(program.run_folder().join("run.json")).unwrap();
    assert!(run.contains("committed (NVRTC 12.9)"), "{run}");
}
