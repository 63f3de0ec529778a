//! A run's GPU settings: locked and put back, noted, and flagged where they or the GPU's state changed.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use softcuda::ThrottleReason::{HwSlowdown, HwThermal, PowerBrake, PowerCap, SwThermal};
use softcuda::{Clock, Fault, Softcuda};

use super::soft::{self, QUICK, own_lines};
use crate::program::{Program, Record, number, records, stdout};

/// A quick run of two batches, every one of which is exact enough after six pairs: time is scripted.
const EASY: &str = "run --model tiny --device cuda --max-time 1ms --min-samples 1 --target 100% --batch 1,2";

/// A run that must end well, and whose status does not depend on how busy this machine is.
fn run(arguments: &str, gpu: Softcuda) -> (Program, Output) {
    let program = Program::new();
    let output = soft::output(&program, arguments, &gpu.clock(Clock::Virtual));
    assert!(output.status.success(), "{output:?}");
    (program, output)
}

fn run_json(program: &Program) -> Value {
    serde_json::from_slice(&std::fs::read(program.run_folder().join("run.json")).unwrap()).unwrap()
}

fn notes(program: &Program) -> Vec<String> {
    let run = run_json(program);
    let text = |note: &Value| note.as_str().unwrap().to_owned();
    run["machine"]["notes"].as_array().unwrap().iter().map(text).collect()
}

/// The notes of a batch.
fn batch_notes(program: &Program, batch: u64) -> Vec<String> {
    let run = run_json(program);
    let point = run["points"].as_array().unwrap().iter().find(|point| point["batch"] == batch).unwrap();
    point["notes"].as_array().unwrap().iter().map(|note| note.as_str().unwrap().to_owned()).collect()
}

/// Any row of a batch: they have the conditions in common.
fn row(program: &Program, batch: &str) -> Record {
    let rows = records(&program.run_folder().join("phases.csv"));
    rows.into_iter().find(|row| row["batch"] == batch).unwrap()
}

/// The table's line on settings.
fn settings_line(output: &Output) -> String {
    stdout(output).lines().nth(1).unwrap().to_owned()
}

/// The calls that lock and reset, with their status (0 is success), from a trace.
fn lock_calls(program: &Program) -> Vec<String> {
    let trace = std::fs::read_to_string(program.folder.path().join("trace")).unwrap();
    let calls = trace.lines().filter(|line| line.contains("LockedClocks"));
    calls.map(|line| line.replace("nvml nvmlDevice", "")).collect()
}

/// A device that writes the trace that `lock_calls` reads.
fn traced() -> Softcuda {
    soft::gpu().trace("trace")
}

const SET_AND_RESET: [&str; 2] = ["SetGpuLockedClocks 0", "ResetGpuLockedClocks 0"];

/// 1400 MHz is no clock of the device, 1395 is; the kernel measures it within softcuda's own tolerance of 1 %.
#[test]
fn a_locked_run_says_so_everywhere_and_puts_the_clocks_back() {
    let (program, output) = run(&format!("{EASY} --lock-clocks 1400 --lock-memory-clock 1215"), soft::gpu());
    let expected = "clocks locked at 1395 MHz; memory clock locked at 1215 MHz; power limit 400 W; ECC on";
    assert_eq!(settings_line(&output), expected);
    assert_eq!(own_lines(&output).len(), 1, "the warning alone: {output:?}");
    let run = run_json(&program);
    assert_eq!(run["setup"]["options"]["lock_clocks"], "1395 MHz");
    assert_eq!(run["setup"]["options"]["lock_memory_clock"], "1215 MHz");
    for when in ["settings_before", "settings_after"] {
        assert_eq!(run["machine"][when]["sm_clock"], "1410 MHz", "{when}");
        assert_eq!(run["machine"][when]["persistence_mode"], "on", "{when}");
    }
    for batch in ["1", "2"] {
        let row = row(&program, batch);
        assert!((number(&row, "sm_clock_mhz") - 1395.0).abs() < 14.0, "{row:?}");
        assert_eq!((number(&row, "mem_clock_mhz"), number(&row, "temperature_c")), (1215.0, 41.0));
        assert_eq!((row["throttled_samples"].as_str(), row["status"].as_str()), ("0", "ok"));
    }
    assert_eq!(notes(&program), [""; 0]);
}

#[test]
fn an_unlocked_run_says_so() {
    let (program, output) = run(EASY, traced());
    assert!(settings_line(&output).starts_with("clocks not locked: compare shares, not times;"), "{output:?}");
    assert!(run_json(&program)["setup"]["options"].get("lock_clocks").is_none());
    assert_eq!(lock_calls(&program), [""; 0]);
}

#[test]
fn without_permission_the_run_goes_on_unlocked() {
    let (program, output) = run(&format!("{EASY} --lock-clocks base"), soft::gpu().no_permission(true));
    assert!(settings_line(&output).starts_with("clocks not locked"), "{output:?}");
    assert!(run_json(&program)["setup"]["options"].get("lock_clocks").is_none());
    assert_eq!(notes(&program), ["the SM clock is not locked, as --lock-clocks asked"]);
    let said = own_lines(&output).join("\n");
    assert!(said.contains("sudo nvidia-smi -i 0 --lock-gpu-clocks=tdp,tdp"), "{said}");
}

