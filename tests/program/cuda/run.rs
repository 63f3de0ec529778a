//! Whole runs: the folder that each precision leaves, and how steps are launched.

use std::collections::HashSet;

use softcuda::{Clock, Softcuda};

use super::soft::{self, QUICK};
use crate::program::{Program, Record, number, records, stdout};

fn phases(program: &Program) -> Vec<Record> {
    records(&program.run_folder().join("phases.csv"))
}

#[test]
fn every_precision_gives_the_whole_folder() {
    for (precision, layout) in [("f32", "nchw"), ("tf32", "nhwc"), ("f16", "nhwc"), ("bf16", "nhwc")] {
        let program = Program::new();
        // With the machine's own clock a busy machine can make a batch noisy, and the verdict another.
        let arguments = format!("{QUICK} --precision {precision} --batch 1,2 --samples");
        let output = soft::output(&program, &arguments, &soft::gpu().clock(Clock::Virtual));
        assert_eq!(output.status.code(), Some(0), "{precision}: {output:?}");
        assert!(stdout(&output).contains("of the training step at batch "), "{}", stdout(&output));
        for file in ["phases.csv", "summary.csv", "samples.csv", "run.json"] {
            assert!(program.run_folder().join(file).exists(), "{file}");
        }
        let rows = phases(&program);
        let own = |row: &Record| {
            ["precision", "layout", "launch"].map(|column| row[column].clone()) == [precision, layout, "queued"]
                && row["device"].starts_with("softcuda")
        };
        assert!(rows.iter().all(|row| own(row) && number(row, "mean_us") > 0.0), "{rows:?}");
        // The scale of the loss is f16's alone.
        let scale: Vec<&Record> = rows.iter().filter(|row| row["phase"] == "loss_scale").collect();
        assert_eq!(scale.len(), if precision == "f16" { 2 } else { 0 }, "one per batch");
        assert!(scale.iter().all(|row| row["layer"] == "loss" && row["group"] == "other"));
    }
}

/// f32 may not round to TF32: cuDNN's search offers its default math, which would.
#[test]
fn legacy_algorithms_have_the_math_of_the_precision() {
    for (precision, expected) in [("f32", "FMA_MATH"), ("tf32", "TENSOR_OP_MATH"), ("bf16", "TENSOR_OP_MATH")] {
        let program = Program::new();
        let arguments = format!("{QUICK} --precision {precision} --batch 2 --cudnn legacy");
        assert!(soft::output(&program, &arguments, &soft::gpu()).status.success());
        let rows = phases(&program);
        let convolutions = rows.iter().filter(|row| row["kind"] == "conv" && row["phase"] != "weight_update");
        let math: HashSet<&str> = convolutions.filter_map(|row| row["algorithm"].split(' ').nth(1)).collect();
        assert_eq!(math, HashSet::from([expected]), "{precision}");
    }
}

/// fc6 of tiny at batch 1: 16 inputs, 10 outputs, 160 weights. Forward moves 16 + 170 + 10 elements; the update reads weight,
/// momentum and gradient and writes weight and momentum, in f32, and with f16 a gradient half as large and a copy.
#[test]
fn bytes_follow_the_precision() {
    for (precision, forward, update) in [("f32", 4 * 196, 20 * 170), ("f16", 2 * 196, (16 + 2 + 2) * 170)] {
        let program = Program::new();
        assert!(
            soft::output(&program, &format!("{QUICK} --batch 1 --precision {precision}"), &soft::gpu())
                .status
                .success()
        );
        let rows = phases(&program);
        let bytes = |phase: &str| {
            let row = rows.iter().find(|row| row["layer"] == "fc6" && row["phase"] == phase).unwrap();
            number(row, "bytes") as usize
        };
        assert_eq!((bytes("forward"), bytes("weight_update")), (forward, update), "{precision}");
    }
}

/// How many calls of a name a trace holds.
fn calls(trace: &str, name: &str) -> usize {
    trace.lines().filter(|line| line.split(' ').nth(1) == Some(name)).count()
}

fn trace(program: &Program, arguments: &str, gpu: Softcuda) -> String {
    let file = program.folder.path().join("trace.txt");
    let output = soft::output(program, arguments, &gpu.trace(&file));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::read_to_string(file).unwrap()
}

/// Six pairs of held steps, each pair with a live one; warm-up is never held.
#[test]
fn steps_are_held_until_they_are_enqueued() {
    // By a virtual clock marks cost nothing, and no step follows that is marked by group.
    let gpu = || soft::gpu().clock(Clock::Virtual);
    let held = trace(&Program::new(), &format!("{QUICK} --batch 1"), gpu());
    assert_eq!(calls(&held, "cuStreamWaitValue32_v2"), 12);
    let live = trace(&Program::new(), &format!("{QUICK} --batch 1 --launch live"), gpu());
    assert_eq!(calls(&live, "cuStreamWaitValue32_v2"), 0);
    // Without stream memory operations a kernel waits.
    let kernel = trace(&Program::new(), &format!("{QUICK} --batch 1"), gpu().stream_memory_ops(false));
    assert_eq!(calls(&kernel, "cuStreamWaitValue32_v2"), 0);
    assert_eq!(kernel.lines().filter(|line| line.starts_with("# hold ")).count(), 12);
}

