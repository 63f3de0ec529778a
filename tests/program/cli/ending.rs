//! However a run ends, what was measured is kept.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Program, QUICK, assert_refused, number, records, stderr, stdout};

/// A sweep whose batch 1 is saved and whose batch 2 goes on for an hour.
fn in_the_middle_of_a_batch(program: &Program) -> (Child, PathBuf) {
    let quick = program.output(&format!("{QUICK} --batch 1 --samples"));
    assert!(quick.status.success(), "{quick:?}");
    let folder = program.run_folder();
    let endless = "run --model tiny --device cpu --samples --max-time 1h --target 0.000001% --batch 1,2 --resume";
    let mut child = program
        .command(&format!("{endless} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while state(&folder) != "running" {
        assert!(began.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    (child, folder)
}

fn state(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("run.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap()["state"].as_str().unwrap().into()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

fn batches(folder: &Path, file: &str) -> Vec<String> {
    let mut batches: Vec<String> = records(&folder.join(file)).iter().map(|row| row["batch"].clone()).collect();
    batches.dedup();
    batches
}

fn assert_interrupted(name: &str, code: i32) {
    let program = Program::new();
    let (child, folder) = in_the_middle_of_a_batch(&program);
    signal(&child, name);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    assert!(stdout(&output).contains("conv"), "the measured batches are shown: {}", stdout(&output));
    assert_eq!(state(&folder), "interrupted");
    for file in ["phases.csv", "summary.csv", "samples.csv"] {
        assert_eq!(batches(&folder, file), ["1"], "{file}");
    }
}

#[test]
fn ctrl_c_keeps_the_measured_batches() {
    assert_interrupted("-INT", 130);
}

#[test]
fn sigterm_keeps_the_measured_batches() {
    assert_interrupted("-TERM", 143);
}

#[test]
fn a_killed_run_is_resumed_with_the_options_it_had() {
    let program = Program::new();
    let (mut child, folder) = in_the_middle_of_a_batch(&program);
    let before = std::fs::read_to_string(folder.join("phases.csv")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // As if the machine had died while the second batch was being written.
    for file in ["phases.csv", "summary.csv", "samples.csv"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let torn = text.lines().nth(1).unwrap().split_at(40).0;
        std::fs::write(folder.join(file), format!("{text}{torn}")).unwrap();
    }
    let output = program.output(&format!("run --resume {}", folder.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(state(&folder), "complete");
    assert_eq!(
        std::fs::read_to_string(folder.join("phases.csv")).unwrap(),
        before,
        "batch 1 was all that was asked for"
    );
    let output = program.output(&format!("{QUICK} --samples --batch 1,2 --resume {}", folder.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(batches(&folder, "summary.csv"), ["1", "2"]);
    assert!(
        std::fs::read_to_string(folder.join("phases.csv")).unwrap().starts_with(&before),
        "batch 1 is not measured again"
    );
}

#[test]
fn another_run_is_not_resumed() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1")).status.success());
    let folder = program.run_folder();
    let output = program.output(&format!("{QUICK} --batch 1 --seed 7 --resume {}", folder.display()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr(&output).contains("seed was 1, now 7;"), "{}", stderr(&output));
    let output = program.output(&format!("run --out there --resume {}", folder.display()));
    assert_refused(&output, 2, &["--out", "--resume"]);
}

/// Options beside --resume count one by one, also where they are the defaults.
#[test]
fn options_beside_resume() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1 --seed 7")).status.success());
    let folder = program.run_folder();
    let refused = program.output(&format!("run --seed 1 --resume {}", folder.display()));
    assert_refused(&refused, 1, &["cannot resume", "seed was 7, now 1;"]);
    let more = program.output(&format!("run --batch 1,2 --resume {}", folder.display()));
    assert_eq!(more.status.code(), Some(0), "{more:?}");
    assert_eq!(batches(&folder, "summary.csv"), ["1", "2"]);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let program = Program::new();
    for arguments in ["inspect vgg19 --csv", "inspect vgg19", &format!("{QUICK} --batch 1")] {
        let mut child = program.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut message = String::new();
        child.stderr.take().unwrap().read_to_string(&mut message).unwrap();
        assert_eq!((child.wait().unwrap().code(), message.as_str()), (Some(0), ""), "{arguments}");
    }
    assert_eq!(state(&program.run_folder()), "complete");
}

/// The folder `results` as a disk of its own, unmounted at the end, also of a test that fails.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Needs root; continuous integration has it.
    fn mounted(program: &Program, size: &str) -> Option<SmallDisk> {
        let results = program.folder.path().join("results");
        std::fs::create_dir(&results).unwrap();
        let size = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&results).output();
        if !mount.is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("CI").is_none(), "cannot mount a tmpfs");
            return None;
        }
        Some(SmallDisk(results))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status();
        assert!(std::thread::panicking() || unmounted.is_ok_and(|status| status.success()), "{}", self.0.display());
    }
}

#[test]
fn a_full_disk_is_one_clear_line() {
    let program = Program::new();
    let Some(disk) = SmallDisk::mounted(&program, "40k") else {
        return eprintln!("not root: no tmpfs to fill");
    };
    let output = program.output(&format!("{QUICK} --samples --batch 1,2,4,8"));
    let folder = program.run_folder();
    let saved = batches(&folder, "summary.csv");
    let phases = batches(&folder, "phases.csv");
    let mean = records(&folder.join("phases.csv")).iter().all(|row| number(row, "mean_us") > 0.0);
    drop(disk);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let message = stderr(&output);
    assert!(message.contains("space") && message.contains("--resume"), "{message}");
    assert_eq!(message.trim().lines().count(), 1, "{message}");
    assert!(mean && saved == phases && saved.len() < 4, "{saved:?} {phases:?}");
}

/// A stderr that cannot be written changes neither what is done nor the exit code.
#[cfg(target_os = "linux")]
#[test]
fn a_full_or_closed_stderr_changes_nothing() {
    let cases = [
        ("run --model tiny --device auto --batch 1 --max-time 1ms".to_owned(), 0),
        ("verify --model no-such-model".to_owned(), 2),
        ("run --batch 0".to_owned(), 2),
        ("plot no-such-folder".to_owned(), 1),
    ];
    for (arguments, code) in cases {
        let program = Program::new();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = program.command(&arguments).stdout(std::process::Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments} on a full stderr");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = program.command(&arguments).stdout(std::process::Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments} on a closed stderr");
    }
}

/// One page holds the first file alone.
#[test]
fn a_disk_full_from_the_start_gives_no_advice_that_cannot_work() {
    let program = Program::new();
    let Some(disk) = SmallDisk::mounted(&program, "4k") else {
        return eprintln!("not root: no tmpfs to fill");
    };
    let output = program.output(&format!("{QUICK} --batch 1"));
    let left = crate::program::runs_in(&disk.0);
    drop(disk);
    assert_refused(&output, 1, &["cannot save a run in results", "No space left", "--out"]);
    assert!(!stderr(&output).contains("--resume") && left.is_empty(), "{output:?} {left:?}");
}

/// Every file of a folder, by name.
fn files(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect()
}

/// Nothing is missing from a complete run, so nothing changes: its table is printed again.
#[test]
fn a_complete_run_stays_as_it_is() {
    let program = Program::new();
    let first = program.output(&format!("{QUICK} --batch 1,2"));
    assert!(first.status.success());
    let folder = program.run_folder();
    let before = files(&folder);
    for _ in 0..2 {
        let output = program.output(&format!("run --resume {}", folder.display()));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(stderr(&output), "nothing is missing from this run: no batch was measured\n");
        let tables = |output: &std::process::Output| stdout(output).rsplit_once("saved in ").unwrap().0.to_owned();
        assert_eq!(tables(&output), tables(&first));
        assert!(files(&folder) == before, "a byte changed");
    }
}

/// A repository that the program is started in has no untracked files afterwards; a folder that was there is left alone.
#[test]
fn a_run_leaves_no_untracked_files() {
    let program = Program::new();
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(program.folder.path()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    git(&["init", "--quiet"]);
    let output = program.output(&format!("{QUICK} --batch 1"));
    assert!(stdout(&output).contains("saved in results/"), "{output:?}");
    assert_eq!(git(&["status", "--porcelain"]), "");
    std::fs::create_dir(program.folder.path().join("mine")).unwrap();
    assert!(program.output(&format!("{QUICK} --batch 1 --out mine")).status.success());
    assert!(!program.folder.path().join("mine/.gitignore").exists());
}

/// Two networks under a limit of addresses: what is small is measured, and what even one image does not fit is said to be so.
#[cfg(target_os = "linux")]
#[test]
fn advice_that_helps_within_a_limit_of_addresses() {
    let limited = |kib: usize, arguments: &str| {
        let program = Program::new();
        let line = format!("ulimit -v {kib}; exec {} {arguments}", env!("CARGO_BIN_EXE_layertime"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &line]).env("LAYERTIME_PROC", "/nonexistent").current_dir(program.folder.path());
        shell.output().unwrap()
    };
    // 61 million parameters, their gradients and momentum alone take 699 MiB.
    for command in ["run --max-time 1ms", "verify"] {
        let output = limited(600_000, &format!("{command} --model alexnet --device cpu --threads 1 --batch 1"));
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(message.contains("ulimit -v") && !message.contains("choose a smaller batch"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    let output = limited(400_000, &format!("{QUICK} --threads 1 --batch 1"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// The reference takes more memory than the session, and allocates it piece by piece. Whatever the limit, either all of it
/// is there, or one line says what to do.
#[cfg(target_os = "linux")]
#[test]
fn verify_within_a_limit_of_addresses() {
    let program = Program::new();
    let layers =
        "[[layer]]\nname = \"fc\"\nkind = \"fc\"\noutputs = 640\n[[layer]]\nname = \"loss\"\nkind = \"softmax_loss\"\n";
    program.model("wide.toml", &format!("name = \"wide\"\ninput = [3, 32, 32]\n{layers}"));
    let ends: Vec<&str> = (1..=7)
        .map(|step| {
            let verify =
                format!("exec {} verify --model wide.toml --device cpu --threads 1", env!("CARGO_BIN_EXE_layertime"));
            let mut shell = Command::new("sh");
            shell
                .args(["-c", &format!("ulimit -v {}; {verify}", 40_000 + 20_000 * step)])
                .current_dir(program.folder.path());
            let output = shell.output().unwrap();
            let message = stderr(&output);
            match output.status.code() {
                Some(0) => "verified",
                Some(1) if message.lines().count() == 1 && message.contains("reference") => "no room for the reference",
                Some(1) if message.lines().count() == 1 && message.contains("free") => "no room for the session",
                _ => panic!("{output:?}"),
            }
        })
        .collect();
    assert!(ends.contains(&"no room for the reference") && ends[6] == "verified", "{ends:?}");
}
