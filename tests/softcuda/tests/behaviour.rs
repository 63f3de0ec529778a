//! The device as an unmodified program meets it: through the loader, under the runner. The program is
//! `src/bin/softcuda-client.rs`.

use std::process::{Command, Output};

/// Runs a scenario of the client under softcuda with some knobs.
fn client(scenario: &str, knobs: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softcuda"));
    command
        .args([env!("CARGO_BIN_EXE_softcuda-client"), scenario])
        .env("SOFTCUDA_STRICT", "1")
        .envs(knobs.iter().copied());
    command.output().expect("the runner starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The scenario fails, and stderr says why.
#[track_caller]
fn assert_caught(scenario: &str, knobs: &[(&str, &str)], words: &[&str]) {
    let output = client(scenario, knobs);
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{scenario} passed: {stderr}");
    for word in words {
        assert!(stderr.contains(word), "{scenario}: no `{word}` in: {stderr}");
    }
}

#[test]
fn a_right_program_runs_clean() {
    let output = client("good", &[]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
    let output = client("good", &[("SOFTCUDA_POOLS", "0")]);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
}

#[test]
fn work_on_the_wrong_stream_reads_what_is_not_there_yet() {
    assert_caught("wrong-stream", &[], &["add_f32", "uninitialised", "ILLEGAL_ADDRESS"]);
}

#[test]
fn swapped_arguments_are_caught() {
    assert_caught("swapped", &[], &["add_f32", "PTX line", "uninitialised"]);
}

#[test]
fn an_access_out_of_bounds_is_caught_with_its_thread() {
    assert_caught("out-of-bounds", &[], &["out of bounds", "thread 1000"]);
}

#[test]
fn a_use_after_free_is_caught() {
    assert_caught("use-after-free", &[], &["freed before"]);
}

#[test]
fn a_leak_is_reported_at_exit() {
    assert_caught("leak", &[], &["left at exit: 4000 bytes of device memory"]);
}

#[test]
fn a_read_before_the_copy_is_done_sees_nan() {
    let output = client("early-read", &[]);
    assert_eq!(text(&output.stdout), "before NaN after -1\n");
}

#[test]
fn a_held_stream_runs_when_released() {
    let output = client("held", &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_caught("held", &[("SOFTCUDA_STREAM_MEMORY_OPS", "0")], &["CUDA_ERROR_NOT_SUPPORTED"]);
}

/// Two launches of 1.5 and 2.25 µs by script: the events and the host's clock both say 3.75 µs.
#[test]
fn a_virtual_clock_follows_its_script() {
    let script = std::env::temp_dir().join(format!("softcuda-clock-{}", std::process::id()));
    std::fs::write(&script, "add_f32 1.5 2.25\n* 7\n").expect("a temporary file");
    let output = client("timed", &[("SOFTCUDA_CLOCK", &script.to_string_lossy())]);
    std::fs::remove_file(&script).expect("still there");
    // 14 µs went by before: the upload and the fill
    assert_eq!(text(&output.stdout), "device 0.00375 ms, host 17.75µs\n", "{}", text(&output.stderr));
}

#[test]
fn faults_come_where_they_are_asked_for() {
    for (fault, words) in [
        ("cuInit@1=CUDA_ERROR_NO_DEVICE", "NO_DEVICE"),
        ("cuStreamCreate@1=CUDA_ERROR_OUT_OF_MEMORY", "OUT_OF_MEMORY"),
        ("cuLaunchKernel@1=CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "LAUNCH_OUT_OF_RESOURCES"),
        ("cuLaunchKernel@1~CUDA_ERROR_LAUNCH_FAILED", "LAUNCH_FAILED"),
        ("cuModuleLoadData@1=218", "INVALID_PTX"),
        ("lost@12", "DEVICE_UNAVAILABLE"),
    ] {
        assert_caught("good", &[("SOFTCUDA_FAULTS", fault)], &[words]);
    }
}

/// Neither of these faults is a leak of the caller's.
#[test]
fn what_a_fault_keeps_from_being_freed_is_no_leak() {
    for fault in ["cuMemFreeAsync@1=CUDA_ERROR_INVALID_VALUE", "lost@12", "cuLaunchKernel@1~CUDA_ERROR_LAUNCH_FAILED"] {
        let stderr = text(&client("good", &[("SOFTCUDA_FAULTS", fault)]).stderr);
        assert!(!stderr.contains("left at exit"), "{fault}: {stderr}");
    }
}

#[test]
fn memory_runs_out_where_told() {
    assert_caught("good", &[("SOFTCUDA_MEMORY", "6000")], &["OUT_OF_MEMORY"]);
}

#[test]
fn a_knob_that_cannot_be_read_is_refused() {
    assert_caught("good", &[("SOFTCUDA_FAULTS", "cuInit")], &["not CALL@N=STATUS"]);
    assert_caught("good", &[("SOFTCUDA_FAULTS", "cuInit@1=CUDA_ERROR_BOGUS")], &["is none of"]);
    assert_caught("good", &[("SOFTCUDA_MEMORY", "lots")], &["not a number"]);
}

#[test]
fn a_trace_lists_every_call_with_its_status() {
    let file = std::env::temp_dir().join(format!("softcuda-trace-{}", std::process::id()));
    client("good", &[("SOFTCUDA_TRACE", &file.to_string_lossy())]);
    let trace = std::fs::read_to_string(&file).expect("a trace");
    std::fs::remove_file(&file).expect("still there");
    for line in ["cuda cuInit CUDA_SUCCESS", "# add_f32 grid [1, 1, 1]", "cuda cuLaunchKernel CUDA_SUCCESS"] {
        assert!(trace.contains(line), "no `{line}` in: {trace}");
    }
}
