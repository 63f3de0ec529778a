//! `layertime predict`: what a GPU that is not here would take.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use super::{UsageError, sweep};
use crate::cli::PredictArgs;
use layertime::device::options::Layout;
use layertime::model::Model;
use layertime::plan::{Options, Phase, Plan, Precision};
use layertime::predict::{Constants, Gpu, GpuError, Predicted, Program, Question, Spread};
use layertime::report::folder::Folder;
use layertime::report::header::{Header, MachineFacts, RunState};
use layertime::report::predict::several;
use layertime::report::run::{Origin, Run};
use layertime::report::run_tables::Selection;
use layertime::report::table::wrapped;
use layertime::report::{run_tables, verdict};

/// One GPU's predictions, batch by batch, and the run that they make.
struct Prediction {
    predicted: Vec<Predicted>,
    run: Run,
}

pub fn run(mut args: PredictArgs) -> Result<ExitCode> {
    args.settle_precision().map_err(UsageError)?;
    let known = KnownGpus::new(args.gpu_file.as_deref())?;
    let (gpus, left_out) = known.choose(&args.gpu, args.precision)?;
    let model = Model::open(&args.model)?;
    let options = Options { input_gradient: args.input_gradient, precision: args.precision, ..Options::of_batch(1) };
    let plans = sweep::plans(&model, &args.batch, &args.image, options)?;
    check_phases(&args.phases, &plans, args.precision)?;
    let answers: Vec<Prediction> =
        gpus.into_iter().map(|gpu| Prediction::new(gpu, &model, &plans, &args)).collect::<Result<_, _>>()?;
    let fits = answers.iter().any(Prediction::fits);
    print(&answers, &left_out, &args, &model)?;
    if let Some(out) = &args.out {
        for answer in answers {
            writeln!(std::io::stdout(), "saved in {}", answer.save(out)?)?;
        }
    }
    if !fits {
        bail!("no batch fits in memory: choose smaller ones with --batch");
    }
    Ok(ExitCode::SUCCESS)
}

/// The GPUs that can be named: a user's own, which take the place of others of the same name, before the program's.
struct KnownGpus {
    gpus: Vec<Gpu>,
    own: usize,
}

impl KnownGpus {
    fn new(file: Option<&Path>) -> Result<KnownGpus, GpuError> {
        let mut gpus = file.map_or(Ok(Vec::new()), Gpu::read)?;
        let own = gpus.len();
        let others = Gpu::built_in().into_iter().filter(|gpu| !gpus.iter().any(|own| own.is_namesake(gpu)));
        gpus.extend(others.collect::<Vec<_>>());
        Ok(KnownGpus { gpus, own })
    }

    /// Without names, the user's own GPUs, or all where there are none.
    fn unnamed(&self) -> &[Gpu] {
        if self.own > 0 { &self.gpus[..self.own] } else { &self.gpus }
    }

    /// The GPUs that are asked for, and those of `all` that lack the precision. By name these are refused.
    fn choose(&self, names: &[String], precision: Precision) -> Result<(Vec<&Gpu>, Vec<&Gpu>), GpuError> {
        let group = match names {
            [] => self.unnamed(),
            names if names.iter().any(|name| name == "all") => &self.gpus,
            _ => &[],
        };
        let (mut gpus, left_out): (Vec<&Gpu>, Vec<&Gpu>) = group.iter().partition(|gpu| gpu.peak(precision).is_some());
        if let (true, Some(gpu)) = (gpus.is_empty(), left_out.first()) {
            gpu.ceilings(precision)?;
        }
        for name in names.iter().filter(|name| *name != "all") {
            let gpu = Gpu::find(&self.gpus, name)?;
            gpu.ceilings(precision)?;
            if !gpus.contains(&gpu) {
                gpus.push(gpu);
            }
        }
        Ok((gpus, left_out))
    }
}

impl Prediction {
    fn new(gpu: &Gpu, model: &Model, plans: &[Plan], args: &PredictArgs) -> Result<Prediction, GpuError> {
        let question = Question {
            gpu,
            precision: args.precision,
            search: args.algorithms,
            layout: layout(args),
            program: args.program,
            phases: &counted(args),
        };
        let constants = Constants::fitted();
        let predict = |plan: &Plan| Predicted::new(plan.clone(), &constants, question);
        let predicted = plans.iter().map(predict).collect::<Result<Vec<_>, _>>()?;
        let mut run = begun(gpu, model, args)?;
        predicted.iter().for_each(|predicted| run.add_predicted(predicted));
        Ok(Prediction { predicted, run })
    }

    fn fits(&self) -> bool {
        self.predicted.iter().any(|predicted| predicted.fits)
    }

    /// Writes a run's folder; its path.
    fn save(self, out: &Path) -> Result<String> {
        let mut folder = Folder::create(out, Run { points: Vec::new(), ..self.run })?;
        for predicted in &self.predicted {
            folder.append_predicted(predicted)?;
        }
        folder.finish(RunState::Complete)?;
        Ok(folder.path().display().to_string())
    }
}

