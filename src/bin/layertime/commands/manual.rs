//! `layertime completions` and `layertime man`: made from the definition of the command line.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_mangen::Man;

use super::UsageError;
use crate::cli::{Cli, CompletionsArgs, ManArgs};

/// Prints a shell's script.
pub fn completions(args: CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "layertime", &mut script);
    // Not by generate itself, which panics where the reader is gone.
    std::io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one page, or writes all of them.
pub fn man(args: ManArgs) -> Result<ExitCode> {
    let pages = pages();
    let mut out = std::io::stdout().lock();
    if let Some(folder) = args.out {
        let advice = || format!("cannot write pages to {}: name another folder with --out", folder.display());
        std::fs::create_dir_all(&folder).with_context(advice)?;
        for page in pages {
            let file = folder.join(page.get_filename());
            std::fs::write(&file, text(&page)?).with_context(advice)?;
            writeln!(out, "{}", file.display())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let name = args.command.map_or("layertime".into(), |command| format!("layertime-{command}"));
    let page = pages.iter().find(|page| page.get_filename() == format!("{name}.1"));
    let known = || Cli::command().get_subcommands().map(|command| command.get_name().to_owned()).collect::<Vec<_>>();
    let page =
        page.ok_or_else(|| UsageError(format!("no such command has a page: give one of {}", known().join(", "))))?;
    out.write_all(&text(page)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The program's page, then one for each command.
fn pages() -> Vec<Man> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let commands: Vec<clap::Command> = program.get_subcommands().cloned().collect();
    let named = |command: clap::Command| {
        let name = format!("layertime-{}", command.get_name());
        command.display_name(name)
    };
    std::iter::once(program.clone()).chain(commands.into_iter().map(named)).map(Man::new).collect()
}

fn text(page: &Man) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    page.render(&mut text)?;
    Ok(text)
}
