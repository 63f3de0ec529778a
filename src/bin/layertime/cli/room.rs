//! The form and the width of what is printed.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};

use layertime::report::table::Room;

/// The form in which a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As `run` printed it.
    Text,
    /// The same, for an issue or a pull request.
    Markdown,
    /// Rows of phases.csv.
    Csv,
    /// The tables and the verdict.
    Json,
}

/// The width of tables.
#[derive(Clone, Copy, Debug, PartialEq, Args)]
pub struct RoomArgs {
    /// Print tables with all figures, as wide as they are, in place of 80 columns.
    #[arg(long)]
    pub wide: bool,
}

impl RoomArgs {
    pub fn room(self) -> Room {
        match (self.wide, std::io::stdout().is_terminal()) {
            (true, _) => Room::Wide,
            (false, true) => Room::Terminal,
            (false, false) => Room::Pipe,
        }
    }
}
