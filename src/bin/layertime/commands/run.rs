//! `layertime run`: the sweep, its folder, the table and the verdict.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use super::{UsageError, ranks, settings, sweep};
use crate::cli::{RunArgs, resume};
use crate::progress::Progress;
use layertime::device::options::DeviceOptions;
use layertime::device::{self, Device, Opened};
use layertime::interrupt::Interrupt;
use layertime::model::Model;
use layertime::plan::{Options, Plan, PlanError, Share};
use layertime::profile::Status;
use layertime::profile::load::{LoadMeter, Moment};
use layertime::profile::measure::{MeasureError, MeasureSettings, measure};
use layertime::profile::stopping::StoppingRule;
use layertime::ranks::Ranks;
use layertime::report::folder::{self, Folder};
use layertime::report::header::{Header, MachineFacts, Measuring, Processor, RunState};
use layertime::report::run::{Measurement, Origin, Point, Run};
use layertime::report::run_tables::Selection;
use layertime::report::show;
use layertime::stderr::say;
use layertime::step::Step;

pub fn run(args: RunArgs) -> Result<ExitCode> {
    ranks::each(|ranks| run_as(args, ranks))
}

fn run_as(args: RunArgs, ranks: Option<Ranks>) -> Result<ExitCode> {
    let mut args = with_stored_options(args)?;
    args.device.settle_precision().map_err(UsageError)?;
    check_threads(args.device.threads)?;
    let model = Model::open(&args.model)?;
    // A mistake in the description shows before any device is opened.
    plans(&model, &args, &[1], Share::ALONE)?;
    if let Some(code) = ranks.as_ref().and_then(|ranks| ranks::disagree(ranks, &model)) {
        return Ok(code);
    }
    let interrupt = Interrupt::watch().context("cannot watch for Ctrl-C")?;
    let options = DeviceOptions { ranks: ranks.clone(), reduce: args.reduce, ..args.device.options() };
    let Opened { device, no_gpu } = device::open(args.device.device, &options)?;
    let device = device.as_ref();
    let wanted =
        plans(&model, &args, device.info().default_batches, ranks.as_ref().map_or(Share::ALONE, Ranks::share))?;
    if let Some(ranks) = ranks.filter(|ranks| !ranks.is_first()) {
        let settings = measure_settings(&args, &interrupt, BTreeMap::new());
        return ranks::follow(&ranks, device, &wanted, args.training.constants(), &settings);
    }
    let machine = machine(device);
    let (meter, begun) = (LoadMeter::default(), LoadMeter::default().read());
    settings::lock(device, no_gpu.as_deref(), &args.clocks.wanted())?;
    no_gpu.iter().for_each(|why| say(format!("on the CPU: {why}")));
    let mut folder = open_folder(&args, &model, device, machine)?;
    folder.header_mut().note(settings::unlocked(device, &args.clocks.wanted()));
    settings::note(device, &mut folder);
    if wanted.iter().any(|plan| !folder.has(plan.batch, plan.image())) {
        say_busy(device, &meter, begun);
    }
    let result = sweep(device, &wanted, &args, &interrupt, &meter, &mut folder);
    settings::put_back(device, &mut folder);
    let state = *result.as_ref().unwrap_or(&RunState::Failed);
    folder.finish(state)?;
    print(&folder, state, &args)?;
    if result? == RunState::Interrupted {
        let signal = interrupt.signal().unwrap_or_default();
        say(format!("interrupted: go on with layertime run --resume {}", folder.path().display()));
        return Ok(ExitCode::from(128 + signal as u8));
    }
    if !folder.run().points.iter().any(Point::is_measured) {
        let remedy = match folder.run().points.iter().any(|point| point.batch == 1) {
            true => "even batch 1 was: choose a smaller --image or --model, free memory or raise the limit (ulimit -v)",
            false => "choose smaller ones with --batch",
        };
        bail!("no batch could be measured: all were out of memory, {remedy}");
    }
    Ok(ExitCode::SUCCESS)
}

/// With `--resume`, the options that the run was started with, but for those given now.
fn with_stored_options(args: RunArgs) -> Result<RunArgs> {
    let Some(resumed) = &args.resume else { return Ok(args) };
    let stored = folder::read_run(resumed)?;
    resume::options(&stored.argv, std::env::args_os()).with_context(|| {
        format!("cannot resume {}: its run.json holds no command line of run; begin a new run", resumed.display())
    })
}

/// Refuses more threads than processors: each would be timed while it waits for another.
fn check_threads(threads: Option<usize>) -> Result<(), UsageError> {
    let processors = device::cpu::processor_threads();
    match threads.filter(|&threads| threads > processors) {
        Some(threads) => Err(UsageError(format!(
            "{threads} threads are more than the processors that this program may use: give --threads up to {processors}"
        ))),
        None => Ok(()),
    }
}

/// The batch and image sizes to measure.
fn plans(model: &Model, args: &RunArgs, own_batches: &[usize], share: Share) -> Result<Vec<Plan>, PlanError> {
    let batches = if args.batch.is_empty() { own_batches } else { &args.batch };
    let RunArgs { input_gradient, ref device, .. } = *args;
    let options = Options { input_gradient, precision: device.precision, share, ..Options::of_batch(1) };
    sweep::plans(model, batches, &args.image, options)
}

