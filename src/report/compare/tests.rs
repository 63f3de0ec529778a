use std::path::Path;

use super::*;
use crate::report::folder::Folder;
use crate::report::header::RunState;
use crate::report::run::{Origin, Run};
use crate::report::table::Room;
use crate::report::{fixture, read};

/// How steps reached the device of a run.
fn launch(run: &mut Run) -> &mut String {
    match &mut run.origin {
        Origin::Measured { launch, .. } => launch,
        Origin::Predicted { .. } => panic!("a prediction"),
    }
}

/// A run of the fixture's network at batch 1 with ten steps of about 50 µs; conv1's forward takes `conv1` µs.
fn folder(out: &Path, conv1: f64, change: impl Fn(&mut Run)) -> Run {
    let mut run = fixture::run(false);
    *launch(&mut run) = "queued".into();
    fixture::header(&mut run).options.insert("lock_clocks".into(), "1410".into());
    change(&mut run);
    let mut folder = Folder::create(out, run).unwrap();
    let mut measured = fixture::measured(1);
    let step = measured.samples[0].clone();
    measured.samples = (0..10)
        .map(|index| {
            let mut step = step.clone();
            step.phases_us[0] = conv1;
            // Up to 0.9 % either way.
            step.phases_us.iter_mut().for_each(|us| *us *= 1.0 + 0.002 * (f64::from(index) - 4.5));
            step
        })
        .collect();
    folder.append(&measured).unwrap();
    folder.finish(RunState::Complete).unwrap();
    read::open(folder.path()).unwrap().runs.remove(0)
}

fn settings() -> CompareSettings {
    CompareSettings { batches: Vec::new(), margin: None, min_share: 0.005, clocks_fixed: false }
}

fn side(runs: Vec<Run>) -> Side {
    Side::new("A", runs).unwrap()
}

fn line<'a>(comparison: &'a Comparison, layer: &str) -> &'a Compared {
    comparison
        .details
        .iter()
        .find(|line| matches!(&line.key.of, Subject::Layer(name, _, Phase::Forward) if **name == *layer))
        .unwrap()
}

/// A model's description is never spelled out, whichever side has it.
#[test]
fn texts_are_not_shown() {
    let out = tempfile::tempdir().unwrap();
    let whole = || folder(out.path(), 10.0, |_| {});
    let bare = || Run { header: None, ..whole() };
    let other = || folder(out.path(), 10.0, |run| fixture::header(run).model_file.push('\n'));
    let differs = |a: Run, b: Run| {
        super::differs(&Comparison::of(&side(vec![a]), &side(vec![b]), &settings()).unwrap(), Room::Wide)
    };
    assert!(differs(whole(), bare()).contains("model_file (a text) | -;"), "{}", differs(whole(), bare()));
    assert!(differs(bare(), whole()).contains("model_file - | (a text);"), "{}", differs(bare(), whole()));
    assert_eq!(differs(whole(), other()), "Differs (A | B): model_file (another text).");
    let faster = folder(out.path(), 10.0, |run| fixture::measurement(run).training.learning_rate = 0.1);
    assert_eq!(differs(whole(), faster), "Differs (A | B): training.learning_rate 0.01 | 0.1.");
}

