//! Running the binary, and reading what it leaves behind.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

pub type Record = HashMap<String, String>;

/// The binary in a folder of its own.
pub struct Program {
    pub folder: TempDir,
}

impl Program {
    pub fn new() -> Program {
        Program { folder: tempfile::tempdir().unwrap() }
    }

    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layertime"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path());
        // What else runs on the machine is not to change what is printed.
        command.env("LAYERTIME_PROC", "/nonexistent");
        command
    }

    pub fn output(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Writes a model description into the folder.
    pub fn model(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// alexnet with narrow vectors, as a file: whole, most of its time goes into 58 million numbers. CI verifies the whole one.
    pub fn narrow_alexnet(&self) -> PathBuf {
        let described = stdout(&self.output("inspect alexnet --toml"));
        let narrow = described.replace("outputs = 4096", "outputs = 96");
        assert!(narrow != described && narrow.contains("relu7"), "{described}");
        let file = self.folder.path().join("alexnet.toml");
        std::fs::write(&file, narrow).unwrap();
        file
    }

    /// The one run that was made.
    pub fn run_folder(&self) -> PathBuf {
        let mut runs = runs_in(&self.folder.path().join("results"));
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }
}

/// The folders of runs in a folder.
pub fn runs_in(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_dir()).collect()
}

/// A quick sweep of the smallest network.
pub const QUICK: &str = "run --model tiny --device cpu --max-time 200ms --target 100%";

pub fn records(file: &Path) -> Vec<Record> {
    let mut reader = csv::Reader::from_path(file).unwrap();
    reader.deserialize().map(|record| record.unwrap()).collect()
}

pub fn number(record: &Record, column: &str) -> f64 {
    record[column].parse().unwrap_or_else(|_| panic!("{column} is `{}` in {record:?}", record[column]))
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// One line that holds all of these words, nothing on stdout, and this exit code.
pub fn assert_refused(output: &Output, code: i32, words: &[&str]) {
    let message = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    assert_eq!(stdout(output), "");
    assert!(words.iter().all(|word| message.contains(word)), "{words:?} not all in: {message}");
    let lines = message.lines().filter(|line| !line.trim().is_empty()).count();
    // clap adds its usage line and a pointer to --help.
    assert!(lines == 1 || message.contains("--help"), "{message}");
}
