//! `layertime compare`: two runs, or several of each, side by side.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::UsageError;
use crate::cli::CompareArgs;
use layertime::report::compare::{self, CompareSettings, Comparison, Side};
use layertime::report::read;
use layertime::stderr::say;

pub fn run(args: CompareArgs) -> Result<ExitCode> {
    let room = args.room.room();
    let (a, b) = sides(&args)?;
    let settings = CompareSettings {
        batches: args.batch,
        margin: args.margin,
        min_share: args.min_share,
        clocks_fixed: args.clocks_fixed,
    };
    let comparison = Comparison::of(&a, &b, &settings)?;
    let slower = args.fail_on.map(|fraction| comparison.slower_by(fraction).map(|rows| rows.len()));
    if slower == Some(None) {
        let why = "--fail-on judges times, which do not compare where clocks were not fixed: say --clocks-fixed if you fixed them";
        return Err(UsageError(why.into()).into());
    }
    let mut out = std::io::stdout().lock();
    match &args.csv {
        Some(None) => out.write_all(&compare::csv(&comparison)?)?,
        Some(Some(file)) => {
            std::fs::write(file, compare::csv(&comparison)?)
                .with_context(|| format!("cannot write {}: name another file with --csv=FILE", file.display()))?;
            out.write_all(compare::table(&comparison, room).as_bytes())?;
        }
        None => out.write_all(compare::table(&comparison, room).as_bytes())?,
    }
    Ok(match slower.flatten() {
        Some(rows @ 1..) => {
            let rows = if rows == 1 { "1 row is".into() } else { format!("{rows} rows are") };
            say(format!("{rows} slower than --fail-on allows"));
            ExitCode::FAILURE
        }
        Some(0) | None => ExitCode::SUCCESS,
    })
}

fn sides(args: &CompareArgs) -> Result<(Side, Side)> {
    let (a, b) = match (&*args.runs, &*args.with) {
        ([a, b], []) => (std::slice::from_ref(a), std::slice::from_ref(b)),
        (_, []) => {
            let how = "give two runs, A and B; or several, then --with and those to compare them with";
            return Err(UsageError(how.into()).into());
        }
        (a, b) => (a, b),
    };
    Ok((side("A", a)?, side("B", b)?))
}

fn side(name: &str, paths: &[PathBuf]) -> Result<Side> {
    let mut runs = Vec::new();
    for path in paths {
        let reading = read::open(path)?;
        reading.notes.iter().for_each(|note| say(format!("note: {note}")));
        runs.extend(reading.runs);
    }
    Side::new(name, runs)
}
