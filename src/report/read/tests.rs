use std::fs;
use std::path::PathBuf;

use super::*;
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::profile::summary::Scope;
use crate::profile::{Measured, Status};
use crate::report::rows::LabelColumns;
use crate::report::{csv as text, fixture};

/// The lines of a batch's phases, without a header.
fn lines(labels: &LabelColumns, measured: &Measured) -> String {
    String::from_utf8(text::lines::<PhaseRow>(fixture::rows(labels, measured).0).unwrap()).unwrap()
}

fn labels(run_id: &str, precision: &str) -> LabelColumns {
    LabelColumns { run_id: run_id.into(), precision: precision.into(), ..fixture::run(false).labels() }
}

fn header() -> String {
    text::header::<PhaseRow>()
}

fn read(contents: &str) -> Result<StoredRuns> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), contents).unwrap();
    open(file.path())
}

#[track_caller]
fn refused(contents: &str, words: &[&str]) {
    let error = format!("{:#}", read(contents).unwrap_err());
    assert!(words.iter().all(|word| error.contains(word)) && !error.contains('\n'), "{error}");
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let measured = [2, 1].map(fixture::measured).into_iter().chain([fixture::out_of_memory(64)]);
    let (out, mut folder) = fixture::folder(fixture::run(false), measured);
    folder.finish(RunState::Complete).unwrap();
    let path = folder.path().to_owned();
    (out, path)
}

/// The fixture's step takes 50 µs, conv 24 and 26 of them; its first phase is conv1's forward.
#[test]
fn a_folder_comes_back() {
    let (_out, path) = folder();
    let reading = open(&path).unwrap();
    let run = &reading.runs[0];
    assert_eq!((reading.notes.len(), reading.runs.len()), (0, 1));
    assert_eq!(run.points.iter().map(|point| point.batch).collect::<Vec<_>>(), [1, 2, 64]);
    assert_eq!(run.measured("4x4").len(), 2);
    assert_eq!(run.largest("4x4").unwrap().batch, 2);
    let point = &run.points[0];
    let first = &point.parts[0];
    assert_eq!((&*first.layer, first.phase, first.figures.mean_us), ("conv1", Phase::Forward, 11.0));
    let conv = point.total(Scope { group: Some(Group::Conv), phase: None }).unwrap();
    assert_eq!((conv.mean_us, conv.share_pct, conv.stddev_us), (25.0, 50.0, Some(2f64.sqrt())));
    assert!(conv.share_ci95.is_some() && point.step.closure == Some(1.125));
    assert_eq!(run.points[2].status, Status::OutOfMemory);
    assert!(run.header.is_some());
    assert_eq!(run.points[2].step.planned_bytes, Some(4096));
}

#[test]
fn a_bare_file_adds_up_its_totals() {
    let reading = read(&(header() + &lines(&labels("r", "f32"), &fixture::measured(1)))).unwrap();
    let point = &reading.runs[0].points[0];
    let total = |group, phase| point.total(Scope { group, phase }).unwrap();
    assert_eq!(total(None, None).mean_us, 50.0);
    assert_eq!(total(Some(Group::Fc), Some(Phase::Forward)).mean_us, 3.0);
    assert_eq!((point.share(Group::Conv), total(Some(Group::Conv), None).share_ci95), (50.0, None));
    assert!(reading.runs[0].header.is_none());
}

#[test]
fn several_runs_in_one_file() {
    let one = lines(&labels("one", "f32"), &fixture::measured(1));
    let two = lines(&labels("two", "f32"), &fixture::measured(1));
    for contents in [header() + &one + &two, header() + &one + &header() + &two, header() + &two + &one] {
        let mut names: Vec<String> = read(&contents).unwrap().runs.into_iter().map(|run| run.run_id).collect();
        names.sort();
        assert_eq!(names, ["one", "two"]);
    }
    let mixed = header() + &one + &lines(&labels("one", "f16"), &fixture::measured(1));
    assert_eq!(read(&mixed).unwrap().runs.len(), 2, "another precision is another run");
    refused(&(header() + &one + &one), &["conv1", "batch 1", "twice", "run one"]);
}

#[test]
fn columns_are_found_by_name() {
    let one = lines(&labels("one", "f32"), &fixture::measured(1));
    let flipped: String = (header() + &one)
        .lines()
        // The device's name has a comma.
        .map(|line| line.replace("\"A processor, with a comma\"", "cpu").split(',').rev().collect::<Vec<_>>().join(","))
        .map(|line| format!("mine,{line}\n"))
        .collect();
    let reading = read(&flipped).unwrap();
    assert_eq!(reading.runs[0].points[0].total(Scope::STEP).unwrap().mean_us, 50.0);
}

#[test]
fn torn_rows_are_left_out_and_said() {
    let (one, two) =
        (lines(&labels("r", "f32"), &fixture::measured(1)), lines(&labels("r", "f32"), &fixture::measured(2)));
    let whole = header() + &one + &two;
    let end = header().len() + one.len();
    for length in end + 1..whole.len() {
        let reading = read(&whole[..length]).unwrap();
        assert_eq!(reading.runs[0].points.len(), 1, "cut at {length}");
        let notes = reading.notes.join("\n");
        assert!(notes.contains("torn") || whole.as_bytes()[length - 1] == b'\n', "{notes}");
        let has_whole_row = length > end + two.find('\n').unwrap() + 1;
        assert!(notes.contains("batch 2") || !has_whole_row, "{notes}");
    }
    refused(&whole[..header().len() + 200], &["no batch that was measured whole", "torn row on line 2"]);
}