/// The first reading is that of the settings before; then each batch has one before its six pairs and one after each. The one
/// after the second pair is the fourth: the second and the third sample of batch 1 end or begin there.
#[test]
fn samples_under_a_slowdown_are_counted_and_kept() {
    for reason in [HwThermal, SwThermal, HwSlowdown, PowerBrake] {
        let (program, output) = run(EASY, soft::gpu().throttle(reason, 4..=4));
        let [first, second] = ["1", "2"].map(|batch| row(&program, batch));
        assert_eq!((first["throttled_samples"].as_str(), first["samples"].as_str()), ("2", "6"), "{reason:?}");
        assert_eq!((first["status"].as_str(), second["status"].as_str()), ("throttled", "ok"), "{reason:?}");
        assert_eq!(second["throttled_samples"], "0", "{reason:?}");
        assert!(stdout(&output).contains("throttled"), "{output:?}");
    }
}

#[test]
fn a_power_cap_is_noted_and_no_slowdown() {
    let (program, output) = run(EASY, soft::gpu().throttle(PowerCap, 4..=4));
    assert_eq!(row(&program, "1")["status"], "ok");
    assert_eq!(row(&program, "1")["throttled_samples"], "0");
    assert_eq!([row(&program, "1"), row(&program, "2")].map(|row| row["power_capped_samples"].clone()), ["2", "0"]);
    assert_eq!(batch_notes(&program, 1), ["the power limit held clocks down in 2 of 6 samples"]);
    assert_eq!(batch_notes(&program, 2), [""; 0]);
    assert!(stdout(&output).contains("note: batch 1, image 16x16: the power limit held"), "{output:?}");
}

/// Settings are read before the run, after each batch, and after the run: the third time is after batch 2.
#[test]
fn settings_that_change_are_said_in_table_csv_and_run_json() {
    let (program, output) = run(EASY, soft::gpu().power_limit(300, 3));
    let changed = "settings changed during the run: power_limit was 400 W, now 300 W";
    assert_eq!(["1", "2"].map(|batch| row(&program, batch)["status"].clone()), ["ok", "noisy"]);
    assert_eq!(batch_notes(&program, 1), [""; 0]);
    assert_eq!(batch_notes(&program, 2), [changed]);
    assert_eq!(notes(&program), [changed]);
    assert!(stdout(&output).contains(&format!("note: {changed}")), "{output:?}");
}

#[test]
fn other_processes_are_noted() {
    let (program, output) = run(EASY, soft::gpu().others(2));
    assert_eq!(notes(&program), ["other processes are on the GPU: 900001, 900002"]);
    assert!(stdout(&output).contains("note: other processes"), "{output:?}");
    let before = run_json(&program)["machine"]["settings_before"]["processes"].clone();
    assert!(before.as_str().unwrap().contains("900002 (1024 MiB)"), "{before}");
}

#[test]
fn without_nvml_the_run_goes_on_and_says_so() {
    let fault = Fault::call("nvmlInit_v2").from(1).returns("NVML_ERROR_DRIVER_NOT_LOADED");
    let (program, output) = run(&format!("{EASY} --lock-clocks base"), soft::gpu().fault(fault));
    let row = row(&program, "1");
    assert_eq!(["mem_clock_mhz", "temperature_c", "throttled_samples"].map(|column| row[column].as_str()), [""; 3]);
    assert!((number(&row, "sm_clock_mhz") - 1410.0).abs() < 14.0, "the kernel needs no NVML: {row:?}");
    let notes = notes(&program).join("\n");
    assert!(notes.contains("settings and slowdowns are unknown: NVML does not start"), "{notes}");
    assert!(settings_line(&output).starts_with("clocks not locked"), "{output:?}");
}

#[test]
fn a_run_is_resumed_under_its_own_clocks_alone() {
    let (program, _) = run(&format!("{QUICK} --batch 1 --lock-clocks 1395"), soft::gpu());
    let resume = format!("--batch 1,2 --resume {}", program.run_folder().display());
    let output = soft::output(&program, &format!("{QUICK} --lock-clocks max {resume}"), &soft::gpu());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let last = own_lines(&output).pop().unwrap();
    assert!(last.contains("lock_clocks was 1395 MHz, now 1410 MHz; give the same options"), "{last}");
    // An option that is not given again keeps its value.
    let output = soft::output(&program, &format!("run {resume}"), &soft::gpu());
    assert!(output.status.success() && own_lines(&output)[0].contains("locking the clocks"), "{output:?}");
}

/// The 200th launch fails: the network has fewer in the search and the fill, so it is in a step.
#[test]
fn an_error_puts_the_clocks_back() {
    let program = Program::new();
    let fault = Fault::call("cuLaunchKernel").nth(200).returns("CUDA_ERROR_LAUNCH_FAILED");
    let output = soft::output(&program, &format!("{QUICK} --batch 1 --lock-clocks max"), &traced().fault(fault));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(own_lines(&output).last().unwrap().contains("CUDA_ERROR_LAUNCH_FAILED"), "{output:?}");
    assert_eq!(lock_calls(&program), SET_AND_RESET);
}

#[test]
fn signals_end_the_run_and_put_the_clocks_back() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let program = Program::new();
        let endless = "run --model tiny --device cuda --batch 1 --max-time 1h --target 0.000001% --lock-clocks 1395";
        let mut command = soft::command(&program, endless, &traced());
        let command = soft::hear_hang_up(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let began = Instant::now();
        // Locked, and the step's kernels run.
        let runs = || std::fs::read_to_string(program.folder.path().join("trace")).is_ok_and(|t| t.contains("sgd_f32"));
        while !runs() {
            assert!(began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(lock_calls(&program), SET_AND_RESET, "{signal}");
        assert_eq!(run_json(&program)["state"], "interrupted", "{signal}");
    }
}
