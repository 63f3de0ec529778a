use super::*;
use crate::profile::Status;
use crate::profile::summary::Scope;
use crate::report::run::Figures;
use crate::report::{fixture, run::Total};
use crate::stats::Interval;

/// The group totals and the step of one batch.
fn batch(batch: usize, status: Status, conv: f64, fc: f64) -> Point {
    within(0.3, batch, status, conv, fc)
}

/// The same with intervals that reach `half` points to either side.
fn within(half: f64, batch: usize, status: Status, conv: f64, fc: f64) -> Point {
    let other = 100.0 - conv - fc;
    let groups = [(Some(Group::Conv), conv), (Some(Group::Fc), fc), (Some(Group::Other), other), (None, 100.0)];
    let total = |(group, share): (Option<Group>, f64)| Total {
        scope: Scope { group, phase: None },
        figures: Figures {
            samples: 10,
            mean_us: share,
            stddev_us: None,
            median_us: Some(share),
            median_ci95: None,
            share_pct: share,
            share_ci95: Some(Interval { low: share - half, high: share + half + 0.04 }),
        },
    };
    let mut point = Point::new(batch, "224x224".into(), status);
    if status != Status::OutOfMemory {
        point.totals = groups.map(total).to_vec();
        point.parts = vec![fixture::part()];
    }
    point
}

fn run(points: impl IntoIterator<Item = Point>) -> Run {
    Run { points: points.into_iter().collect(), ..fixture::run(false) }
}

#[test]
fn the_largest_ok_batch_and_the_crossover() {
    let rows = run([
        batch(8, Status::Ok, 30.0, 50.0),
        batch(32, Status::Ok, 60.0, 40.0),
        batch(128, Status::Ok, 81.2, 12.9),
        within(2.26, 256, Status::Ok, 85.0, 10.0),
        batch(512, Status::OutOfMemory, 0.0, 0.0),
    ]);
    // From −20 at 8 to +20 at 32: zero half way on the logarithm, √(8 · 32) = 16.
    let crossings = crossovers(&rows);
    assert_eq!(crossings.len(), 1);
    assert!((crossings[0].batch - 16.0).abs() < 1e-9 && crossings[0].leads_below == Group::Fc);
    assert_eq!(
        sentences(&rows),
        [
            "conv takes 81.2 % of the training step at batch 128 (95 % CI 80.9–81.5), fc 12.9 %; fc leads below batch ≈ 16. \
             Passed over: batch 256, known to ±2.3 points only."
        ]
    );
}

#[test]
fn several_crossovers_speak_by_the_largest() {
    let rows = run([
        batch(1, Status::Ok, 60.0, 40.0),
        batch(2, Status::Ok, 40.0, 60.0),
        batch(16, Status::Ok, 45.0, 45.0),
        batch(64, Status::Ok, 20.0, 70.0),
    ]);
    // +20 → −20 between 1 and 2: √2. −20 → 0 → −50: touches at 16, from both sides.
    let crossings: Vec<(f64, Group)> =
        crossovers(&rows).into_iter().map(|crossing| (crossing.batch, crossing.leads_below)).collect();
    assert!((crossings[0].0 - 2f64.sqrt()).abs() < 1e-9 && crossings[0].1 == Group::Conv);
    assert!((crossings[1].0 - 16.0).abs() < 1e-9 && (crossings[2].0 - 16.0).abs() < 1e-9);
    assert!(sentences(&rows)[0].starts_with("fc takes 70.0 % of the training step at batch 64"));
}

#[test]
fn no_crossover_without_a_change_of_sign() {
    let rows = run([batch(1, Status::Ok, 50.0, 30.0), batch(8, Status::Ok, 70.0, 20.0)]);
    assert_eq!(crossovers(&rows), []);
    assert!(sentences(&rows)[0].ends_with("fc 20.0 %; conv leads at every batch from 1 to 8."));
    let single = run([batch(4, Status::Ok, 70.0, 20.0)]);
    assert!(sentences(&single)[0].ends_with("(95 % CI 69.7–70.3), fc 20.0 %."));
}

#[test]
fn a_net_of_other_layers_has_no_leader() {
    let mut rows = run([batch(1, Status::Ok, 0.0, 0.0), batch(8, Status::Ok, 0.0, 0.0)]);
    for point in &mut rows.points {
        point.totals.retain(|total| total.scope.group.is_none_or(|group| group == Group::Other));
    }
    assert_eq!(sentences(&rows), ["neither conv nor fc has a part in the training step at batch 8."]);
}

