//! cuDNN's graph API against the real library, without a GPU: the program's own code builds the graph of every convolution of every built-in
//! network, filters the engines that cuDNN proposes for six GPUs, and makes plans of them.
//!
//! `LAYERTIME_DEVICELESS=1` says that a real libcudnn.so.9 and a libcuda.so.1, if only a stand-in, are in the loader's path
//! (`tests/nvidia.sh`); otherwise there is nothing to ask.

use std::collections::BTreeSet;

use layertime::device::cuda::engines::{ConvQuery, DescribedGpu, EngineRules, Family, choose};
use layertime::device::options::Layout;
use layertime::model::Model;
use layertime::plan::{ConvGeometry, Geometry, Options, Phase, Plan, Precision};
use rayon::prelude::*;

use super::gpus::{GPUS, Gpu};

const PHASES: [Phase; 3] = [Phase::Forward, Phase::BackwardData, Phase::BackwardWeights];
const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::Tf32, Precision::F16, Precision::Bf16];

/// Every convolution of every built-in network, each once.
fn convolutions(batch: usize) -> Vec<ConvGeometry> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for model in ["alexnet", "alexnet-2012", "vgg11", "vgg16", "vgg19", "tiny"] {
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

fn ask(gpu: &Gpu, described: &DescribedGpu, query: &ConvQuery, counts: &mut Counts) {
    let rules = EngineRules { precision: query.precision, deterministic: false, workspace_limit: Some(8 << 30) };
    counts.graphs += 1;
    let choice = match choose(described, query, &rules, 2) {
        Ok(Some(choice)) => choice,
        nothing => {
            counts.failures += 1;
            return eprintln!("{}: {query:?}: {nothing:?}", gpu.name);
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
}

fn survey(gpu: &Gpu) -> Counts {
    let described = DescribedGpu::new(&gpu.json()).unwrap();
    let mut counts = Counts::default();
    // Programs refuse TF32 and bf16 on GPUs before 8.0.
    let precisions = PRECISIONS
        .into_iter()
        .filter(|precision| gpu.version >= 800 || !matches!(precision, Precision::Tf32 | Precision::Bf16));
    for precision in precisions {
        for geometry in [1, 32, 512].into_iter().flat_map(convolutions) {
            for (phase, layout) in PHASES.into_iter().flat_map(|phase| [(phase, Layout::Nchw), (phase, Layout::Nhwc)]) {
                ask(gpu, &described, &ConvQuery { geometry, phase, precision, layout }, &mut counts);
            }
        }
    }
    counts
}

#[test]
fn cudnn_plans_every_convolution_for_six_gpus() {
    if std::env::var_os("LAYERTIME_DEVICELESS").is_none() {
        return eprintln!("not tested: LAYERTIME_DEVICELESS says whether a real cuDNN is in the loader's path");
    }
    let all: Vec<Counts> = GPUS.par_iter().map(survey).collect();
    for (gpu, counts) in GPUS.iter().zip(&all) {
        println!("{}: {counts:?}", gpu.name);
    }
    let sum = |of: fn(&Counts) -> usize| all.iter().map(of).sum::<usize>();
    let (graphs, plans, failures) =
        (sum(|counts| counts.graphs), sum(|counts| counts.plans), sum(|counts| counts.failures));
    println!("{} GPUs, {graphs} graphs, {plans} plans, failures {failures}", GPUS.len());
    assert!(failures == 0 && plans >= graphs, "{all:?}");
}
