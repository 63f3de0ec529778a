//! How far off predictions are on what their constants have not seen, against what they are to hold.

use layertime::predict::gpu::Generation;

use super::fit::{is_step, without};
use super::outcome;
use super::published::{NO_UPDATE, Of, Row, ms, titan_x};

/// The value below which this part of the figures lies.
pub fn quantile(mut figures: Vec<f64>, part: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[((figures.len() - 1) as f64 * part).round() as usize]
}

/// Some errors in short: factors minus one.
#[derive(Clone, Copy, Debug)]
pub struct Short {
    pub rows: usize,
    pub median: f64,
    pub ninth: f64,
    pub worst: f64,
    /// Of the median row, with its sign.
    pub bias: f64,
    /// The part within 40 %.
    pub within_40: f64,
}

/// `None` without errors.
pub fn short(errors: Vec<f64>) -> Option<Short> {
    if errors.is_empty() {
        return None;
    }
    let sizes: Vec<f64> = errors.iter().map(|error| (error.exp() - 1.0).abs()).collect();
    Some(Short {
        rows: sizes.len(),
        median: quantile(sizes.clone(), 0.5),
        ninth: quantile(sizes.clone(), 0.9),
        worst: quantile(sizes.clone(), 1.0),
        bias: quantile(errors, 0.5).exp() - 1.0,
        within_40: sizes.iter().filter(|size| **size <= 0.4).count() as f64 / sizes.len() as f64,
    })
}

/// Errors with the chip left out, of the rows that are kept.
pub fn by_chip(keep: impl Fn(&Row) -> bool) -> Vec<f64> {
    let outcome = outcome();
    outcome.rows.iter().zip(&outcome.by_chip).filter(|(row, _)| keep(row)).map(|(_, error)| *error).collect()
}

/// Whole steps of AlexNet, VGG, ResNet and Inception at eight images and more, on K80 to A100.
pub fn of_acceptance(row: &Row) -> bool {
    let networks = ["alexnet", "vgg", "resnet", "inception"];
    is_step(row)
        && row.generation() <= Generation::AmpereGa10x
        && networks.iter().any(|network| row.network.starts_with(network))
}

#[test]
fn whole_steps_on_gpus_that_the_fit_has_not_seen() {
    let short = short(by_chip(of_acceptance)).unwrap();
    println!("{short:?}");
    assert!(short.median <= 0.15, "median error {:.1} %", 100.0 * short.median);
    assert!(short.within_40 >= 0.9, "{:.1} % of rows within 40 %", 100.0 * short.within_40);
    for generation in GENERATIONS {
        let bias = self::short(by_chip(|row| of_acceptance(row) && row.generation() == generation)).unwrap().bias;
        println!("{generation:?}: bias {:+.1} %", 100.0 * bias);
        assert!(bias.abs() <= 0.15, "{generation:?} is off by {:+.1} %", 100.0 * bias);
    }
}

/// All whole steps, of any network and up to Hopper: no generation leans to one side, and none is far off. (Of Blackwell there are
/// two figures of one GPU.)
#[test]
fn no_whole_step_is_far_off() {
    let all = short(by_chip(is_step)).unwrap();
    println!("{all:?}");
    assert!(all.worst <= 0.6, "a step is off by {:.1} %", 100.0 * all.worst);
    for generation in GENERATIONS.into_iter().chain([Generation::Ada, Generation::Hopper]) {
        let bias = short(by_chip(|row| is_step(row) && row.generation() == generation)).unwrap().bias;
        assert!(bias.abs() <= 0.15, "{generation:?} is off by {:+.1} %", 100.0 * bias);
    }
}

/// Those with whole steps of the four families.
pub const GENERATIONS: [Generation; 7] = [
    Generation::Kepler,
    Generation::Maxwell,
    Generation::Pascal,
    Generation::Volta,
    Generation::Turing,
    Generation::Ampere,
    Generation::AmpereGa10x,
];

#[test]
fn single_layers_on_gpus_that_the_fit_has_not_seen() {
    let conv = NO_UPDATE.map(|phase| (phase.name(), Of::Conv(phase)));
    for (name, of) in conv.into_iter().chain([("products", Of::Gemm)]) {
        let short = short(by_chip(|row| row.of == of)).unwrap();
        println!("{name}: {short:?}");
        assert!(short.median <= 0.25, "{name}: median error {:.1} %", 100.0 * short.median);
        if let Of::Conv(_) = of {
            let short = self::short(by_chip(|row| row.of == of && row.batch <= 8)).unwrap();
            println!("{name}, batch 8 and less: {short:?}");
            assert!(short.median <= 0.25, "{name}, batch 8 and less: median error {:.1} %", 100.0 * short.median);
        }
    }
    let narrow = short(by_chip(|row| row.of == Of::Gemm && row.batch <= 16)).unwrap();
    println!("products, 16 columns and less: {narrow:?}");
    assert!(narrow.median <= 0.25, "products, 16 columns and less: median error {:.1} %", 100.0 * narrow.median);
}

