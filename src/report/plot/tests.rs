use super::scene::Item;
use super::*;
use crate::model::Model;
use crate::model::kind::Group;
use crate::plan::Phase;
use crate::report::fixture::built_in;
use crate::report::run::Origin;

fn scenes(runs: &[Run], canvas: Canvas) -> Vec<Scene> {
    let charts = runs.iter().flat_map(|run| Chart::ALL.map(|chart| chart.scene(run, "224x224", None, canvas).unwrap()));
    charts.chain(times(runs, canvas)).collect()
}

/// Every network, at every width, from one batch to many: labels are inside and do not touch one another.
#[test]
fn no_labels_overlap() {
    for model in ["tiny", "alexnet", "alexnet-2012", "vgg16", "vgg19"] {
        for batches in [&[1][..], &[1, 2], &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512], &[1, 3, 5, 6, 7, 100, 101, 102]] {
            let runs = if model == "tiny" {
                vec![built_in(model, &[1]), built_in(model, batches)]
            } else {
                vec![built_in(model, batches)]
            };
            for scene in [Canvas::WIDE, Canvas::NARROW].iter().flat_map(|&canvas| scenes(&runs, canvas)) {
                let texts: Vec<_> = scene.texts().collect();
                for (index, text) in texts.iter().enumerate() {
                    let [left, top, right, bottom] = text.bounds();
                    let inside = left >= 0.0 && top >= 0.0 && right <= scene.canvas.width && bottom <= scene.height;
                    assert!(
                        inside,
                        "{}: {} is outside of {:?}: {:?}",
                        scene.title,
                        text.text,
                        scene.canvas,
                        text.bounds()
                    );
                    for other in &texts[..index] {
                        assert!(
                            !text.overlaps(other),
                            "{model} {batches:?} {}: {} on {}",
                            scene.title,
                            text.text,
                            other.text
                        );
                    }
                }
            }
        }
    }
}

/// All networks that come with the program, whose marks are near and on one another: each has its name, and no two names touch.
#[test]
fn the_networks_of_a_chart_are_named() {
    let runs: Vec<Run> = Model::names().filter(|name| *name != "tiny").map(|name| built_in(name, &[16])).collect();
    for canvas in [Canvas::WIDE, Canvas::NARROW] {
        let scene = architectures(&runs, None)[0].scene(canvas).unwrap();
        let texts: Vec<_> = scene.texts().collect();
        for (index, text) in texts.iter().enumerate() {
            let [left, top, right, bottom] = text.bounds();
            assert!(left >= 0.0 && top >= 0.0 && right <= canvas.width && bottom <= scene.height, "{}", text.text);
            let touched = texts[..index].iter().find(|other| other.overlaps(text));
            assert!(touched.is_none(), "{} on {touched:?}", text.text);
        }
        let named = runs.iter().filter(|run| texts.iter().any(|text| text.text == run.model)).count();
        // A phone has less room.
        assert!(named == runs.len() || canvas.is_narrow() && named > runs.len() / 2, "{named}");
    }
}

#[test]
fn axes_say_their_unit() {
    for scene in scenes(&[built_in("alexnet", &[1, 8])], Canvas::WIDE) {
        let units = ["(%)", "(images per step", "(ms", "(s", "(µs", "images/s", "(FLOP/byte", "(GFLOP/s"];
        let titled = scene.texts().filter(|text| units.iter().any(|unit| text.text.contains(unit))).count();
        let wanted = if scene.title.starts_with("Time by layer") { 1 } else { 2 };
        assert!(titled >= wanted, "{}", scene.title);
    }
}

/// AlexNet's fc layers, costed by bytes, lead at batch 1, its convolutions at 512.
#[test]
fn the_crossover_is_marked() {
    let scene = Chart::Shares.scene(&built_in("alexnet", &[1, 8, 64, 512]), "224x224", None, Canvas::WIDE).unwrap();
    assert_eq!(scene.texts().filter(|text| text.text.starts_with("conv = fc at batch ≈ ")).count(), 1);
    let one_sided = Chart::Shares.scene(&built_in("alexnet", &[256, 512]), "224x224", None, Canvas::WIDE).unwrap();
    assert_eq!(one_sided.texts().filter(|text| text.text.starts_with("conv = fc")).count(), 0);
}

