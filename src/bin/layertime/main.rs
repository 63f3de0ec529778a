//! The command line of layertime: [`cli`] parses, [`commands`] act, and all that measures is the library's.

mod cli;
mod commands;
mod progress;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => commands::exit_code(&error),
    }
}
