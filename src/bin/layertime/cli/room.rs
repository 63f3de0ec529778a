//! The form and the width of what is printed.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};

use super::values;
use layertime::report::lines::By;
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

/// The lines of a table of layers.
#[derive(Clone, Copy, Debug, PartialEq, Args)]
pub struct LayerArgs {
    /// A line for each layer, for each block (names up to a dot or slash) or for each kind.
    #[arg(long, value_name = "layer|block|kind", default_value = "layer", value_parser = values::by())]
    pub by: By,
    /// The longest lines, this many or all, and the others in one [default: 20, of more than 25].
    #[arg(long, value_name = "N", value_parser = values::top)]
    pub top: Option<usize>,
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
