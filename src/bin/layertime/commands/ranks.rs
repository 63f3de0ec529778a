//! `layertime run` on several ranks: all measure the same batches, the first alone writes and prints.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{UsageError, error_code};
use layertime::device::{Device, Training};
use layertime::model::Model;
use layertime::plan::Plan;
use layertime::profile::measure::{MeasureError, MeasureSettings, Unwatched, measure};
use layertime::ranks::agree::{self, Facts};
use layertime::ranks::{Ranks, launch};
use layertime::report::header::ProgramVersion;
use layertime::stderr::say;
use layertime::step::Step;

/// Does the work as the rank that this process is. A rank that fails says so, and ends the others with it.
pub fn each(work: impl FnOnce(Option<Ranks>) -> Result<ExitCode>) -> Result<ExitCode> {
    let ranks = match launch::join() {
        Ok(Some(ranks)) => ranks,
        Ok(None) => return work(None),
        // The first says it and fails: were another to fail before that, the launcher would end it unheard.
        Err(_) if launch::is_silent() => return Ok(ExitCode::SUCCESS),
        Err(error) => return Err(UsageError(error.to_string()).into()),
    };
    work(Some(ranks.clone())).or_else(|error| {
        let code = error_code(&error);
        say(format!("error: rank {}: {error:#}", ranks.rank()));
        ranks.abort(i32::from(code));
        Ok(ExitCode::from(code))
    })
}

/// Makes sure that all ranks are the same program with the same model and options. Where they are not, the first says it, and this is
/// the exit code of all.
pub fn disagree(ranks: &Ranks, model: &Model) -> Option<ExitCode> {
    let own = Facts {
        version: ProgramVersion::current().to_string(),
        model: model.source.to_string(),
        options: std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into()).collect(),
    };
    let error = agree::check(ranks, &own).err()?;
    if ranks.is_first() {
        say(format!("error: {error}"));
    }
    Some(ExitCode::from(2))
}

/// Tells the other ranks which of the planned batches are to be measured.
pub fn tell(device: &dyn Device, wanted: impl Iterator<Item = bool>) -> Result<()> {
    let Some(ranks) = device.ranks() else { return Ok(()) };
    Ok(ranks.broadcast(0, &mut wanted.map(u8::from).collect())?)
}

/// Measures as one of the others what the first measures. Its own figures are in the first's.
pub fn follow(
    ranks: &Ranks,
    device: &dyn Device,
    plans: &[Plan],
    training: Training,
    settings: &MeasureSettings,
) -> Result<ExitCode> {
    let mut wanted = Vec::new();
    ranks.broadcast(0, &mut wanted)?;
    for (plan, _) in plans.iter().zip(wanted).filter(|(_, wanted)| *wanted != 0) {
        match measure(device, &Step::new(plan.clone()), training, settings, &mut Unwatched) {
            Ok(_) => {}
            Err(MeasureError::Interrupted(signal)) => return Ok(ExitCode::from(128 + signal as u8)),
            Err(error) => return Err(error).with_context(|| format!("at batch {}", plan.batch)),
        }
    }
    Ok(ExitCode::SUCCESS)
}
