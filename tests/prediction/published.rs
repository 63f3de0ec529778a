//! The published measurements, each as the work that was timed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use layertime::device::options::{Layout, Search};
use layertime::model::Model;
use layertime::model::kind::{Conv, Pair};
use layertime::plan::{ConvGeometry, LayerPlan, Options, Phase, Plan, Precision, Shape};
use layertime::predict::gpu::Generation;
use layertime::predict::time::GpuRates;
use layertime::predict::work::PhaseWork;
use layertime::predict::{Constants, Gpu, Predicted, Program, Question, planned_bytes};
use layertime::step::Step;
use serde::Deserialize;

/// The phases that are timed when a program trains without an update.
pub const NO_UPDATE: [Phase; 3] = [Phase::Forward, Phase::BackwardData, Phase::BackwardWeights];

/// The kind of figure that a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Of {
    /// One convolution in one phase.
    Conv(Phase),
    /// One matrix product or fully connected layer.
    Gemm,
    /// A whole training step, with or without the update.
    Step,
    /// Some layers or phases of a step.
    Part,
}

/// One published figure.
#[derive(Clone, Debug)]
pub struct Row {
    pub gpu: Gpu,
    pub program: Program,
    pub precision: Precision,
    pub search: Search,
    pub layout: Layout,
    pub of: Of,
    pub network: String,
    pub batch: usize,
    /// Each with how often it comes.
    pub works: Vec<(PhaseWork, f64)>,
    pub us: f64,
    /// In the fit.
    pub weight: f64,
}

impl Row {
    pub fn predicted_us(&self, constants: &Constants) -> f64 {
        let machine = GpuRates::new(constants, &self.question());
        self.works.iter().map(|(work, times)| machine.time(work).us * times).sum()
    }

    /// ln(predicted / published).
    pub fn error(&self, constants: &Constants) -> f64 {
        (self.predicted_us(constants) / self.us).ln()
    }

    pub fn question(&self) -> Question<'_> {
        let question = question(&self.gpu, self.precision, self.search, self.program);
        Question { layout: self.layout, ..question }
    }

    pub fn generation(&self) -> Generation {
        self.gpu.generation.unwrap()
    }

    /// GPUs that are left out together: the boards of one chip.
    pub fn chip(&self) -> &str {
        let name = self.gpu.name.as_str();
        match name {
            "titan-rtx" | "quadro-rtx-6000" | "quadro-rtx-8000" => "TU102 with f16 at full rate",
            _ if name.starts_with("a100") => "A100",
            _ if name.starts_with("v100") => "V100",
            _ if name.starts_with("p100") => "P100",
            _ if name.starts_with("h100") || name == "h200-sxm" || name == "gh200" => "GH100",
            _ => name,
        }
    }
}

pub fn question(gpu: &Gpu, precision: Precision, search: Search, program: Program) -> Question<'_> {
    Question { gpu, precision, search, layout: Layout::Nchw, program, phases: &Phase::ALL }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/published")
}

fn table(name: &str) -> csv::Reader<std::fs::File> {
    csv::Reader::from_path(folder().join(name)).unwrap()
}

pub fn gpu(name: &str) -> Gpu {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    Gpu::find(GPUS.get_or_init(Gpu::built_in), name).unwrap().clone()
}

pub fn plan(model: &str, batch: usize, input_gradient: bool, precision: Precision) -> Plan {
    let model = if model.ends_with(".toml") { Model::read(&folder().join(model)) } else { Model::named(model) };
    Plan::new(&model.unwrap(), Options { input_gradient, precision, ..Options::of_batch(batch) }).unwrap()
}

/// All of them.
pub fn rows() -> Vec<Row> {
    let mut rows = deepbench();
    rows.extend(neusight());
    rows.extend(steps());
    rows.extend(titan_x_rows());
    rows
}

/// The GPU and precision in the title of a column.
fn column(title: &str) -> Option<(Gpu, Precision)> {
    let (name, precision) = title.split_once(' ')?;
    Some((gpu(name), precision.parse().ok()?))
}

