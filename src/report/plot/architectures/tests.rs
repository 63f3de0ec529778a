use super::super::scene::Item;
use super::*;
use crate::profile::Status;
use crate::report::fixture;
use crate::report::run::{Figures, LayerPart, Total};

/// A network of one conv and one fc layer, whose step takes `ms`: conv 60 %, fc 30 %, a ReLU 10 %.
fn run(model: &str, batches: &[usize], ms: f64, macs: u64, parameters: u64) -> Run {
    let mut run = fixture::run(false);
    (run.run_id, run.model) = (model.into(), model.into());
    let figures = |share: f64| Figures { mean_us: 10.0 * share * ms, share_pct: share, ..fixture::part().figures };
    let point = |&batch: &usize| {
        let part = |index: u32, group: Group, share: f64, macs: u64, parameters: u64| LayerPart {
            index,
            group,
            parameters,
            flops: 2 * macs * batch as u64,
            figures: figures(share),
            ..fixture::part()
        };
        let mut point = Point::new(batch, "8x8".into(), Status::Ok);
        point.parts = vec![
            part(0, Group::Conv, 60.0, macs / 4 * 3, parameters / 2),
            // Operations of others are no multiply-adds.
            part(1, Group::Other, 10.0, 5 * macs, 0),
            part(2, Group::Fc, 30.0, macs / 4, parameters / 2),
        ];
        let totals = Scope::every().filter(|scope| scope.phase.is_none());
        point.totals = totals
            .map(|scope| {
                let share =
                    point.parts.iter().filter(|part| part.is_in(scope)).map(|part| part.figures.share_pct).sum();
                Total { scope, figures: figures(share) }
            })
            .collect();
        point
    };
    run.points = batches.iter().map(point).collect();
    run
}

/// The sectors of the marks: their corners.
fn sectors(scene: &Scene) -> Vec<&[Pixel]> {
    let areas = scene.items.iter().filter_map(|item| match item {
        Item::Area { points, .. } => Some(points.as_slice()),
        Item::Line { .. } | Item::Mark { .. } | Item::Text(_) => None,
    });
    // Paper's corners, and the groups of the legend, have four.
    areas.filter(|points| points.len() > 4).collect()
}

/// Area of a polygon (the shoelace formula).
fn area(points: &[Pixel]) -> f64 {
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum::<f64>().abs() / 2.0
}

/// Four times the parameters are four times the area; parts of 60, 30 and 10 %; ten times the time and the multiply-adds are as far as
/// a decade is.
#[test]
fn marks_stand_where_their_figures_are_and_are_as_large() {
    let runs = [
        run("small", &[1], 10.0, 1_000_000_000, 4_000_000),
        run("large", &[1], 100.0, 10_000_000_000, 16_000_000),
        run("wide", &[1], 10.0, 10_000_000_000, 16_000_000),
    ];
    let scene = panels(&runs, None)[0].scene(Canvas::WIDE).unwrap();
    let sectors = sectors(&scene);
    assert_eq!(sectors.len(), 9);
    let areas: Vec<f64> = sectors.iter().map(|points| area(points)).collect();
    let marks: Vec<f64> = areas.chunks(3).map(|parts| parts.iter().sum()).collect();
    // By parameters, the largest behind: large, wide, small.
    assert!((marks[0] / marks[2] - 4.0).abs() < 0.1 && (marks[0] / marks[1] - 1.0).abs() < 0.01, "{marks:?}");
    for parts in areas.chunks(3) {
        let [conv, fc, other] = [0, 1, 2].map(|part| parts[part] / parts.iter().sum::<f64>());
        assert!((conv - 0.6).abs() < 0.01 && (fc - 0.3).abs() < 0.01 && (other - 0.1).abs() < 0.01, "{parts:?}");
    }
    // A sector begins at the centre.
    let [large, wide, small] = [0, 3, 6].map(|index| sectors[index][0]);
    assert!((large[0] - wide[0]).abs() < 1e-6 && (wide[1] - small[1]).abs() < 1e-6 && wide[1] > large[1]);
    let frame_decades = [large[0] - small[0], small[1] - large[1]];
    let tick = |text: &str| scene.texts().find(|one| one.text == text).unwrap().at;
    assert!((frame_decades[0] - (tick("10")[0] - tick("1")[0])).abs() < 1e-6, "{frame_decades:?}");
    assert!((frame_decades[1] - (tick("20")[1] - tick("100")[1]) / 5f64.log10()).abs() < 1e-6, "{frame_decades:?}");
    let value = "small: 10.0 ms, 1.000 G multiply-adds, 4.000 M parameters; conv 60 %, fc 30 %, other 10 %";
    assert!(scene.tips.iter().any(|tip| tip.text == value) && scene.description.contains(value), "{:?}", scene.tips);
    let svg = super::super::svg(&scene).unwrap();
    for text in ["small", "large", "wide", "conv&apos;s part of the step", "area: parameters"] {
        assert!(svg.contains(&format!("\n{text}\n")) || svg.contains(text), "{text}");
    }
}

/// Batches that all networks have, the least and the largest; a batch that is asked for; no chart of one network.
#[test]
fn panels_are_for_devices_and_batches() {
    let names = |runs: &[Run], batch: Option<usize>| {
        panels(runs, batch).into_iter().map(|panel| (panel.name, panel.networks.len())).collect::<Vec<_>>()
    };
    let mut runs = vec![run("a", &[1, 4, 16, 32], 1.0, 1_000_000, 10), run("b", &[1, 4, 16], 1.0, 2_000_000, 20)];
    assert_eq!(names(&runs, None), [("architectures-batch-1".into(), 2), ("architectures-batch-16".into(), 2)]);
    assert_eq!(names(&runs, Some(4)), [("architectures-batch-4".into(), 2)]);
    assert_eq!(names(&runs, Some(32)), []);
    assert_eq!(names(&[runs[0].clone(), runs[0].clone()], None), []);
    for of in [0, 1] {
        let mut predicted = runs[of].clone();
        predicted.origin = Origin::Predicted { gpu: "A100".into() };
        predicted.points.truncate(1);
        runs.push(predicted);
    }
    let wanted = ["A processor, with a comma, f32, nchw-batch-1", "A processor, with a comma, f32, nchw-batch-16"];
    let found = names(&runs, None);
    assert_eq!(found[..2], wanted.map(|name| (format!("architectures-{name}"), 2)));
    assert_eq!(found[2..], [("architectures-predicted for A100, f32-batch-1".into(), 2)]);
}
