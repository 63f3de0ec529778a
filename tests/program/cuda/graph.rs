//! Convolutions through cuDNN's graph API: the same numbers, engines that the rules permit, nothing left behind.

use std::collections::BTreeSet;
use std::path::Path;

use softcuda::{Clock, Fault};

use super::soft::{self, QUICK};
use crate::program::{Program, Record, records, stdout};

/// Grouped and asymmetric convolutions are in `verify.rs`, in every precision and layout. Mode A has nothing for grouped f32 forward: the
/// fallback serves, and so does the way through NCHW where there is no graph of NHWC.
#[test]
fn nhwc_without_a_graph_goes_by_way_of_nchw() {
    // A graph is the sixth descriptor to be finalized, after tensors, windows and the operation.
    let no_graph = Fault::call("cudnnBackendFinalize").nth(6).returns("CUDNN_STATUS_NOT_SUPPORTED");
    let options = "--layout nhwc --algorithms heuristic";
    let gpu = || soft::gpu().fault(no_graph.clone());
    let verify = format!("verify --device cuda --model tiny --batch 3 {options}");
    let output = soft::output(&Program::new(), &verify, &gpu());
    assert!(output.status.success(), "{}", stdout(&output));
    let program = Program::new();
    assert!(soft::output(&program, &format!("{QUICK} --batch 2 {options}"), &gpu()).status.success());
    let rows = records(&program.run_folder().join("phases.csv"));
    assert!(rows[0]["algorithm"].ends_with(" by way of NCHW"), "{:?}", rows[0]);
}

/// The rows of convolutions, but for their updates, of a run of a network.
fn convolutions(model: &str, options: &str) -> Vec<Record> {
    let program = Program::new();
    let gpu = soft::gpu().clock(Clock::Virtual).trace(program.folder.path().join("trace"));
    let quick = QUICK.replace("--model tiny", &format!("--model {model}"));
    let output = soft::output(&program, &format!("{quick} --batch 2 {options}"), &gpu);
    assert!(output.status.success(), "{options}: {output:?}");
    let trace = std::fs::read_to_string(program.folder.path().join("trace")).unwrap();
    assert!(trace.contains("cudnnBackendExecute") && !trace.contains("cudnnConvolutionForward"), "{options}");
    let rows = records(&program.run_folder().join("phases.csv")).into_iter();
    rows.filter(|row| row["kind"] == "conv" && row["phase"] != "weight_update").collect()
}

/// softcuda's engines: from 100 on they use tensor cores, 200 converts to half precision, backward's 0 and 3 sum in no fixed order.
#[test]
fn engines_keep_the_rules() {
    let groups = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/models/groups.toml");
    for model in ["tiny", groups.to_str().unwrap()] {
        for options in ["--precision f32", "--precision tf32", "--precision f16 --deterministic", "--deterministic"] {
            let rows = convolutions(model, options);
            assert!(!rows.is_empty());
            for row in rows {
                let engine: u32 = row["algorithm"].split(' ').nth(1).unwrap().parse().unwrap();
                assert!(row["algorithm"].starts_with("engine ") && engine != 200, "{options}: {row:?}");
                assert!(options.contains("tf32") || options.contains("f16") || engine < 100, "{options}: {row:?}");
                let varies = row["phase"].starts_with("backward") && [0, 3].contains(&engine);
                assert!(!options.contains("--deterministic") || !varies, "{options}: {row:?}");
            }
        }
    }
}

#[test]
fn the_workspace_is_within_the_limit() {
    let rows = convolutions("tiny", "--workspace-limit 0");
    assert!(rows.iter().all(|row| row["workspace_bytes"] == "0"), "{rows:?}");
    let free = convolutions("tiny", "");
    assert!(free.iter().any(|row| row["workspace_bytes"] != "0"), "{free:?}");
}

/// A call that fails on the way to the engines ends the run in one line; one of an engine's own does where no engine is left.
#[test]
fn every_call_may_fail() {
    let run = |fault: Fault, options: &str| {
        let arguments = format!("{QUICK} --batch 2 {options}");
        soft::output(&Program::new(), &arguments, &soft::gpu().clock(Clock::Virtual).fault(fault))
    };
    const FAILED: &str = "CUDNN_STATUS_INTERNAL_ERROR";
    for call in ["CreateDescriptor", "SetAttribute", "Finalize", "GetAttribute", "Execute"] {
        let call = format!("cudnnBackend{call}");
        let output = run(Fault::call(&call).from(1).returns(FAILED), "");
        soft::assert_refused(&output, 1, &[&call, FAILED, "conv"]);
        let late = run(Fault::call(&call).nth(40).returns(FAILED), "--algorithms heuristic");
        soft::assert_refused(&late, 1, &[&call, FAILED]);
    }
    // The search is over after 400 runs of engines: what fails then fails in a step.
    let output = run(Fault::call("cudnnBackendExecute").from(400).returns(FAILED), "");
    soft::assert_refused(&output, 1, &["cudnnBackendExecute", FAILED, "conv"]);
    let output = run(Fault::call("cudnnBackendExecute").nth(3).work_fails("CUDA_ERROR_ILLEGAL_ADDRESS"), "");
    assert_ne!(output.status.code(), Some(0), "{output:?}");
}

