//! The commands: each puts the library's parts together and prints.

mod compare;
mod devices;
mod inspect;
mod manual;
mod plot;
mod predict;
mod ranks;
mod run;
mod settings;
mod show;
mod sweep;
mod verify;

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use anyhow::{Error, Result};

use crate::cli::{Cli, Command};
use layertime::device::DeviceError;
use layertime::model::ModelError;
use layertime::plan::PlanError;
use layertime::predict::GpuError;
use layertime::stderr::say;

/// A mistake in how the program was called, found after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Does what the command line asks.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Run(args) => run::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Show(args) => show::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Completions(args) => manual::completions(args),
        Command::Man(args) => manual::man(args),
    }
}

/// Prints an error as one line on stderr and tells the exit code: 0 when our reader closed its end, 2 for a mistake in usage
/// (arguments, model file, names), 1 for everything else.
pub fn exit_code(error: &Error) -> ExitCode {
    if error.chain().any(reader_is_gone) {
        return ExitCode::SUCCESS;
    }
    say(format!("error: {error:#}"));
    ExitCode::from(error_code(error))
}

fn error_code(error: &Error) -> u8 {
    if error.chain().any(is_usage) { 2 } else { 1 }
}

fn reader_is_gone(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

fn is_usage(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<UsageError>()
        || cause.is::<ModelError>()
        || cause.is::<PlanError>()
        || cause.is::<GpuError>()
        || matches!(cause.downcast_ref(), Some(DeviceError::Usage(_)))
}
