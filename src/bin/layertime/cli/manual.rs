//! The command line about itself: completions for shells, and pages for man.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

#[derive(Clone, Debug, PartialEq, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

#[derive(Clone, Debug, PartialEq, Args)]
pub struct ManArgs {
    /// The page of this command [default: the program's own].
    #[arg(value_name = "COMMAND", conflicts_with = "out")]
    pub command: Option<String>,
    /// Write all pages into this folder: layertime.1, layertime-run.1 and so on.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
