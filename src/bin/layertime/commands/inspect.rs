//! `layertime inspect`: the static table of a model.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::InspectArgs;
use layertime::model::Model;
use layertime::plan::{Options, Plan};
use layertime::report::inspect;
use layertime::step::Step;

pub fn run(args: InspectArgs) -> Result<ExitCode> {
    let image = args.image.map(|size| size.0);
    let model = Model::open(&args.model)?;
    if args.toml {
        std::io::stdout().lock().write_all(model.to_toml().as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let plan = Plan::new(&model, Options { image, ..Options::of_batch(args.batch) })?;
    let mut out = std::io::stdout().lock();
    match args.csv {
        None => out
            .write_all(inspect::text(&Step::new(plan), args.layers.by, args.layers.top, args.room.room()).as_bytes())?,
        Some(None) => out.write_all(&inspect::csv(&plan)?)?,
        Some(Some(file)) => std::fs::write(&file, inspect::csv(&plan)?)
            .with_context(|| format!("cannot write {}: name another file with --csv=FILE", file.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}
