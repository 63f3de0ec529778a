//! NVTX ranges for a profiler: `batch N`, layer, phase, nested.

use std::collections::BTreeMap;

use softcuda::{Clock, Softcuda};

use super::soft::{self, QUICK, gpu};
use crate::program::{Program, assert_refused, records};

const LIBRARY: &str = "libnvtx3interop.so.1";

/// The calls of a run, each with the ranges around it, one list per step.
struct Steps(Vec<Vec<(Vec<String>, String)>>);

impl Steps {
    fn of(trace: &str) -> Steps {
        let (mut ranges, mut steps): (Vec<String>, Vec<_>) = (Vec::new(), Vec::new());
        for line in trace.lines() {
            match (line.strip_prefix("# range "), line) {
                (Some(name), _) => {
                    if ranges.is_empty() {
                        steps.push(Vec::new());
                    }
                    ranges.push(name.to_owned());
                }
                (None, "nvtx nvtxRangePop") => assert!(ranges.pop().is_some(), "more ends than beginnings"),
                (None, "nvtx nvtxRangePushA") => {}
                (None, call) if !ranges.is_empty() => {
                    steps.last_mut().unwrap().push((ranges.clone(), call.to_owned()));
                }
                (None, _) => {}
            }
        }
        assert_eq!(ranges, [""; 0], "left open");
        Steps(steps)
    }

    /// Steps that have a mark after each phase.
    fn timed(&self) -> usize {
        let marks = |step: &&Vec<(Vec<String>, String)>| {
            step.iter().filter(|(_, call)| call.starts_with("cuda cuEventRecord")).count() > 2
        };
        self.0.iter().filter(marks).count()
    }
}

fn run(program: &Program, arguments: &str, gpu: Softcuda, variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let trace = program.folder.path().join("trace");
    let mut command = soft::command(program, &format!("{QUICK} --batch 2 {arguments}"), &gpu.trace(&trace));
    command.env_remove("NVTX_INJECTION64_PATH").envs(variables.iter().copied());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    (std::fs::read_to_string(trace).unwrap(), soft::own_lines(&output))
}

#[test]
fn every_step_has_ranges_of_its_layers_and_phases_where_asked() {
    let program = Program::new();
    let (trace, _) = run(&program, "--nvtx", gpu().clock(Clock::Virtual).also_named(LIBRARY), &[]);
    let Steps(steps) = Steps::of(&trace);
    let rows = records(&program.run_folder().join("phases.csv"));
    let samples: usize = rows[0]["samples"].parse().unwrap();
    assert_eq!(Steps::of(&trace).timed(), samples);
    let wanted: Vec<[&str; 2]> = rows.iter().map(|row| [&*row["layer"], &*row["phase"]]).collect();
    for step in steps {
        let mut calls: BTreeMap<[&str; 2], usize> = BTreeMap::new();
        for (ranges, call) in &step {
            let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
            match ranges[..] {
                ["batch 2"] => assert!(!call.starts_with("# kernel") || call.contains("spin"), "{call} in no phase"),
                ["batch 2", layer, phase] => *calls.entry([layer, phase]).or_default() += 1,
                _ => panic!("{call} in {ranges:?}"),
            }
        }
        let mut found: Vec<[&str; 2]> = calls.into_keys().collect();
        let mut wanted = wanted.clone();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted);
    }
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(program.run_folder().join("run.json")).unwrap()).unwrap();
    assert_eq!(json["setup"]["options"]["nvtx"], "true", "runs with and without differ");
}

/// A profiler gets the layers of the warm-up; what is measured holds nothing of it.
#[test]
fn under_a_profiler_measured_steps_have_none() {
    let program = Program::new();
    let profiler = [("NVTX_INJECTION64_PATH", "/opt/profiler/libinjection.so")];
    let (trace, _) = run(&program, "", gpu().clock(Clock::Virtual).also_named(LIBRARY), &profiler);
    let steps = Steps::of(&trace);
    assert!(steps.0.len() >= 3, "a warm-up has three steps");
    assert_eq!(steps.timed(), 0);
    let last = trace.rfind("# range ").unwrap();
    let after = trace[last..].lines().filter(|line| line.starts_with("cuda cuEventRecord")).count();
    assert!(after > 50, "the measured steps come after the last range, with {after} marks");
}

#[test]
fn without_the_library_one_note_and_nothing_else() {
    let program = Program::new();
    let broken = program.folder.path().join("broken");
    std::fs::write(&broken, "no library").unwrap();
    let absent = || gpu().beside(LIBRARY, &broken).beside("libnvToolsExt.so.1", &broken);
    let (trace, _) = run(&program, "--nvtx", absent(), &[]);
    assert!(!trace.contains("range"));
    let note = |program: &Program| {
        let json: serde_json::Value =
            serde_json::from_slice(&std::fs::read(program.run_folder().join("run.json")).unwrap()).unwrap();
        let notes = json["machine"]["notes"].as_array().unwrap().clone();
        notes.iter().filter(|note| note.as_str().unwrap().contains("--nvtx")).cloned().collect::<Vec<_>>()
    };
    let notes = note(&program);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].as_str().unwrap().ends_with("pip install nvidia-nvtx"), "{notes:?}");
    for profiler in [&[][..], &[("NVTX_INJECTION64_PATH", "/opt/profiler/libinjection.so")]] {
        let program = Program::new();
        let (trace, _) = run(&program, "", absent(), profiler);
        assert!(!trace.contains("range") && note(&program).is_empty());
    }
}

#[test]
fn the_cpu_has_none() {
    let program = Program::new();
    let refused = program.output("run --model tiny --device cpu --nvtx");
    assert_refused(&refused, 2, &["the CPU has no NVTX ranges", "leave --nvtx out"]);
}