fn deepbench() -> Vec<Row> {
    let mut rows = Vec::new();
    for (file, keys) in [("deepbench-conv.csv", 12), ("deepbench-gemm.csv", 4)] {
        let mut table = table(file);
        let columns: Vec<_> = table.headers().unwrap().iter().skip(keys).map(|title| column(title).unwrap()).collect();
        for record in table.records().map(Result::unwrap) {
            for ((gpu, precision), cell) in columns.iter().zip(record.iter().skip(keys)) {
                if cell.is_empty() {
                    continue;
                }
                let element = precision.element_bytes() as f64;
                let number = |index: usize| record[index].parse::<usize>().unwrap();
                let (of, batch, work) = if keys == 12 {
                    let phase: Phase = serde_json::from_value(record[0].into()).unwrap();
                    let conv = conv(std::array::from_fn(|index| number(index + 1)));
                    (Of::Conv(phase), conv.n, conv_work(&conv, phase, element))
                } else {
                    let phase = match &record[3] {
                        "NN" => Phase::Forward,
                        "TN" => Phase::BackwardData,
                        _ => Phase::BackwardWeights,
                    };
                    (Of::Gemm, number(1), gemm_work([number(0), number(1), number(2)], phase, element))
                };
                rows.push(Row {
                    gpu: gpu.clone(),
                    program: Program::Layertime,
                    precision: *precision,
                    search: Search::Heuristic,
                    layout: Layout::Nchw,
                    of,
                    network: "DeepBench".into(),
                    batch,
                    works: vec![(work, 1.0)],
                    us: cell.parse().unwrap(),
                    weight: 0.28,
                });
            }
        }
    }
    rows
}

/// In the order of the file.
fn conv([n, c, h, w, k, kernel_h, kernel_w, pad_h, pad_w, stride_h, stride_w]: [usize; 11]) -> ConvGeometry {
    let conv = Conv {
        channels: k,
        kernel: Pair { h: kernel_h, w: kernel_w },
        stride: Pair { h: stride_h, w: stride_w },
        pad: Pair { h: pad_h, w: pad_w }.into(),
        dilation: Pair::square(1),
        groups: 1,
        bias: false,
    };
    ConvGeometry::new(&conv, Shape { n, c, h, w }).unwrap_or_else(|_| panic!("a convolution that cannot be"))
}

/// Run again and again, so that the L2 holds its own operands.
fn conv_work(conv: &ConvGeometry, phase: Phase, element: f64) -> PhaseWork {
    let bytes = element * (conv.input_len() + conv.output_len() + conv.weight_len()) as f64;
    PhaseWork::conv(conv, phase, bytes, bytes)
}

fn gemm_work([m, n, k]: [usize; 3], phase: Phase, element: f64) -> PhaseWork {
    let bytes = element * (m * k + k * n + m * n) as f64;
    PhaseWork::gemm([m as f64, n as f64, k as f64], phase, bytes, bytes)
}

#[derive(Deserialize)]
struct Neusight {
    what: String,
    gpu: String,
    batch: usize,
    inputs: usize,
    outputs: usize,
    side: usize,
    us: f64,
}

fn neusight() -> Vec<Row> {
    let row = |Neusight { what, gpu: name, batch, inputs, outputs, side, us }: Neusight| {
        let (of, work) = if what == "fc" {
            (Of::Gemm, gemm_work([batch, outputs, inputs], Phase::Forward, 4.0))
        } else {
            let conv = conv([batch, inputs, side, side, outputs, 3, 3, 1, 1, 1, 1]);
            (Of::Conv(Phase::Forward), conv_work(&conv, Phase::Forward, 4.0))
        };
        Row {
            gpu: gpu(&name),
            program: Program::PytorchEager,
            precision: Precision::F32,
            search: Search::Heuristic,
            layout: Layout::Nchw,
            of,
            network: "NeuSight".into(),
            batch,
            works: vec![(work, 1.0)],
            us,
            weight: 0.2,
        }
    };
    table("neusight.csv").deserialize().map(|record| row(record.unwrap())).collect()
}

#[derive(Deserialize)]
struct StepRow {
    gpu: String,
    program: String,
    precision: String,
    model: String,
    batch: usize,
    phases: String,
    ms: f64,
    source: String,
    /// The program's own where it is left out.
    layout: Option<Layout>,
}

/// A step's layers, and the bytes that it holds.
fn layers_of(model: &str, batch: usize, precision: Precision) -> (Vec<LayerPlan>, f64) {
    let step = Step::new(plan(model, batch, false, precision));
    let bytes = planned_bytes(&step, precision) as f64;
    (step.plan.layers, bytes)
}