/// The bars of a layer are as long as its phases: hand arithmetic on one bar's pixels.
#[test]
fn bars_are_to_scale() {
    let run = built_in("tiny", &[4]);
    let scene = Chart::Layers.scene(&run, "224x224", None, Canvas::WIDE).unwrap();
    let point = &run.points[0];
    let bars: Vec<f64> = scene
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Area { points, .. } => Some(points[1][0] - points[0][0]),
            Item::Line { .. } | Item::Mark { .. } | Item::Text(_) => None,
        })
        // The legends: four phases in the colours of three groups, and the groups.
        .skip(4 * 3 + 3)
        .collect();
    assert_eq!(bars.len(), point.parts.len());
    let per_us = bars[0] / point.parts[0].figures.mean_us;
    for (bar, part) in bars.iter().zip(&point.parts) {
        assert!((bar - per_us * part.figures.mean_us).abs() < 1e-6);
    }
}

/// Nothing of a prediction passes for a measurement.
#[test]
fn predictions_say_so() {
    let mut predicted = built_in("alexnet", &[1, 8]);
    predicted.origin = Origin::Predicted { gpu: "T4".into() };
    predicted.header = crate::report::fixture::run(false).header;
    for point in &mut predicted.points {
        for figures in point.totals.iter_mut().map(|total| &mut total.figures) {
            (figures.median_ci95, figures.share_ci95) = (None, None);
        }
    }
    let words = |scene: &Scene| scene.texts().map(|text| &*text.text).collect::<Vec<_>>().join("\n");
    let roofline = Chart::Roofline.scene(&predicted, "224x224", None, Canvas::WIDE).unwrap();
    assert!(words(&roofline).contains("alexnet, predicted for T4, f32, image 224x224"), "{}", words(&roofline));
    assert!(words(&roofline).contains("ceilings from the datasheet"), "{}", words(&roofline));
    assert!(!words(&roofline).contains("easured") && !roofline.description.contains("easured"));
    let measured = built_in("alexnet", &[1, 8]);
    let times = |runs: &[Run]| words(&times(runs, Canvas::WIDE).unwrap());
    assert!(
        times(std::slice::from_ref(&predicted)).contains("predicted, not measured\nalexnet, predicted for T4, f32\n")
    );
    assert!(times(std::slice::from_ref(&measured)).contains("with 95 % intervals"));
    assert!(times(&[measured, predicted]).contains("some measured, some predicted"));
}

/// Marks are inside of the axes as a whole, and no ceiling goes through a name.
#[test]
fn the_roofline_cuts_nothing() {
    for (model, canvas) in [("alexnet", Canvas::WIDE), ("vgg16", Canvas::WIDE), ("alexnet-2012", Canvas::NARROW)] {
        let mut run = built_in(model, &[1, 64]);
        run.header = crate::report::fixture::run(false).header;
        let header = run.header.as_mut().unwrap();
        header.ceilings.gemm_flops_per_s = 1e11;
        header.ceilings.copy_bytes_per_s = 2e10;
        let scene = Chart::Roofline.scene(&run, "224x224", None, canvas).unwrap();
        let axes = scene.items.iter().find_map(|item| match item {
            Item::Line { points, .. } if points.len() == 3 => {
                Some([points[1][0], points[0][1], points[2][0], points[1][1]])
            }
            _ => None,
        });
        let [left, top, right, bottom] = axes.unwrap();
        let marks = scene.items.iter().filter_map(|item| match item {
            Item::Mark { at: [x, y], radius, .. } if *y > top => Some([x - radius, y - radius, x + radius, y + radius]),
            _ => None,
        });
        for mark in marks {
            assert!(mark[0] > left && mark[1] > top && mark[2] < right && mark[3] < bottom, "{model}: {mark:?}");
        }
        let roofs = scene.items.iter().filter_map(|item| match item {
            Item::Line { points, width, .. } if *width == 2.0 => Some([points[0], points[1]]),
            _ => None,
        });
        for line in roofs {
            let struck = scene.texts().find(|text| scene::crosses(line, text.bounds()));
            assert!(struck.is_none(), "{model}: {struck:?}");
        }
    }
}

/// Neighbours in a stack are told apart by lightness alone (CIE L* from the sRGB primaries, IEC 61966-2-1) and by pattern.
#[test]
fn black_and_white_is_enough() {
    let lightness = |style::Rgb(red, green, blue): style::Rgb| {
        let linear = [red, green, blue].map(|value| (f64::from(value) / 255.0).powf(2.2));
        116.0 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]).cbrt() - 16.0
    };
    let groups = Group::ALL.map(style::of_group);
    // Steps with a loss scale are f16's, of one GPU; those with an all_reduce f32's, of several ranks.
    let without = |absent: Phase| {
        let phases = Phase::ALL.into_iter().filter(move |&phase| phase != absent);
        Group::ALL.map(|group| phases.clone().map(|phase| style::of_part(group, phase)).collect::<Vec<_>>())
    };
    let parts = [Phase::AllReduce, Phase::LossScale].map(without);
    let ends = parts.iter().flat_map(|parts| parts.windows(2)).map(|pair| (pair[0][4].0, pair[1][0].0));
    // The next group begins dark again.
    ends.for_each(|(light, dark)| assert!(lightness(light) - lightness(dark) > 30.0, "{light:?} {dark:?}"));
    for stack in parts.iter().flatten().map(|parts| &parts[..]).chain([&groups[..]]) {
        for pair in stack.windows(2) {
            assert!(lightness(pair[1].0) - lightness(pair[0].0) > 8.0 && pair[0].1 != pair[1].1, "{pair:?}");
        }
    }
}

