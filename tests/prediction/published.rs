//! The published measurements, and the predictions that stand beside them.

use std::path::{Path, PathBuf};

use layertime::device::options::Search;
use layertime::model::Model;
use layertime::plan::Precision;
use layertime::plan::{Options, Phase, Plan};
use layertime::predict::{Fractions, Gpu, Predicted, Question};
use serde::Deserialize;

/// The phases that are timed when a program trains without an update.
pub const NO_UPDATE: [Phase; 3] = [Phase::Forward, Phase::BackwardData, Phase::BackwardWeights];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TitanX {
    pub gpu: String,
    pub network: Vec<Network>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub name: String,
    pub model: String,
    pub batch: usize,
    pub caffe_total: f64,
    pub torch: Torch,
    pub caffe: Vec<CaffeLayer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Torch {
    pub forward: f64,
    pub backward_data: f64,
    pub backward_weights: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaffeLayer {
    pub layer: String,
    pub forward: f64,
    pub backward: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Others {
    pub figure: Vec<Figure>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figure {
    pub program: String,
    pub network: String,
    pub model: String,
    pub gpu: String,
    pub batch: usize,
    pub phases: Vec<Phase>,
    pub ms: f64,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published")
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    toml::from_str(&std::fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

pub fn titan_x() -> TitanX {
    read("titan-x.toml")
}

pub fn others() -> Others {
    read("others.toml")
}

pub fn gpu(name: &str) -> Gpu {
    Gpu::find(&Gpu::built_in(), name).unwrap().clone()
}

pub fn plan(model: &str, batch: usize, input_gradient: bool) -> Plan {
    let model = if model.ends_with(".toml") { Model::read(&folder().join(model)) } else { Model::named(model) };
    Plan::new(&model.unwrap(), Options { input_gradient, ..Options::of_batch(batch) }).unwrap()
}

pub fn predict(plan: &Plan, gpu: &Gpu, fractions: &Fractions, search: Search, phases: &[Phase]) -> Predicted {
    let question = Question { gpu, precision: Precision::F32, search, phases };
    Predicted::new(plan.clone(), fractions, question).unwrap()
}

impl Network {
    /// As Caffe times it.
    pub fn in_caffe(&self, fractions: &Fractions) -> Predicted {
        let plan = plan(&self.model, self.batch, true);
        predict(&plan, &gpu(&titan_x().gpu), fractions, Search::Heuristic, &NO_UPDATE)
    }

    /// As Torch times it.
    pub fn in_torch(&self, fractions: &Fractions) -> Predicted {
        let plan = plan(&self.model, self.batch, false);
        predict(&plan, &gpu(&titan_x().gpu), fractions, Search::Exhaustive, &NO_UPDATE)
    }

    /// Σ of the layers whose name begins so, forward and backward.
    pub fn caffe_ms(&self, beginning: &str) -> [f64; 2] {
        let layers = self.caffe.iter().filter(|row| row.layer.starts_with(beginning));
        layers.fold([0.0, 0.0], |[forward, backward], row| [forward + row.forward, backward + row.backward])
    }
}

/// Σ in ms of the predicted phases of layers whose name begins so.
pub fn ms(predicted: &Predicted, beginning: &str, phases: &[Phase]) -> f64 {
    let within = predicted.phases.iter().filter(|phase| {
        phases.contains(&phase.op.phase) && predicted.plan.layers[phase.op.layer].name.starts_with(beginning)
    });
    within.map(|phase| phase.us).sum::<f64>() / 1e3
}
