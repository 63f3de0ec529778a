use std::fs;
use std::path::Path;

use super::*;
use crate::report::fixture;

fn run_with(points: &[usize], samples: bool) -> (tempfile::TempDir, Folder) {
    fixture::folder(fixture::run(samples), points.iter().map(|&batch| fixture::measured(batch)))
}

/// The points that the folder has in memory.
fn points(folder: &Folder) -> String {
    format!("{:?}", folder.run().points)
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn a_whole_run() {
    let (_out, mut folder) = run_with(&[1, 2], true);
    folder.append(&fixture::out_of_memory(64)).unwrap();
    folder.finish(RunState::Complete).unwrap();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    assert!(name.ends_with("Z-small-A-processor-with-a-comma-f32"), "{name}");
    let rows = [1, 2].map(fixture::measured).into_iter().chain([fixture::out_of_memory(64)]);
    let (phases, totals): (Vec<_>, Vec<_>) = rows.map(|one| fixture::rows(&folder.run().labels(), &one)).unzip();
    assert_eq!(text::read::<PhaseRow>(folder.path()).unwrap(), phases.concat());
    assert_eq!(text::read::<SummaryRow>(folder.path()).unwrap(), totals.concat());
    assert_eq!(read(folder.path(), "samples.csv").lines().count(), 1 + 2 * 2 * 11);
    let run = read_run(folder.path()).unwrap();
    assert_eq!(run.run_id, name);
    assert_eq!(run.state, RunState::Complete);
    assert_eq!(run.points.iter().map(|point| point.batch).collect::<Vec<_>>(), [1, 2, 64]);
    assert_eq!(run.points[0].closure, Some(1.125));
    // conv takes 24 and 26 µs, the step 50 both times.
    assert_eq!(run.points[0].stddev_us["conv/all"], 2f64.sqrt());
    assert_eq!((run.points[0].stddev_us["all/all"], run.points[2].stddev_us.len()), (0.0, 0));
    let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 4, "{files:?}");
}

#[test]
fn two_runs_in_one_second_have_two_folders() {
    let out = tempfile::tempdir().unwrap();
    let run = fixture::run(false);
    let first = Folder::create(out.path(), run.clone()).unwrap();
    let second = Folder::create(out.path(), run).unwrap();
    assert_ne!(first.path(), second.path());
    assert!(second.run().run_id.ends_with("-2"));
}

#[test]
fn names_cannot_leave_the_output_folder() {
    assert_eq!(file_name("../../etc/passwd", LONGEST), "etc-passwd");
    assert_eq!(file_name("AMD EPYC(tm) 9B45 @ 2.6 GHz", LONGEST), "AMD-EPYC-tm-9B45-2.6-GHz");
    assert_eq!(file_name(&"x".repeat(300), LONGEST).len(), 40);
}

/// Whatever byte of the header or of the last batch the machine died at, whichever file was being written: whole batches
/// stay, the torn one goes, and the finished run has the same rows as one that was never cut.
#[test]
fn torn_at_every_byte() {
    let (_out, whole) = run_with(&[1, 2], true);
    for name in ["samples.csv", "phases.csv", "summary.csv"] {
        let all = fs::read(whole.path().join(name)).unwrap();
        let text = String::from_utf8(all.clone()).unwrap();
        let first_batch = text.find(",2,4x4,").map(|at| text[..at].rfind('\n').unwrap() + 1).unwrap();
        let header = text.find('\n').unwrap();
        for length in (0..=header).chain(first_batch - 1..=all.len()) {
            fs::write(whole.path().join(name), &all[..length]).unwrap();
            let saved = read(whole.path(), run_file::FILE);
            let mut folder = Folder::resume(whole.path(), &fixture::run(true)).unwrap();
            assert_eq!(folder.has(1, [4, 4]), length >= first_batch, "{name} cut at {length}");
            assert_eq!(folder.has(2, [4, 4]), length == all.len(), "{name} cut at {length}");
            for batch in [1, 2] {
                if !folder.has(batch, [4, 4]) {
                    folder.append(&fixture::measured(batch)).unwrap();
                }
            }
            assert_eq!(read(whole.path(), name).into_bytes(), all, "{name} cut at {length}");
            assert_eq!(points(&folder), points(&whole));
            fs::write(whole.path().join(run_file::FILE), saved).unwrap();
        }
    }
}