/// The first engine's plan cannot be made, the second's first run fails: others are there.
#[test]
fn engines_that_fail_are_passed_over() {
    const FAILED: &str = "CUDNN_STATUS_INTERNAL_ERROR";
    for fault in [
        // A graph has six descriptors and one of heuristics, which conv2's forward asks twice: eight graphs for their sizes, and one more, come
        // before the first plan.
        Fault::call("cudnnBackendFinalize").nth(8 * 7 + 1 + 7 + 1).returns(FAILED),
        Fault::call("cudnnBackendExecute").nth(1).returns("CUDNN_STATUS_EXECUTION_FAILED"),
    ] {
        let program = Program::new();
        let gpu = soft::gpu().clock(Clock::Virtual).fault(fault.clone());
        let output = soft::output(&program, &format!("{QUICK} --batch 2"), &gpu);
        assert!(output.status.success(), "{fault}: {output:?}");
        let rows = records(&program.run_folder().join("phases.csv"));
        // All take as long: without the fault the first that is permitted, 7, would be taken for conv1's forward.
        assert_eq!([&rows[0]["algorithm"], &rows[1]["algorithm"]], ["engine 2 k2=2", "engine 5 k2=1"], "{fault}");
    }
}

/// softcuda's clock says how long an engine takes. Two that are within 1 % do not take turns: cuDNN's order decides.
#[test]
fn near_ties_go_to_the_first_and_others_to_the_fastest() {
    // conv1's forward has engines 7, 2, 1 and 0: two runs each in the first round, then the best three ten each, the fastest first.
    let chosen = |second: [&str; 3]| {
        let runs = |us: &str, count: usize| [us].repeat(count).join(" ");
        let first = ["200", "90", "80", "95"].map(|us| runs(us, 2)).join(" ");
        let second = second.map(|us| runs(us, 10)).join(" ");
        let program = Program::new();
        let gpu = soft::gpu().clock(Clock::Script(format!("cudnnBackendExecute {first} {second}").parse().unwrap()));
        let output = soft::output(&program, &format!("{QUICK} --batch 2"), &gpu);
        assert!(output.status.success(), "{output:?}");
        records(&program.run_folder().join("phases.csv")).remove(0)["algorithm"].clone()
    };
    assert_eq!(chosen(["100", "90", "95"]), "engine 2 k2=2", "the second round decides");
    assert_eq!(chosen(["100", "102", "95"]), "engine 0 k2=0");
    assert_eq!(chosen(["100", "100.5", "120"]), "engine 2 k2=2", "cuDNN's order decides");
}

/// Graphs of cuDNN before 9.2 do not tell their scratch: the functions of before serve, and a note says so.
#[test]
fn an_older_cudnn_has_its_legacy_functions() {
    let old = || soft::gpu().driver(12, 9).cudnn(9, 1);
    let program = Program::new();
    let output = soft::output(&program, &format!("{QUICK} --batch 1"), &old());
    assert!(output.status.success(), "{output:?}");
    let text = stdout(&output);
    assert!(text.contains("note: convolutions went through cuDNN's older functions"), "{text}");
    let rows = records(&program.run_folder().join("phases.csv"));
    assert!(rows[0]["algorithm"].starts_with("FWD_ALGO_"), "{:?}", rows[0]);
    let refused = soft::output(&Program::new(), &format!("{QUICK} --cudnn graph"), &old());
    soft::assert_refused(&refused, 2, &["9.1", "9.2", "pip install nvidia-cudnn-cu12", "--cudnn legacy"]);
    let asked = soft::output(&Program::new(), &format!("{QUICK} --batch 1 --cudnn legacy"), &old());
    assert!(asked.status.success() && !stdout(&asked).contains("older functions"), "{asked:?}");
}

/// In NHWC each phase has three ways besides its own: by way of NCHW, and the image's three channels widened to four and eight. Scripted
/// times make each the fastest for some phase, whatever it computes is right, and the row says which it was.
#[test]
fn every_way_computes_the_same() {
    // In hundreds of µs, over and over; found by trial.
    const TIMES: [(&str, &str); 4] = [
        ("f32", "5 3 1 5 2 9 9 9 5 3 9 9 3 1 2 2 9"),
        ("f32", "3 5 2 5 9 5 2 5 1 2 9 5 5 9 1 1 2"),
        ("f32", "5 1 9 5 3 5 9 1 5 1 2 9 2 1 2 5 3"),
        ("f16", "5 3 1 5 2 9 9 9 5 3 9 9 3 1 2 2 9"),
    ];
    let mut seen = BTreeSet::new();
    for (precision, times) in TIMES {
        let us: Vec<String> = times.split(' ').map(|hundreds| format!("{hundreds}00")).collect();
        let script = format!("cudnnBackendExecute {}\n", us.join(" ")).parse().unwrap();
        let arguments = format!(
            "verify --device cuda --model tiny --layout nhwc --input-gradient --precision {precision} --batch 3 --wide"
        );
        let output = soft::output(&Program::new(), &arguments, &soft::gpu().clock(Clock::Script(script)));
        let text = stdout(&output);
        assert!(output.status.success(), "{precision}: {text}");
        for row in text.lines().filter(|row| row.contains("engine ")) {
            let way = [" by way of NCHW ", " with 4 channels ", " with 8 channels "]
                .into_iter()
                .find(|way| row.contains(way));
            let phase = row.split_whitespace().nth(1).unwrap().to_owned();
            seen.insert((phase, way.unwrap_or("own").trim().to_owned()));
        }
    }
    for phase in ["forward", "backward_data", "backward_weights"] {
        for way in ["own", "by way of NCHW", "with 4 channels", "with 8 channels"] {
            assert!(seen.contains(&(phase.to_owned(), way.to_owned())), "{phase} {way}: {seen:?}");
        }
    }
}
