//! Runs that version 0.1.0 wrote are read for ever: `tests/runs` holds one that was measured and one that was predicted.

use std::path::{Path, PathBuf};

use crate::program::{Program, QUICK, records, runs_in, stderr, stdout};

fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs").join(name)
}

/// The kept run as this machine would have written it, for a run only goes on where it began.
fn measured_here(program: &Program) -> PathBuf {
    let begun = program.output(&format!("{QUICK} --threads 1 --batch 1 --out here"));
    assert!(begun.status.success(), "{begun:?}");
    let here = runs_in(&program.folder.path().join("here")).remove(0);
    let run: serde_json::Value = serde_json::from_slice(&std::fs::read(here.join("run.json")).unwrap()).unwrap();
    let device = run["setup"]["device"].as_str().unwrap();
    let folder = program.folder.path().join("run");
    std::fs::create_dir(&folder).unwrap();
    for name in ["phases.csv", "summary.csv", "samples.csv", "run.json"] {
        let text = std::fs::read_to_string(kept("measured").join(name)).unwrap();
        let quoted = if device.contains(',') && name != "run.json" { format!("\"{device}\"") } else { device.into() };
        std::fs::write(folder.join(name), text.replace("AMD EPYC", &quoted)).unwrap();
    }
    folder
}

/// Every line of an old file begins a line of the new one, at the same place: columns that came since follow at the end.
#[track_caller]
fn assert_kept(old: &str, new: &str) {
    for (old, new) in old.lines().zip(new.lines()) {
        assert!(new.starts_with(old), "{old}\n{new}");
    }
}

#[test]
fn are_compared() {
    let (program, a, b) = (Program::new(), kept("measured"), kept("predicted"));
    let output = program.output(&format!("compare {} {} --wide", a.display(), b.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = stdout(&output);
    assert!(
        text.contains("device AMD EPYC | predicted: T4") && text.contains("training.learning_rate 0.01 | -"),
        "{text}"
    );
    let step = records(&a.join("summary.csv")).into_iter().find(|row| row["group"] == "all" && row["phase"] == "all");
    let ms = format!("{:.3}", step.unwrap()["mean_us"].parse::<f64>().unwrap() / 1e3);
    assert!(text.lines().any(|line| line.starts_with("1      step") && line.contains(&ms)), "{text}");
}

#[test]
fn are_drawn() {
    let program = Program::new();
    for (name, words) in [("measured", "tiny on AMD EPYC, f32, nhwc"), ("predicted", "tiny, predicted for T4, f32")] {
        let output = program.output(&format!("plot {} --html --out {name}", kept(name).display()));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{output:?}");
        let svg = std::fs::read_to_string(program.folder.path().join(name).join("shares.svg")).unwrap();
        assert!(svg.contains(words), "{svg}");
    }
}

#[test]
fn go_on() {
    let program = Program::new();
    let folder = measured_here(&program);
    let before = std::fs::read_to_string(folder.join("phases.csv")).unwrap();
    let output = program.output(&format!("run --resume {} --batch 1,2,4", folder.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let note = "note: resumed with layertime";
    assert!(
        stdout(&output).contains(note) && stdout(&output).contains("begun with layertime 0.1.0 (commit e3c98a20f5)")
    );
    let after = std::fs::read_to_string(folder.join("phases.csv")).unwrap();
    assert_kept(&before, &after);
    assert_eq!(after.lines().count(), 1 + 3 * (before.lines().count() - 1) / 2);
    let samples = |folder: &Path| std::fs::read_to_string(folder.join("samples.csv")).unwrap();
    assert_kept(samples(&kept("measured")).lines().next().unwrap(), &samples(&folder));
}

/// A file of a version that had a column less, as an old one looks to a version with a column more.
#[test]
fn go_on_without_a_column() {
    let program = Program::new();
    let folder = measured_here(&program);
    let old = std::fs::read_to_string(folder.join("phases.csv")).unwrap();
    let without = |line: &str| line.rsplit_once(',').unwrap().0.to_owned() + "\n";
    std::fs::write(folder.join("phases.csv"), old.lines().map(without).collect::<String>()).unwrap();
    for command in ["compare {run} {run} --batch 2", "plot {run} --out plots"] {
        let command =
            command.replace("{run} {run}", "{run} --with {kept}").replace("{run}", &folder.display().to_string());
        let output = program.output(&command.replace("{kept}", &kept("measured").display().to_string()));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let output = program.output(&format!("run --resume {} --batch 1,2,4", folder.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let after = std::fs::read_to_string(folder.join("phases.csv")).unwrap();
    assert_kept(&old, &after); // the column that was taken away is empty on the CPU
    assert_eq!(after.lines().count(), 1 + 3 * (old.lines().count() - 1) / 2);
}