#[test]
fn times_with_fixed_clocks() {
    let out = tempfile::tempdir().unwrap();
    let (a, b) = (side(vec![folder(out.path(), 10.0, |_| {})]), side(vec![folder(out.path(), 12.0, |_| {})]));
    let comparison = Comparison::of(&a, &b, &settings()).unwrap();
    assert_eq!(comparison.judged, Judged::Times);
    let conv1 = line(&comparison, "conv1");
    assert_eq!(conv1.verdict, Some(Verdict::Slower));
    assert!((conv1.ratio() - 1.2).abs() < 1e-6 && (line(&comparison, "fc2").ratio() - 1.0).abs() < 1e-6);
    // 52 of 50 µs.
    let step = &comparison.wholes[0];
    assert!(step.key.of == Subject::Total(Scope::STEP) && (step.ratio() - 1.04).abs() < 1e-6);
    assert_eq!(step.verdict, Some(Verdict::Slower));
    // conv1's forward by 20 %, its group by 2/24, its phases' total by 2/17.
    let slower = |fraction| comparison.slower_by(fraction).unwrap().len();
    assert_eq!([slower(0.19), slower(0.10), slower(0.05), slower(0.03)], [2, 3, 4, 5]);
    let text = table(&comparison, Room::Terminal);
    assert!(text.contains("Differs: nothing") && text.contains("One run each"), "{text}");
    let flat = text.replace('\n', " ");
    assert!(flat.contains("FASTER or SLOWER") && text.contains("Welch") && text.contains("Holm"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn shares_where_clocks_were_not_fixed() {
    let out = tempfile::tempdir().unwrap();
    let free = |run: &mut Run| fixture::header(run).options.clear();
    let cpu = |run: &mut Run| *launch(run) = "direct".into();
    let (a, b) = (side(vec![folder(out.path(), 10.0, free)]), side(vec![folder(out.path(), 12.0, cpu)]));
    let comparison = Comparison::of(&a, &b, &settings()).unwrap();
    assert_eq!((comparison.judged, comparison.slower_by(0.05).is_none()), (Judged::Shares, true));
    let text = table(&comparison, Room::Wide);
    assert!(text.contains("no comparison of times"), "{text}");
    assert!(
        text.contains("A: measured without --lock-clocks") && text.contains("B: layertime never fixes a CPU's"),
        "{text}"
    );
    assert!(text.contains("launch queued | direct") && text.contains("options.lock_clocks - | 1410"), "{text}");
    // 10 of 50 µs, 20 %, are now 12 of 52, 23.08 %.
    let conv1 = text.lines().find(|line| line.starts_with("conv1") && line.contains("forward")).unwrap();
    assert!(conv1.contains("+3.08") && conv1.ends_with("MORE"), "{conv1}");
    assert_eq!(comparison.wholes[0].verdict, None, "the step's own share");
    let fixed = Comparison::of(&a, &b, &CompareSettings { clocks_fixed: true, ..settings() }).unwrap();
    assert_eq!(fixed.judged, Judged::Times);
}

#[test]
fn several_runs_each() {
    let out = tempfile::tempdir().unwrap();
    let runs = |times: [f64; 3]| side(times.map(|time| folder(out.path(), time, |_| {})).to_vec());
    let comparison = Comparison::of(&runs([10.0, 10.1, 9.9]), &runs([12.0, 12.1, 11.9]), &settings()).unwrap();
    assert_eq!(line(&comparison, "conv1").verdict, Some(Verdict::Slower));
    assert_eq!(line(&comparison, "fc2").verdict, Some(Verdict::Same));
    assert!(!table(&comparison, Room::Terminal).contains("One run"));
    let one =
        Comparison::of(&runs([10.0, 10.1, 9.9]), &side(vec![folder(out.path(), 12.0, |_| {})]), &settings()).unwrap();
    assert!(table(&one, Room::Terminal).contains("One side has one run"));
}

#[test]
fn runs_of_one_side_must_be_alike() {
    let out = tempfile::tempdir().unwrap();
    let usual = folder(out.path(), 10.0, |_| {});
    let refusal = |other: Run| Side::new("A", vec![usual.clone(), other]).unwrap_err().to_string();
    assert!(refusal(usual.clone()).contains("twice"));
    let other = refusal(folder(out.path(), 10.0, |run| run.precision = "tf32".into()));
    assert!(other.contains("A mixes precisions, f32 and tf32"), "{other}");
    let other = refusal(folder(out.path(), 10.0, |run| fixture::measurement(run).threads = Some(1)));
    assert!(other.contains("threads was 2, now 1"), "{other}");
    Side::new(
        "A",
        vec![usual.clone(), folder(out.path(), 10.0, |run| fixture::measurement(run).measuring.target = 0.5)],
    )
    .unwrap();
}

#[test]
fn rows_without_a_counterpart_are_named() {
    let out = tempfile::tempdir().unwrap();
    let (a, mut b) = (folder(out.path(), 10.0, |_| {}), folder(out.path(), 10.0, |_| {}));
    let mut larger = a.points[0].clone();
    larger.batch = 9;
    b.points.push(larger);
    b.points[0].parts.retain(|part| &*part.layer != "relu1");
    let (a, b) = (side(vec![a]), side(vec![b]));
    let text = table(&Comparison::of(&a, &b, &settings()).unwrap(), Room::Terminal);
    assert!(text.contains("Only in A: relu1 forward, relu1 backward_data."), "{text}");
    assert!(text.contains("Only in B: batch 9 at 4x4."), "{text}");
    let settings = CompareSettings { batches: vec![9], ..settings() };
    let error = Comparison::of(&a, &b, &settings).unwrap_err().to_string();
    assert!(error.contains("batch 9 is not in both: A has 1 at 4x4, B 1 at 4x4, 9 at 4x4"), "{error}");
}

/// Figures of a bare file have no interval for their totals: nothing is judged there, and nothing is made up.
#[test]
fn totals_without_intervals_are_not_judged() {
    let out = tempfile::tempdir().unwrap();
    let mut run = folder(out.path(), 10.0, |_| {});
    run.header = None;
    if let Origin::Measured { measurement, .. } = &mut run.origin {
        *measurement = None;
    }
    for total in &mut run.points[0].totals {
        let figures = &mut total.figures;
        (figures.stddev_us, figures.median_ci95, figures.share_ci95) = (None, None, None);
    }
    let comparison = Comparison::of(&side(vec![run.clone()]), &side(vec![run]), &settings()).unwrap();
    assert!(comparison.wholes.iter().all(|line| line.verdict.is_none()));
    assert_eq!(line(&comparison, "conv1").verdict, Some(Verdict::Same));
    assert!(table(&comparison, Room::Terminal).contains("A and B have no run.json"));
}

#[test]
fn as_csv() {
    let out = tempfile::tempdir().unwrap();
    let (a, b) = (side(vec![folder(out.path(), 10.0, |_| {})]), side(vec![folder(out.path(), 12.0, |_| {})]));
    let text = String::from_utf8(csv(&Comparison::of(&a, &b, &settings()).unwrap()).unwrap()).unwrap();
    assert!(
        text.starts_with("batch,image,layer,group,phase,statistic,a_us,b_us,time_ratio,time_ratio_ci95_low,"),
        "{text}"
    );
    let conv1 = text.lines().find(|line| line.starts_with("1,4x4,conv1,conv,forward,")).unwrap();
    assert!(conv1.contains(",10.0,12.0,1.2,") && conv1.ends_with(",times,SLOWER"), "{conv1}");
}

/// Of many differences, those come first that matter most; the others are counted.
#[test]
fn three_differences_and_how_many_more() {
    let out = tempfile::tempdir().unwrap();
    let usual = folder(out.path(), 10.0, |_| {});
    let other = folder(out.path(), 10.0, |run| {
        fixture::measurement(run).measuring.target = 0.5;
        fixture::measurement(run).training.seed = 7;
        fixture::measurement(run).threads = Some(1);
        run.precision = "tf32".into();
    });
    let comparison = Comparison::of(&side(vec![usual]), &side(vec![other]), &settings()).unwrap();
    assert_eq!(
        super::differs(&comparison, Room::Terminal),
        "Differs (A | B): precision f32 | tf32; threads 2 | 1; training.seed 1 | 7; and 1 more: --wide lists them."
    );
    assert!(super::differs(&comparison, Room::Wide).ends_with("; measuring.target 0.01 | 0.5."));
}
