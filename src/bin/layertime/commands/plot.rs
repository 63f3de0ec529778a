//! `layertime plot`: charts of runs, a page that holds them, and a step on a timeline.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::UsageError;
use crate::cli::PlotArgs;
use layertime::report::run::Run;
use layertime::report::{page, plot, read, trace};
use layertime::stderr::say;

pub fn run(args: PlotArgs) -> Result<ExitCode> {
    let mut runs = Vec::new();
    for path in &args.runs {
        let reading = read::open(path)?;
        reading.notes.iter().for_each(|note| say(format!("note: {note}")));
        runs.extend(reading.runs);
    }
    check_number(&runs, &args)?;
    plot::check(&runs, args.batch)?;
    let folder = args.out.unwrap_or_else(|| beside(&args.runs));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}: name another folder with --out", folder.display()))?;
    let mut files = plot::write(&runs, args.batch, &folder)?;
    let mut save = |name: &str, content: Vec<u8>| -> Result<()> {
        let file = folder.join(name);
        std::fs::write(&file, content)
            .with_context(|| format!("cannot write {}: name another folder with --out", file.display()))?;
        files.push(file);
        Ok(())
    };
    if args.html {
        save("report.html", page::html(&runs, args.batch)?.into())?;
    }
    if args.trace {
        let rows = args.runs.iter().map(|path| read::phases(path)).collect::<Result<Vec<_>>>()?;
        save("trace.json", trace::json(&runs, &rows.concat(), args.batch)?)?;
    }
    let mut out = std::io::stdout().lock();
    for file in files {
        writeln!(out, "{}", file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Many runs are drawn only as networks that are compared, each a mark in one chart.
fn check_number(runs: &[Run], args: &PlotArgs) -> Result<(), UsageError> {
    let (count, few) = (runs.len(), plot::MOST_RUNS);
    if count <= few {
        return Ok(());
    }
    let compares = !plot::architectures(runs, args.batch).is_empty();
    let most = if compares { plot::MOST_NETWORKS } else { few };
    if count > most {
        return Err(UsageError(format!("{count} runs are too many for one chart: give up to {most}")));
    }
    if args.html || args.trace {
        return Err(UsageError(format!("{count} runs are too many for --html and --trace: give up to {few}")));
    }
    say(format!("note: of more than {few} runs only the charts that compare networks are drawn"));
    Ok(())
}

/// `plots` in the folder of a single run, or in the one where the program was started.
fn beside(runs: &[PathBuf]) -> PathBuf {
    let folder = match runs {
        [run] if run.is_dir() => run,
        [file] => file.parent().unwrap_or(Path::new("")),
        _ => Path::new(""),
    };
    folder.join("plots")
}
