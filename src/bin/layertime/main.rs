//! The command line of layertime: [`cli`] parses, [`commands`] act, and all that measures is the library's.

mod cli;
mod commands;
mod progress;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use layertime::stderr::say;

fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && steers_a_terminal() => {
            say(error.render().to_string().lines().next().unwrap_or_default());
            return ExitCode::from(2);
        }
        Err(error) => error.exit(),
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => commands::exit_code(&error),
    }
}

/// The command line. Numbers may be negative, so that each option can say its range.
fn parsed() -> Result<cli::Cli, clap::Error> {
    let negative = |argument: clap::Arg| {
        let takes = argument.get_action().takes_values();
        if takes { argument.allow_negative_numbers(true) } else { argument }
    };
    let command = cli::Cli::command().mut_subcommands(|command| command.mut_args(negative));
    cli::Cli::from_arg_matches(&command.try_get_matches()?)
}

/// Tells if the command line, which messages repeat, holds characters that would do more than be read.
fn steers_a_terminal() -> bool {
    std::env::args_os().any(|argument| argument.to_string_lossy().contains(char::is_control))
}