/// The CSV files were flushed, run.json was not yet replaced.
#[test]
fn a_batch_that_run_json_does_not_name_is_measured_again() {
    let (_out, mut whole) = run_with(&[1], false);
    let before = read(whole.path(), run_file::FILE);
    whole.append(&fixture::measured(2)).unwrap();
    fs::write(whole.path().join(run_file::FILE), before).unwrap();
    let folder = Folder::resume(whole.path(), &fixture::run(false)).unwrap();
    assert!(folder.has(1, [4, 4]) && !folder.has(2, [4, 4]));
    assert_eq!(read(whole.path(), "phases.csv").lines().count(), 1 + 11);
}

#[test]
fn only_a_run_that_is_alike_is_resumed() {
    let (_out, whole) = run_with(&[1], false);
    let mut other = fixture::run(false);
    fixture::measurement(&mut other).threads = Some(1);
    let error = Folder::resume(whole.path(), &other).unwrap_err().to_string();
    assert!(error.contains("threads was 2, now 1; give the same options"), "{error}");
    let error = Folder::resume(Path::new("/nonexistent"), &other).unwrap_err().to_string();
    assert!(error.contains("give the folder of a run"), "{error}");
    fs::write(whole.path().join("phases.csv"), "a,b\n1,2\n").unwrap();
    let error = format!("{:#}", Folder::resume(whole.path(), &fixture::run(false)).unwrap_err());
    assert!(error.contains("phases.csv") && error.contains("columns"), "{error}");
    assert_eq!(read(whole.path(), "phases.csv"), "a,b\n1,2\n", "what is foreign stays as it is");
}

#[test]
fn an_output_folder_that_is_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Folder::create(file.path(), fixture::run(false)).unwrap_err().to_string();
    assert!(error.contains("choose another with --out") && !error.contains('\n'), "{error}");
}

/// By hand: five steps of 50 µs and one of 250: mean 83.3.
#[test]
fn single_slow_steps_are_noted() {
    let (_out, mut folder) = run_with(&[1], false);
    let mut measured = fixture::measured(2);
    let usual = measured.samples[0].clone();
    let mut slow = usual.clone();
    slow.phases_us.iter_mut().for_each(|us| *us *= 5.0);
    measured.samples = vec![usual.clone(), usual.clone(), slow, usual.clone(), usual.clone(), usual];
    folder.append(&measured).unwrap();
    let notes =
        folder.run().points.iter().map(|point| point.record.as_ref().unwrap().notes.join("; ")).collect::<Vec<_>>();
    assert_eq!(notes, ["", "single steps were much slower than the median (mean 0.0833 ms, median 0.0500 ms)"]);
}

#[test]
fn another_program_that_resumes_is_noted() {
    let (_out, whole) = run_with(&[1], false);
    let mut later = fixture::run(false);
    let same = Folder::resume(whole.path(), &later).unwrap();
    assert_eq!(same.header().machine.notes, [""; 0]);
    fixture::header(&mut later).program =
        ProgramVersion { version: "9.9.9".into(), git_commit: Some("0123456789abcdef".into()) };
    let folder = Folder::resume(whole.path(), &later).unwrap();
    let notes = &folder.header().machine.notes;
    assert!(
        notes[0].starts_with("resumed with layertime 9.9.9 (commit 0123456789), begun with layertime "),
        "{notes:?}"
    );
    let saved = read_run(whole.path()).unwrap();
    assert_eq!(saved.resumed[1].program, fixture::header(&mut later).program.clone().into());
    assert_eq!(saved.program, whole.header().program);
}

/// `/dev/full` answers every write as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let (_out, mut folder) = run_with(&[1], true);
    let names = ["samples.csv", "phases.csv", "run.json"];
    let before = names.map(|name| read(folder.path(), name));
    let summary = folder.path().join("summary.csv");
    let saved = fs::read(&summary).unwrap();
    fs::remove_file(&summary).unwrap();
    std::os::unix::fs::symlink("/dev/full", &summary).unwrap();
    let error = format!("{:#}", folder.append(&fixture::measured(2)).unwrap_err());
    assert!(
        error.contains("summary.csv: No space left") && error.contains("make room there and go on with --resume"),
        "{error}"
    );
    assert_eq!(names.map(|name| read(folder.path(), name)), before);
    fs::remove_file(&summary).unwrap();
    fs::write(&summary, saved).unwrap();
    let mut folder = Folder::resume(folder.path(), &fixture::run(true)).unwrap();
    folder.append(&fixture::measured(2)).unwrap();
    assert!(folder.has(1, [4, 4]) && folder.has(2, [4, 4]));
}
