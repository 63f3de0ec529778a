use std::process::ExitCode;

use clap::Parser;
use layertime::cli::Cli;
use layertime::commands::{self, exit_code};

fn main() -> ExitCode {
    match commands::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => exit_code(&error),
    }
}