fn open_folder(args: &RunArgs, model: &Model, device: &dyn Device, machine: MachineFacts) -> Result<Folder> {
    let begun = args.resume.as_deref().map(folder::read_run).transpose()?;
    let rule = rule(args);
    let ceilings = begun.as_ref().map_or_else(|| device.ceilings(rule.max_time), |begun| Ok(begun.ceilings))?;
    let samples = args.writes_samples(begun.map(|begun| begun.setup.samples));
    let info = device.info();
    let measuring = Measuring {
        target: rule.target,
        max_time_s: rule.max_time.as_secs_f64(),
        min_samples: rule.min_samples,
        warm_up_s: Some(rule.warm_up().as_secs_f64()),
    };
    let measurement = Measurement { threads: info.threads, training: args.training.constants(), measuring, samples };
    let origin = Origin::Measured {
        device: info.name.clone(),
        layout: info.layout.to_string(),
        launch: info.launch.to_string(),
        measurement: Some(measurement),
    };
    let (input_gradient, options) = (args.input_gradient, settings::options(device));
    let mut header = Header { input_gradient, options, machine, ..Header::begin(&*model.source, ceilings) };
    header.note(model.notes.iter().cloned());
    let run = Run::new(&model.name, info.precision, origin, header);
    match &args.resume {
        Some(folder) => Folder::resume(folder, &run),
        None => Folder::create(&args.out, run),
    }
}

fn machine(device: &dyn Device) -> MachineFacts {
    let info = device.info();
    MachineFacts {
        cpu: Processor { model: device::cpu::processor_name(), threads: device::cpu::processor_threads() },
        device: info.facts.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
        settings_before: settings::now(device),
        environment: info.environment.clone(),
        ..MachineFacts::default()
    }
}

fn rule(args: &RunArgs) -> StoppingRule {
    let RunArgs { target, max_time, min_samples, warm_up, .. } = *args;
    StoppingRule { target, max_time, min_samples, warm_up }
}

fn measure_settings(args: &RunArgs, interrupt: &Interrupt, device: BTreeMap<String, String>) -> MeasureSettings {
    MeasureSettings { rule: rule(args), seed: args.training.seed, device, interrupt: interrupt.clone() }
}

/// Says, before anything is measured, that others use the device: its processors since the program began, or the GPU.
fn say_busy(device: &dyn Device, meter: &LoadMeter, begun: Option<Moment>) {
    // Other ranks are no other programs.
    let alone = device.info().threads.filter(|_| device.ranks().is_none());
    let load = alone.and_then(|threads| meter.since(begun)?.warning(threads));
    let of_monitor = device.monitor().map(|monitor| monitor.notes()).unwrap_or_default();
    load.into_iter().chain(of_monitor).for_each(|note| say(format!("note: {note}")));
}

/// Measures what the folder does not hold yet.
fn sweep(
    device: &dyn Device,
    plans: &[Plan],
    args: &RunArgs,
    interrupt: &Interrupt,
    meter: &LoadMeter,
    folder: &mut Folder,
) -> Result<RunState> {
    let rule = rule(args);
    let before = folder.header().machine.settings_before.clone().unwrap_or_default();
    let settings = measure_settings(args, interrupt, before);
    ranks::tell(device, plans.iter().map(|plan| !folder.has(plan.batch, plan.image())))?;
    let wanted: Vec<&Plan> = plans.iter().filter(|plan| !folder.has(plan.batch, plan.image())).collect();
    match wanted.is_empty() {
        true => say("nothing is missing from this run: no batch was measured"),
        false => folder.go_on()?,
    }
    let mut progress = Progress::new(wanted.len(), rule);
    for plan in wanted {
        progress.batch(plan.batch, plan.image());
        let step = Step::new(plan.clone());
        let begun = meter.read();
        match measure(device, &step, args.training.constants(), &settings, &mut progress) {
            Ok(mut measured) => {
                let alone = device.ranks().is_none();
                let threads = device.info().threads.filter(|_| alone && measured.status == Status::Noisy);
                let load = threads.and_then(|threads| Some(meter.since(begun)?.explanation(threads)));
                measured.observed.notes.extend(load);
                settings::note(device, folder);
                folder.append(&measured)?;
            }
            Err(MeasureError::Interrupted(_)) => return Ok(RunState::Interrupted),
            Err(error) => return Err(error).with_context(|| format!("at batch {}", plan.batch)),
        }
    }
    Ok(RunState::Complete)
}

/// The table and the verdict of all whole batches.
fn print(folder: &Folder, state: RunState, args: &RunArgs) -> Result<()> {
    let selection = Selection { batch: None, by: args.layers.by, top: args.layers.top, room: args.room.room() };
    let mut out = std::io::stdout().lock();
    write!(out, "{}", show::text(folder.run(), selection))?;
    // An interrupted one says how to go on.
    if state != RunState::Interrupted {
        writeln!(out, "saved in {}", folder.path().display())?;
    }
    Ok(())
}