#[test]
fn files_that_are_no_runs() {
    refused("", &["is empty", "phases.csv"]);
    refused(&header(), &["a header and no rows"]);
    refused("layer,time\nconv1,3\n", &["lacks run_id, model, device, precision and 8 more"]);
    refused(&header().replace("mean_us,", "").replace(",batch", ""), &["lacks batch, mean_us"]);
    refused(&text::header::<SummaryRow>(), &["this is a summary.csv"]);
    let row = lines(&labels("r", "f32"), &fixture::measured(1));
    refused(
        &(header() + &row.replacen("forward", "sideways", 1)),
        &[":2: unknown variant `sideways`, expected one of `forward`"],
    );
    refused(&(header() + &row.replacen(",1,4x4,", ",-1,4x4,", 1)), &[":2: `-1` is no batch"]);
    for bad in ["NaN", "inf", "-11.0", "0.0", "1e999"] {
        refused(
            &(header() + &row.replacen("11.0,,,11.0", &format!("11.0,,,{bad}"), 1)),
            &[":2", "not a number above 0"],
        );
    }
    let full = lines(&labels("r", "f32"), &fixture::out_of_memory(8));
    refused(&(header() + &full), &["no batch fits in memory"]);
    let binary = tempfile::NamedTempFile::new().unwrap();
    fs::write(binary.path(), [0xff, 0xfe, 0, b'\n', 0xff]).unwrap();
    assert!(!format!("{:#}", open(binary.path()).unwrap_err()).contains('\n'));
}

#[test]
fn values_that_no_run_has() {
    let row = lines(&labels("r", "f32"), &fixture::measured(1));
    let changed = |from: &str, to: &str| {
        let changed = row.replacen(from, to, 1);
        assert_ne!(changed, row, "{from}");
        header() + &changed
    };
    refused(&changed(",1,4x4,", ",0,4x4,"), &[":2: `0` is no batch"]);
    refused(&changed(",1,4x4,", ",1048577,4x4,"), &[":2: `1048577` is no batch", "1048576"]);
    for bad in ["4", "4x", "x4", "4x4x4", "0x4", "4x65537", "-4x4"] {
        refused(&changed(",1,4x4,", &format!(",1,{bad},")), &[":2:", bad, "is no image"]);
    }
    refused(&changed(",f32,", ",f8,"), &[":2: `f8` is no precision", "f32, tf32, f16, bf16"]);
    refused(&changed("11.0,,,11.0", "11.0,,,1.1e12"), &[":2:", "1100000000000", "µs"]);
    let first: Vec<&str> = row.lines().next().unwrap().split(",ok,").collect();
    let fields: Vec<&str> = first[1].split(',').collect();
    let with_share = |share: &str| {
        let mut fields = fields.clone();
        fields[10] = share;
        let rest = row.split_once('\n').unwrap().1;
        format!("{}{},ok,{}\n{rest}", header(), first[0], fields.join(","))
    };
    refused(&with_share("100.02"), &[":2:", "100.02", "share_pct"]);
    refused(&with_share("-1.0"), &[":2:", "share_pct is -1, not 0 or a number above"]);
    refused(&with_share(""), &[":2: share_pct is empty and the status is ok"]);
    refused(&changed(",ok,", ",out_of_memory,"), &[":2:", "out_of_memory", "figures"]);
}

#[test]
fn folders_that_are_no_runs() {
    let empty = tempfile::tempdir().unwrap();
    let error = open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("no run's folder") && error.contains("phases.csv"), "{error}");
    assert!(format!("{:#}", open(Path::new("/nonexistent")).unwrap_err()).contains("/nonexistent"));
    let (_out, path) = folder();
    let json = fs::read_to_string(path.join("run.json")).unwrap();
    fs::write(path.join("run.json"), json.replace("\"schema_version\": 1", "\"schema_version\": 7")).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("schema 7") && error.contains("reads schema 1"), "{error}");
    fs::write(path.join("run.json"), "{").unwrap();
    assert!(open(&path).unwrap_err().to_string().contains("is damaged"));
    fs::write(path.join("run.json"), json.replace("complete", "running")).unwrap();
    assert!(open(&path).unwrap().notes[0].contains("state is running"));
    fs::remove_file(path.join("run.json")).unwrap();
    assert!(open(&path).unwrap().runs[0].header.is_none());
}

#[test]
fn a_spreadsheet_saved_it_again() {
    let one = lines(&labels("r", "f32"), &fixture::measured(1));
    let saved = "\u{feff}".to_owned() + &(header() + &one).replace('\n', "\r\n") + &",".repeat(41) + "\r\n";
    let reading = read(&saved).unwrap();
    assert_eq!((reading.notes.len(), reading.runs[0].points.len()), (0, 1), "{:?}", reading.notes);
    refused(&(header() + &one).replace(',', ";"), &["separated by semicolons", "with commas"]);
    let digits = "1".repeat(300);
    refused(&(header() + &one.replacen(",1,4x4,", &format!(",{digits},4x4,"), 1)), &[":2: `1111", "…` is no batch"]);
}

/// Names from a file neither steer the terminal nor break a chart.
#[test]
fn names_that_steer_a_terminal() {
    let one = lines(&labels("r", "f32"), &fixture::measured(1)).replace("conv1", "c\u{1b}[31m\u{0}");
    let run = read(&(header() + &one)).unwrap().runs.remove(0);
    let selection = crate::report::run_tables::Selection::of_room(crate::report::table::Room::Wide);
    let text = crate::report::show::text(&run, selection) + &crate::report::show::markdown(&run, selection);
    assert!(text.contains("c\\u{1b}[31m\\u{0}") && !text.contains('\u{1b}') && !text.contains('\u{0}'), "{text}");
    let page = crate::report::page::html(&[run], None).unwrap();
    assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "{:?}", page.find('\u{0}'));
}
