//! `layertime show`: a stored run printed again.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;

use crate::cli::{Format, ShowArgs};
use layertime::report::run::Run;
use layertime::report::run_tables::Selection;
use layertime::report::{plot, read, show};
use layertime::stderr::say;

pub fn run(args: ShowArgs) -> Result<ExitCode> {
    let mut runs: Vec<Run> = Vec::new();
    for path in &args.runs {
        let reading = read::open(path)?;
        reading.notes.iter().for_each(|note| say(format!("note: {note}")));
        runs.extend(reading.runs);
    }
    plot::check(&runs, args.batch)?;
    let selection = Selection { batch: args.batch, by: args.layers.by, top: args.layers.top, room: args.room.room() };
    let joined = |text: &dyn Fn(&Run) -> String| runs.iter().map(text).collect::<Vec<_>>().join("\n").into_bytes();
    let text = match args.format {
        Format::Text => joined(&|run| show::text(run, selection)),
        Format::Markdown => joined(&|run| show::markdown(run, selection)),
        Format::Json => {
            let values: Vec<_> = runs.iter().map(|run| show::json(run, selection)).collect();
            serde_json::to_vec_pretty(&values)?.into_iter().chain(*b"\n").collect()
        }
        Format::Csv => {
            let rows = args.runs.iter().map(|path| read::phases(path)).collect::<Result<Vec<_>>>()?;
            show::rows(rows.concat(), selection)?
        }
    };
    std::io::stdout().lock().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