/// Under a profiler a held step waits for the watchdog: one does, and is noted. A held launch that blocks must not keep the watchdog
/// out.
#[test]
fn launches_that_block_are_held_once() {
    for ops in [true, false] {
        let program = Program::new();
        let gpu = soft::gpu().serial(true).stream_memory_ops(ops);
        let trace = trace(&program, &format!("{QUICK} --batch 1"), gpu);
        let waits = trace.lines().filter(|line| line.starts_with("# hold ")).count();
        assert_eq!(calls(&trace, "cuStreamWaitValue32_v2") + waits, 1, "{ops}");
        let run = std::fs::read_to_string(program.run_folder().join("run.json")).unwrap();
        assert!(run.contains("a held step was let go before everything was enqueued"), "{run}");
    }
}

#[test]
fn blocking_launches_make_steps_live() {
    let program = Program::new();
    let run = |value: &str| {
        let mut command = soft::command(&program, &format!("{QUICK} --batch 1 --out {value}"), &soft::gpu());
        let output = command.env("CUDA_LAUNCH_BLOCKING", value).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    assert!(run("1").contains("note: CUDA_LAUNCH_BLOCKING is set"));
    assert!(!run("0").contains("CUDA_LAUNCH_BLOCKING"));
}

/// At this learning rate the first step leaves weights beyond f16, and every later one is skipped.
#[test]
fn skipped_steps_are_noted() {
    for (rate, skips) in [("1e6", true), ("0.01", false)] {
        let program = Program::new();
        let arguments = format!("{QUICK} --batch 1 --precision f16 --learning-rate {rate}");
        let output = soft::output(&program, &arguments, &soft::gpu().clock(Clock::Virtual));
        assert!(output.status.success(), "{output:?}");
        let note =
            "note: batch 1, image 16x16: loss scaling skipped 18 measured steps: their weight_update took no time";
        assert_eq!(stdout(&output).contains(note), skips, "{}", stdout(&output));
    }
}

/// Every event has timing and every operation its place: none is recorded or waited for that this program did not ask for.
#[test]
fn nothing_is_enqueued_behind_our_back() {
    let program = Program::new();
    // A search of engines records events of its own.
    let arguments = format!("{QUICK} --batch 1 --algorithms heuristic");
    let trace = trace(&program, &arguments, soft::gpu().clock(Clock::Virtual));
    let ops = phases(&program).len();
    // Three warm-up steps, six plain and six live ones with two marks each; six timed ones with a mark per boundary and one more;
    // the ceilings with two around each of seven rounds of warm-up, the products, a first copy and the copies.
    assert_eq!(calls(&trace, "cuEventRecord"), 2 * 15 + 6 * (ops + 2) + 2 * (7 + 3));
    assert_eq!(calls(&trace, "cuStreamWaitEvent"), 0);
    // The clock is stamped in the step's own stream, at both ends of each timed step.
    assert_eq!(calls(&trace, "cuStreamCreate"), 1);
    assert_eq!(trace.lines().filter(|line| line.starts_with("# clock_stamp ")).count(), 2 * 6);
}

#[test]
fn legacy_convolutions_keep_to_their_limits() {
    let algorithms = |options: &str| {
        let program = Program::new();
        let output = soft::output(&program, &format!("{QUICK} --batch 2 --cudnn legacy {options}"), &soft::gpu());
        assert!(output.status.success(), "{output:?}");
        let rows = phases(&program);
        let conv = rows.into_iter().filter(|row| row["kind"] == "conv" && row["phase"] != "weight_update");
        conv.map(|row| (row["algorithm"].clone(), number(&row, "workspace_bytes"))).collect::<Vec<_>>()
    };
    let free = algorithms("");
    assert!(free.iter().any(|(_, bytes)| *bytes > 0.0) && free.iter().any(|(name, _)| name.contains("WINOGRAD")));
    assert!(algorithms("--workspace-limit 0").iter().all(|(_, bytes)| *bytes == 0.0));
    let fixed = algorithms("--deterministic --algorithms heuristic");
    let loose = ["BWD_DATA_ALGO_0 ", "BWD_FILTER_ALGO_0 ", "BWD_FILTER_ALGO_3 "];
    assert!(fixed.iter().all(|(name, _)| !loose.iter().any(|loose| name.starts_with(loose))), "{fixed:?}");
}

/// PyTorch's default: TF32 convolutions, IEEE f32 products.
#[test]
fn fully_connected_layers_in_a_precision_of_their_own() {
    let program = Program::new();
    let run = format!("{QUICK} --batch 2 --precision tf32 --fc-precision f32 --cudnn legacy");
    let output = soft::output(&program, &run, &soft::gpu());
    assert!(output.status.success(), "{output:?}");
    let rows = phases(&program);
    assert!(!rows.is_empty() && rows.iter().all(|row| row["precision"] == "tf32+f32"), "{rows:?}");
    let conv = rows.iter().find(|row| row["kind"] == "conv" && row["phase"] == "forward").unwrap();
    assert!(conv["algorithm"].ends_with(" TENSOR_OP_MATH"), "{conv:?}");
    let verify = "verify --device cuda --model tiny --precision tf32 --fc-precision f32";
    assert!(soft::output(&Program::new(), verify, &soft::gpu()).status.success());
    let refused = soft::output(&Program::new(), &format!("{QUICK} --precision f16 --fc-precision f32"), &soft::gpu());
    soft::assert_refused(&refused, 2, &["--fc-precision f32", "--precision f16"]);
}
