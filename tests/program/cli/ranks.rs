//! Several ranks that train together. `.ci/mpi` starts them as processes.

use std::process::Output;

use crate::program::{Program, QUICK, assert_refused, records, stdout};

const LAUNCHERS: [[&str; 2]; 4] = [
    ["OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"],
    ["PMI_SIZE", "PMI_RANK"],
    ["SLURM_NTASKS", "SLURM_PROCID"],
    ["WORLD_SIZE", "RANK"],
];

/// A run that a launcher has started as this rank of so many.
fn launched(program: &Program, [size, rank]: [&str; 2], ranks: usize, number: usize) -> Output {
    let mut command = program.command(&format!("{QUICK} --batch 1"));
    command.env(size, ranks.to_string()).env(rank, number.to_string()).output().unwrap()
}

/// The first rank says how to build a program that knows of the others, which say nothing and do not fail before it.
#[cfg(not(feature = "mpi"))]
#[test]
fn several_ranks_want_the_feature() {
    for launcher in LAUNCHERS {
        let program = Program::new();
        let words = ["started 2 ranks", "cargo build --release --features mpi"];
        assert_refused(&launched(&program, launcher, 2, 0), 2, &words);
        let other = launched(&program, launcher, 2, 1);
        assert_eq!((other.status.code(), &*other.stdout, &*other.stderr), (Some(0), &b""[..], &b""[..]));
        assert!(!program.folder.path().join("results").exists());
    }
}

/// Its rows are those of a run without a launcher: no all_reduce, and nothing in the columns of ranks.
#[test]
fn one_rank_is_a_run_like_any_other() {
    let program = Program::new();
    let output = launched(&program, LAUNCHERS[0], 1, 0);
    assert!(output.status.success(), "{output:?}");
    assert!(!stdout(&output).contains("reduce") && !stdout(&output).contains("ranks"), "{output:?}");
    let rows = records(&program.run_folder().join("phases.csv"));
    assert!(rows.iter().all(|row| row["phase"] != "all_reduce"), "{rows:?}");
    assert!(rows.iter().all(|row| row["ranks"].is_empty() && row["rank_spread_pct"].is_empty()), "{rows:?}");
    let run = std::fs::read_to_string(program.run_folder().join("run.json")).unwrap();
    assert!(!run.contains("ranks") && !run.contains("reduce"), "{run}");
}

#[test]
fn ranks_train_as_one() {
    let program = Program::new();
    let alexnet = program.narrow_alexnet();
    let options = "--device cpu --threads 1 --image 63 --batch 1 --ranks 2";
    let output = program.output(&format!("verify --model {} {options}", alexnet.display()));
    let text = stdout(&output);
    assert!(output.status.success(), "{text}");
    for words in ["2 ranks of", "one rank at batch 2", "grad.conv1.weight", "updated.fc8.bias", "all_reduce", "PASS"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn what_ranks_cannot_do_is_one_clear_line() {
    let refuse = |arguments: &str, words: &[&str]| assert_refused(&Program::new().output(arguments), 2, words);
    for number in ["1", "0", "-1", "65", "two"] {
        refuse(&format!("verify --ranks {number}"), &["ranks", "from 2 to 64"]);
    }
    refuse("verify --ranks 2 --device cuda", &["more than one rank", "--device cpu"]);
    refuse("verify --ranks 2 --device cpu --precision f16", &["f16", "f32 alone"]);
    refuse("run --reduce overlap", &["overlap", "serial"]);
    let both = Program::new().output("verify --ranks 2 --reference a.safetensors");
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}