fn steps() -> Vec<Row> {
    let mut plans: HashMap<(String, usize, u64), (Vec<LayerPlan>, f64)> = HashMap::new();
    let mut row = |record: StepRow| {
        assert!(!record.source.is_empty());
        let precision: Precision = record.precision.parse().unwrap();
        let key = (record.model.clone(), record.batch, precision.element_bytes());
        let (layers, bytes) = plans.entry(key).or_insert_with(|| layers_of(&record.model, record.batch, precision));
        let (of, phases): (Of, &[Phase]) = match record.phases.as_str() {
            "forward" => (Of::Part, &[Phase::Forward]),
            "backward" => (Of::Part, &[Phase::BackwardData, Phase::BackwardWeights]),
            "gradients" => (Of::Step, &NO_UPDATE),
            _ => (Of::Step, &[NO_UPDATE[0], NO_UPDATE[1], NO_UPDATE[2], Phase::WeightUpdate]),
        };
        let (program, batch): (Program, _) = (record.program.parse().unwrap(), record.batch);
        let gpu = gpu(&record.gpu);
        let own = if gpu.uses_tensor_cores(precision) { program.layout(precision) } else { Layout::Nchw };
        let layout = record.layout.unwrap_or(own);
        Row {
            gpu,
            program,
            precision,
            search: Search::Exhaustive,
            layout,
            of,
            network: record.model.trim_end_matches(".toml").into(),
            batch,
            works: works(layers, layers.iter(), phases, *bytes),
            us: record.ms * 1e3,
            weight: if of == Of::Step && batch < 8 { 0.3 } else { 1.0 },
        }
    };
    table("steps.csv").deserialize().map(|record| row(record.unwrap())).collect()
}

/// Equal ones once.
fn works<'l>(
    all: &[LayerPlan],
    layers: impl IntoIterator<Item = &'l LayerPlan>,
    phases: &[Phase],
    step_bytes: f64,
) -> Vec<(PhaseWork, f64)> {
    let mut counted: BTreeMap<String, (PhaseWork, f64)> = BTreeMap::new();
    for layer in layers {
        for &phase in phases.iter().filter(|&&phase| layer.has(phase)) {
            let work = PhaseWork::of(all, layer, phase, step_bytes);
            counted.entry(format!("{work:?}")).or_insert((work, 0.0)).1 += 1.0;
        }
    }
    counted.into_values().collect()
}

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
    pub caffe: Vec<CaffeLayer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaffeLayer {
    pub layer: String,
    pub forward: f64,
    pub backward: f64,
}

pub fn titan_x() -> TitanX {
    toml::from_str(&std::fs::read_to_string(folder().join("titan-x.toml")).unwrap()).unwrap()
}

/// Caffe's layers by kind, forward and backward.
fn titan_x_rows() -> Vec<Row> {
    let mut rows = Vec::new();
    let TitanX { gpu: name, network } = titan_x();
    for network in &network {
        let mut add = |program, search, works, ms: f64| {
            rows.push(Row {
                gpu: gpu(&name),
                program,
                precision: Precision::F32,
                search,
                layout: Layout::Nchw,
                of: Of::Part,
                network: network.model.trim_end_matches(".toml").into(),
                batch: network.batch,
                works,
                us: ms * 1e3,
                weight: 1.0,
            });
        };
        let caffe = plan(&network.model, network.batch, true, Precision::F32);
        for kind in ["conv", "fc", "pool", "relu"] {
            let timed: Vec<&CaffeLayer> = network.caffe.iter().filter(|row| row.layer.starts_with(kind)).collect();
            let layers: Vec<&LayerPlan> =
                caffe.layers.iter().filter(|layer| timed.iter().any(|row| row.layer == layer.name)).collect();
            let of = |phases: &[Phase]| works(&caffe.layers, layers.iter().copied(), phases, 1e9);
            let [forward, backward] = network.caffe_ms(kind);
            add(Program::Caffe, Search::Heuristic, of(&[Phase::Forward]), forward);
            add(Program::Caffe, Search::Heuristic, of(&[Phase::BackwardData, Phase::BackwardWeights]), backward);
        }
    }
    rows
}

impl Network {
    /// As Caffe times it.
    pub fn in_caffe(&self, constants: &Constants) -> Predicted {
        let plan = plan(&self.model, self.batch, true, Precision::F32);
        let gpu = gpu(&titan_x().gpu);
        let question = question(&gpu, Precision::F32, Search::Heuristic, Program::Caffe);
        Predicted::new(plan, constants, Question { phases: &NO_UPDATE, ..question }).unwrap()
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