#[test]
fn doubled_runs_and_unknown_batches() {
    let one = built_in("tiny", &[1, 4]);
    assert!(check(&[one.clone(), built_in("alexnet", &[1])], Some(4)).is_ok());
    let twice = check(&[one.clone(), built_in("alexnet", &[1]), one.clone()], None).unwrap_err().to_string();
    assert_eq!(twice, "the run tiny is given twice: leave one of the two out");
    assert_eq!(check(&[one], Some(3)).unwrap_err().to_string(), "batch 3 was not measured: give one of 1, 4");
}

/// All bands of the stack together are the step, at each batch: the topmost edge lies on 100 %.
#[test]
fn groups_and_phases_add_up_to_the_step() {
    let scene = Chart::Phases.scene(&built_in("alexnet", &[1, 8, 64]), "224x224", None, Canvas::WIDE).unwrap();
    let labels: Vec<&str> = scene.texts().map(|text| &*text.text).filter(|text| text.ends_with(" %")).collect();
    assert_eq!(labels.len(), 10, "{labels:?}");
    let sum: f64 = labels.iter().map(|label| label.rsplit(' ').nth(1).unwrap().parse::<f64>().unwrap()).sum();
    assert!(
        (sum - 100.0).abs() < 0.6 && labels[0].starts_with("conv forward") && labels[7].starts_with("fc weight update")
    );
    let edges = scene.items.iter().filter_map(|item| match item {
        Item::Area { points, .. } if points.len() == 6 => {
            Some(points[..3].iter().map(|point| point[1]).collect::<Vec<_>>())
        }
        _ => None,
    });
    let edges: Vec<Vec<f64>> = edges.collect();
    let top = edges.last().unwrap();
    assert!(edges.len() == 10 && top.iter().all(|y| (y - top[0]).abs() < 1e-6), "{top:?}");
}

#[test]
fn one_batch_is_no_curve() {
    assert!(times(&[built_in("tiny", &[4])], Canvas::WIDE).is_none());
}

/// Every band at every batch, every bar and every dot tells its value.
#[test]
fn values_are_shown_at_the_pointer() {
    let run = built_in("alexnet", &[1, 8]);
    let tips = |chart: Chart| chart.scene(&run, "224x224", None, Canvas::WIDE).unwrap().tips;
    // One for each bar, and one for the whole of each layer's line.
    let of_layers = run.points[1].parts.len() + run.points[1].layers().count();
    assert_eq!((tips(Chart::Phases).len(), tips(Chart::Layers).len()), (2 * 10, of_layers));
    let point = &run.points[0];
    let wanted = format!("batch 1, conv: {:.1} %", point.share(Group::Conv));
    assert!(tips(Chart::Shares).iter().any(|tip| tip.text == wanted), "{wanted}");
    let text = svg(&Chart::Shares.scene(&run, "224x224", None, Canvas::WIDE).unwrap()).unwrap();
    assert!(text.contains(&format!("<title>{wanted}</title></rect>")) && text.trim_end().ends_with("</g>\n</svg>"));
}

/// ResNet-50 has 174 timed layers and 16 blocks, ResNet-152 has 50 blocks in 4 stages: the chart is no longer than a page, and its bars hold
/// all of the step.
#[test]
fn a_deep_network_fits_on_a_page() {
    for (model, bar) in [("resnet50", "layer4.2"), ("resnet152", "layer4")] {
        let scene = Chart::Layers.scene(&built_in(model, &[1]), "224x224", None, Canvas::WIDE).unwrap();
        assert!(scene.height < 1000.0, "{}", scene.height);
        let texts: Vec<&str> = scene.texts().map(|text| &*text.text).collect();
        assert!(texts.contains(&bar) && texts.iter().any(|text| text.starts_with("Time by block")), "{texts:?}");
        let share = |text: &&str| text.strip_suffix(" %)")?.rsplit('(').next()?.parse::<f64>().ok();
        let shares: Vec<f64> = texts.iter().filter_map(share).collect();
        assert!((shares.iter().sum::<f64>() - 100.0).abs() <= 0.05 * shares.len() as f64, "{shares:?}");
    }
}