#[test]
fn says_so_when_nothing_is_known() {
    let vague = run([batch(4, Status::Throttled, 55.0, 30.0), within(3.0, 8, Status::Noisy, 60.0, 30.0)]);
    let reservation =
        " No batch's shares are known better: batch 8, the largest measured, is known to ±3.0 points only.";
    assert!(sentences(&vague)[0].ends_with(reservation), "{:?}", sentences(&vague));
    let nothing = run([batch(8, Status::OutOfMemory, 0.0, 0.0)]);
    assert_eq!(sentences(&nothing), ["No batch could be measured: none fits in memory."]);
    assert_eq!(sentences(&run([])), ["No batch was measured."]);
}

#[test]
fn each_image_size_has_its_own_sentence() {
    let larger = Point { image: "448x448".into(), ..batch(8, Status::Ok, 90.0, 5.0) };
    let sentences = sentences(&run([batch(8, Status::Ok, 60.0, 30.0), larger]));
    assert!(sentences[0].starts_with("conv takes 60.0 % of the training step at batch 8, image 224x224"));
    assert!(sentences[1].starts_with("conv takes 90.0 % of the training step at batch 8, image 448x448"));
}

/// A noisy batch's step time is not known well, but its shares may be: the verdict is about shares.
#[test]
fn a_noisy_batch_with_known_shares_is_spoken_of() {
    let run = run([batch(2, Status::Ok, 53.4, 40.0), batch(32, Status::Noisy, 82.5, 12.0)]);
    assert_eq!(
        sentences(&run),
        [
            "conv takes 82.5 % of the training step at batch 32 (95 % CI 82.2–82.8), fc 12.0 %; conv leads at every batch from 2 to 32."
        ]
    );
    let throttled =
        super::answers(&self::run([batch(2, Status::Ok, 53.4, 40.0), batch(32, Status::Throttled, 82.5, 12.0)]));
    assert_eq!((throttled[0].batch, throttled[0].leader), (2, Group::Conv));
    assert_eq!(throttled[0].passed_over, [PassedOver { batch: 32, why: "throttled".into() }]);
}

/// By hand: other leads by 22.7 points at batch 1 and trails conv by 40 at 4: 4^(22.7 / 62.7) = 1.65.
#[test]
fn other_is_named_where_it_leads() {
    let run = run([batch(1, Status::Ok, 30.0, 17.3), batch(4, Status::Ok, 65.0, 10.0)]);
    assert_eq!(
        sentences(&self::run(run.points[..1].to_vec())),
        ["other takes 52.7 % of the training step at batch 1 (95 % CI 52.4–53.0), conv 30.0 %, fc 17.3 %."]
    );
    let crossing = &crossovers(&run)[0];
    assert_eq!((crossing.leads_below, crossing.leads_above), (Group::Other, Group::Conv));
    assert!((crossing.batch - 4f64.powf(22.7 / 62.7)).abs() < 1e-9);
    assert!(
        sentences(&run)[0].ends_with("other 25.0 %, fc 10.0 %; other leads below batch ≈ 1.7."),
        "{:?}",
        sentences(&run)
    );
}

/// fc falls from 60 to 10, conv rises from 30 to 50, other from 10 to 40: fc and conv meet at 3/7 of the way.
#[test]
fn the_lead_is_followed_from_group_to_group() {
    let run = run([batch(1, Status::Ok, 30.0, 60.0), batch(2, Status::Ok, 50.0, 10.0)]);
    let crossings = crossovers(&run);
    assert!(crossings.len() == 1 && (crossings[0].batch - 2f64.powf(3.0 / 7.0)).abs() < 1e-9, "{crossings:?}");
    // conv 40 → 20, fc 38 → 35, other 22 → 45: fc passes conv at 2/17 of the way, other fc at 16/26.
    let run = self::run([batch(1, Status::Ok, 40.0, 38.0), batch(2, Status::Ok, 20.0, 35.0)]);
    let found = crossovers(&run);
    let leads: Vec<_> = found.iter().map(|one| (one.leads_below, one.leads_above)).collect();
    assert_eq!(leads, [(Group::Conv, Group::Fc), (Group::Fc, Group::Other)]);
    assert!(found.iter().zip([2.0 / 17.0, 16.0 / 26.0]).all(|(one, part)| (one.batch.log2() - part).abs() < 1e-9));
}

#[test]
fn closure_is_judged() {
    let mut run = run([batch(1, Status::Ok, 60.0, 30.0)]);
    let mut with = |closure| {
        run.points[0].step.closure = Some(closure);
        (sentences(&run)[0].clone(), run.points[0].notes().join(" "))
    };
    assert_eq!(with(1.029).1 + &with(0.971).1, "");
    let (verdict, note) = with(1.46);
    assert_eq!(
        note,
        "closure is 1.46: a step with marks takes 46 % longer than a plain one, so short phases weigh too much"
    );
    assert!(verdict.ends_with(&format!("fc 30.0 %. At batch 1 {note}.")), "{verdict}");
    assert!(with(0.93).1.contains("7 % less"));
}