/// As the program in question chooses it.
fn layout(args: &PredictArgs) -> Layout {
    args.layout.unwrap_or_else(|| args.program.layout(args.precision))
}

/// The phases that count, each once.
fn counted(args: &PredictArgs) -> Vec<Phase> {
    let all = args.phases.is_empty();
    Phase::ALL.into_iter().filter(|phase| all || args.phases.contains(phase)).collect()
}

/// Refuses a phase that no layer has, which would count as nothing.
fn check_phases(wanted: &[Phase], plans: &[Plan], precision: Precision) -> Result<(), UsageError> {
    let exists =
        |phase: &Phase| plans.iter().flat_map(|plan| &plan.layers).any(|layer| layer.phases().any(|of| of == *phase));
    let Some(missing) = wanted.iter().find(|phase| !exists(phase)) else { return Ok(()) };
    let existing: Vec<Phase> = Phase::ALL.into_iter().filter(exists).collect();
    Err(UsageError(format!(
        "no layer has the phase {} at {precision}: give some of {}",
        missing.name(),
        names(&existing)
    )))
}

/// The run of a GPU, without points.
fn begun(gpu: &Gpu, model: &Model, args: &PredictArgs) -> Result<Run, GpuError> {
    let phases = counted(args).iter().map(|phase| phase.name()).collect::<Vec<_>>().join(",");
    let measured = "Nothing here was measured: `ceilings` are the datasheet's peaks.".to_owned();
    let machine = MachineFacts {
        device: facts(gpu),
        notes: [measured].into_iter().chain(model.notes.iter().cloned()).collect(),
        ..MachineFacts::default()
    };
    let header = Header {
        input_gradient: args.input_gradient,
        options: [
            ("algorithms".into(), args.algorithms.to_string()),
            ("layout".into(), layout(args).to_string()),
            ("phases".into(), phases),
            ("program".into(), args.program.to_string()),
        ]
        .into(),
        machine,
        ..Header::begin(&*model.source, gpu.ceilings(args.precision)?)
    };
    Ok(Run::new(&model.name, args.precision, Origin::Predicted { gpu: gpu.title.clone() }, header))
}

/// The figures that the prediction starts from.
fn facts(gpu: &Gpu) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut note = |key: &str, value: Option<String>| facts.extend(value.map(|value| (key.to_owned(), value)));
    for precision in Precision::ALL.into_iter().filter(|precision| !precision.is_mixed()) {
        note(&format!("peak {precision}, TFLOP/s"), gpu.peak(precision).map(|peak| peak.to_string()));
    }
    note("bandwidth, GB/s", Some(gpu.bandwidth.to_string()));
    note("memory, GB", Some(gpu.memory.to_string()));
    note("SMs", Some(gpu.sms.to_string()));
    note("L2, MB", gpu.l2_mb.map(|size| size.to_string()));
    note("source", gpu.source.clone());
    note("watts", gpu.watts.map(|watts| watts.to_string()));
    note("constants", serde_json::to_string(&Constants::fitted()).ok());
    note("spread", serde_json::to_string(&Spread::fitted()).ok());
    facts
}

fn print(answers: &[Prediction], left_out: &[&Gpu], args: &PredictArgs, model: &Model) -> Result<()> {
    let room = args.room.room();
    let mut out = std::io::stdout().lock();
    let on = match answers {
        [Prediction { run: Run { origin: Origin::Predicted { gpu }, .. }, .. }] => format!(" for {gpu}"),
        _ => String::new(),
    };
    let phases = if args.phases.is_empty() { String::new() } else { format!(", {} only", names(&counted(args))) };
    let (model, precision, algorithms) = (&model.name, args.precision, args.algorithms);
    let program = if args.program == Program::default() { String::new() } else { format!(", as {}", args.program) };
    let title =
        format!("{model}, predicted{on}, {precision}, {algorithms}{program}{phases}; nothing here was measured");
    writeln!(out, "{}\n", wrapped(&title, room))?;
    match answers {
        [answer] => {
            let selection = Selection { batch: None, by: args.layers.by, top: args.layers.top, room };
            write!(out, "{}", run_tables::tables_text(&answer.run, selection))?;
            for sentence in verdict::sentences(&answer.run) {
                writeln!(out, "{}", wrapped(&sentence, room))?;
            }
        }
        answers => write!(out, "{}", several(&answers.iter().map(|answer| &answer.run).collect::<Vec<_>>(), room))?,
    }
    if !left_out.is_empty() {
        let titles: Vec<&str> = left_out.iter().map(|gpu| gpu.title.as_str()).collect();
        let left_out = format!("Left out, without {}: {}.", args.precision, titles.join(", "));
        writeln!(out, "{}", wrapped(&left_out, room))?;
    }
    Ok(())
}

fn names(phases: &[Phase]) -> String {
    phases.iter().map(|phase| phase.name()).collect::<Vec<_>>().join(", ")
}
