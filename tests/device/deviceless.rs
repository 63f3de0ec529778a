//! cuDNN's graph API against the real library, without a GPU: the program's own code builds the graph of every convolution of every built-in
//! network, filters the engines that cuDNN proposes for six GPUs, and makes plans of them.
//!
//! The families of its choices are a table, `src/predict/cudnn_choices.csv`, which this compares; `WRITE_CHOICES=1` writes it anew.
//!
//! `LAYERTIME_DEVICELESS=1` says that a real libcudnn.so.9 and a libcuda.so.1, if only a stand-in, are in the loader's path
//! (`tests/nvidia.sh`); otherwise there is nothing to ask.

use std::collections::{BTreeMap, BTreeSet};

use layertime::device::cuda::engines::{ConvQuery, DescribedGpu, EngineRules, Family, choose};
use layertime::device::options::Layout;
use layertime::model::Model;
use layertime::plan::{ConvGeometry, Geometry, Options, Phase, Plan, Precision};
use rayon::prelude::*;

use super::gpus::{GPUS, Gpu};

const PHASES: [Phase; 3] = [Phase::Forward, Phase::BackwardData, Phase::BackwardWeights];
const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::Tf32, Precision::F16, Precision::Bf16];

const BATCHES: [usize; 3] = [1, 32, 512];

/// Networks whose choices are in the table; the deep ones' would be ten times as many.
const PLAIN: [&str; 6] = ["alexnet", "alexnet-2012", "vgg11", "vgg16", "vgg19", "tiny"];

/// Every convolution of these networks at a batch size, each once.
fn convolutions<'a>(models: impl IntoIterator<Item = &'a str>, batch: usize) -> Vec<ConvGeometry> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for model in models {
        let plan = Plan::new(&Model::named(model).unwrap(), Options::of_batch(batch)).unwrap();
        for layer in &plan.layers {
            if let Geometry::Conv(conv) = layer.geometry
                && seen.insert(format!("{conv:?}"))
            {
                all.push(conv);
            }
        }
    }
    all
}

/// Counts of one GPU.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    graphs: usize,
    plans: usize,
    failures: usize,
    fallbacks: usize,
}

/// Asks for one convolution; the family of cuDNN's choice, marked where it is of the fallback.
fn ask(gpu: &Gpu, described: &DescribedGpu, query: &ConvQuery, counts: &mut Counts) -> String {
    let rules = EngineRules { precision: query.precision, deterministic: false, workspace_limit: Some(8 << 30) };
    counts.graphs += 1;
    let choice = match choose(described, query, &rules, 2) {
        Ok(Some(choice)) => choice,
        nothing => {
            counts.failures += 1;
            eprintln!("{}: {query:?}: {nothing:?}", gpu.name);
            return "none".into();
        }
    };
    // Tensor cores round f32 operands.
    let rounds = query.precision == Precision::F32 && choice.family == Family::TensorCoreGemm;
    counts.plans += choice.plans;
    counts.fallbacks += usize::from(choice.fallback);
    if rounds || !choice.failed.is_empty() || choice.resized > 0 {
        counts.failures += 1;
        eprintln!("{}: {query:?}: {choice:?}", gpu.name);
    }
    choice.family.name().to_owned() + if choice.fallback { " (fallback)" } else { "" }
}

/// A row of the table: sizes, phase, precision and layout.
fn key(query: &ConvQuery) -> String {
    let ConvQuery { geometry: conv, phase, precision, layout } = query;
    let ConvGeometry { n, c, h, w, k, kernel, stride, pad, groups, .. } = conv;
    let [kernel, stride, pad] = [kernel, stride, pad].map(|[h, w]| format!("{h}x{w}"));
    format!("{n},{c},{h}x{w},{k},{kernel},{stride},{pad},{groups},{},{precision},{layout}", phase.name())
}

/// The table of all GPUs' choices.
fn table(choices: &[BTreeMap<(usize, String), String>]) -> String {
    let cudnn = &layertime::device::cuda::libraries::survey().cudnn.as_ref().unwrap().version;
    let keys: BTreeSet<&(usize, String)> = choices.iter().flat_map(|of_gpu| of_gpu.keys()).collect();
    let names: Vec<&str> = GPUS.iter().map(|gpu| gpu.name).collect();
    let mut text =
        format!("# The family of the first choice of cuDNN {cudnn}, by GPU; made by tests/device/deviceless.rs\n");
    text += "n,c,image,k,kernel,stride,pad,groups,phase,precision,layout,";
    text += &(names.join(",") + "\n");
    for key in keys {
        let cells: Vec<&str> = choices.iter().map(|of_gpu| of_gpu.get(key).map_or("", String::as_str)).collect();
        text += &format!("{},{}\n", key.1, cells.join(","));
    }
    text
}

/// Counts, and choices by row, in order.
fn survey(gpu: &Gpu) -> (Counts, BTreeMap<(usize, String), String>) {
    let described = DescribedGpu::new(&gpu.json()).unwrap();
    let (mut counts, mut choices) = (Counts::default(), BTreeMap::new());
    // Programs refuse TF32 and bf16 on GPUs before 8.0.
    let precisions = PRECISIONS
        .into_iter()
        .filter(|precision| gpu.version >= 800 || !matches!(precision, Precision::Tf32 | Precision::Bf16));
    for precision in precisions {
        let plain = BATCHES.into_iter().flat_map(|batch| convolutions(PLAIN, batch));
        let others = || Model::names().filter(|name| !PLAIN.contains(name));
        let deep = BATCHES.into_iter().flat_map(|batch| convolutions(others(), batch));
        for (in_table, geometry) in plain.map(|conv| (true, conv)).chain(deep.map(|conv| (false, conv))) {
            for (phase, layout) in PHASES.into_iter().flat_map(|phase| [(phase, Layout::Nchw), (phase, Layout::Nhwc)]) {
                let query = ConvQuery { geometry, phase, precision, layout };
                let family = ask(gpu, &described, &query, &mut counts);
                if in_table {
                    choices.insert((geometry.n, key(&query)), family);
                }
            }
        }
    }
    (counts, choices)
}

#[test]
fn cudnn_plans_every_convolution_for_six_gpus() {
    if std::env::var_os("LAYERTIME_DEVICELESS").is_none() {
        return eprintln!("not tested: LAYERTIME_DEVICELESS says whether a real cuDNN is in the loader's path");
    }
    let (all, choices): (Vec<Counts>, Vec<_>) = GPUS.par_iter().map(survey).unzip();
    for (gpu, counts) in GPUS.iter().zip(&all) {
        println!("{}: {counts:?}", gpu.name);
    }
    let sum = |of: fn(&Counts) -> usize| all.iter().map(of).sum::<usize>();
    let (graphs, plans, failures) =
        (sum(|counts| counts.graphs), sum(|counts| counts.plans), sum(|counts| counts.failures));
    println!("{} GPUs, {graphs} graphs, {plans} plans, failures {failures}", GPUS.len());
    assert!(failures == 0 && plans >= graphs, "{all:?}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/predict/cudnn_choices.csv");
    let made = table(&choices);
    if std::env::var_os("WRITE_CHOICES").is_some() {
        std::fs::write(file, &made).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap();
    let differs = committed.lines().zip(made.lines()).find(|(committed, made)| committed != made);
    let how = "another cuDNN chooses otherwise: WRITE_CHOICES=1 tests/nvidia.sh writes the table anew";
    assert!(committed == made, "{how}: {differs:?}");
}