/// The sweeps of MXNet, each by its own mean, the chip left out: time rises with the batch as published.
#[test]
fn the_shape_of_time_over_batch() {
    let outcome = outcome();
    let mut sweeps = std::collections::BTreeMap::<String, Vec<(usize, f64)>>::new();
    for (row, error) in outcome.rows.iter().zip(&outcome.by_chip) {
        let swept = ["v100-sxm2", "p100-sxm2", "m40", "k80"].contains(&row.gpu.name.as_str());
        if swept && row.program.name() == "mxnet" && (8..=256).contains(&row.batch) {
            sweeps.entry(format!("{} {}", row.gpu.name, row.network)).or_default().push((row.batch, *error));
        }
    }
    let mut worst: (f64, String) = (0.0, String::new());
    for (name, points) in &sweeps {
        let mean = points.iter().map(|(_, error)| error).sum::<f64>() / points.len() as f64;
        for (batch, error) in points {
            let off = ((error - mean).exp() - 1.0).abs();
            println!("{name} at {batch}: {:+.1} %", 100.0 * ((error - mean).exp() - 1.0));
            if off > worst.0 {
                worst = (off, format!("{name} at {batch}"));
            }
        }
    }
    assert!(worst.0 <= SHAPE, "{}: {:.1} %", worst.1, 100.0 * worst.0);
}

/// How far a point may lie from its sweep's shape.
const SHAPE: f64 = 0.20;

/// One network's shares on the Titan X: conv, fc, pool, relu, published and predicted, in percent of forward + backward.
pub struct Shares {
    pub network: String,
    pub pairs: [(f64, f64); 4],
    pub total_ms: (f64, f64),
}

/// Each network with constants that know none of its rows.
pub fn shares() -> Vec<Shares> {
    let outcome = outcome();
    let of = |network: &super::published::Network| {
        let name = network.model.trim_end_matches(".toml");
        let counts: Vec<bool> = outcome.rows.iter().map(|row| row.network != name).collect();
        let predicted = network.in_caffe(&without(&outcome.fit, &outcome.slopes, &counts));
        let published: f64 = network.caffe_ms("").iter().sum();
        let pair = |beginning| {
            let share: f64 = 100.0 * network.caffe_ms(beginning).iter().sum::<f64>() / published;
            (share, 100.0 * ms(&predicted, beginning, &NO_UPDATE) / (predicted.total_us() / 1e3))
        };
        Shares {
            network: format!("{} ({})", network.name, network.batch),
            pairs: ["conv", "fc", "pool", "relu"].map(pair),
            total_ms: (network.caffe_total, predicted.total_us() / 1e3),
        }
    };
    titan_x().network.iter().map(of).collect()
}

/// No published share of conv or fc may be missed by more percentage points than this.
const BOUND: f64 = 5.0;

/// Left out of the fit, each network's conv and fc shares come within [`BOUND`] points.
#[test]
fn shares_of_a_network_left_out_of_the_fit() {
    for row in shares() {
        for (group, (published, predicted)) in ["conv", "fc"].iter().zip(row.pairs) {
            let error = predicted - published;
            println!("{} {group}: {published:.1} {predicted:.1}", row.network);
            assert!(error.abs() <= BOUND, "{} {group}: {error:+.1} points", row.network);
        }
    }
}

/// Guards against slips in copying: the shares as others have worked them out from the same logs.
#[test]
fn the_published_shares_are_those_of_the_logs() {
    let expected = [[80.9, 8.3, 6.6, 4.2], [89.7, 5.7, 2.5, 2.1], [83.0, 2.6, 8.2, 6.2]];
    for (network, expected) in titan_x().network.iter().zip(expected) {
        let sum: f64 = network.caffe_ms("").iter().sum();
        for (beginning, expected) in ["conv", "fc", "pool", "relu"].iter().zip(expected) {
            let share = 100.0 * network.caffe_ms(beginning).iter().sum::<f64>() / sum;
            assert!((share - expected).abs() <= 0.051, "{}: {share:.2} is not {expected}", network.name);
        }
        assert!((sum / network.caffe_total - 1.0).abs() < 0.003, "{}: {sum} of {}", network.name, network.caffe_total);
    }
}
