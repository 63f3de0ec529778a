//! README, CONTRIBUTING and `docs/`: short lines, links that lead somewhere, commands and networks that the program takes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::program::{Program, stderr, stdout};

const COMMANDS: [&str; 10] =
    ["run", "inspect", "devices", "verify", "predict", "show", "plot", "compare", "completions", "man"];

/// A page, split where code begins and ends.
struct Page {
    path: PathBuf,
    /// Lines outside of fenced blocks.
    prose: Vec<String>,
    /// Fenced blocks by language.
    blocks: Vec<(String, Vec<String>)>,
}

impl Page {
    fn read(path: PathBuf) -> Page {
        let text = std::fs::read_to_string(&path).unwrap();
        let (mut prose, mut blocks): (Vec<String>, Vec<(String, Vec<String>)>) = Default::default();
        let mut inside = false;
        for line in text.lines() {
            match (line.strip_prefix("```"), inside) {
                (Some(language), false) => blocks.push((language.into(), Vec::new())),
                (None, true) => blocks.last_mut().unwrap().1.push(line.into()),
                (None, false) => prose.push(line.into()),
                (Some(_), true) => {}
            }
            inside ^= line.starts_with("```");
        }
        assert!(!inside, "{}: a block does not end", path.display());
        Page { path, prose, blocks }
    }

    /// The pieces of the prose between backticks. A piece may go on in the next line.
    fn code(&self) -> Vec<String> {
        let text = self.prose.join("\n");
        text.split("\n\n")
            .flat_map(|part| part.split('`').skip(1).step_by(2))
            .map(|code| code.replace('\n', " "))
            .collect()
    }

    /// The targets of the links.
    fn links(&self) -> Vec<String> {
        let text = self.prose.join("\n");
        text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.into()).collect()
    }

    /// The headings as GitHub names them.
    fn anchors(&self) -> Vec<String> {
        let headings = self.prose.iter().filter(|line| line.starts_with('#'));
        let named = headings.map(|line| line.trim_start_matches('#').trim().to_lowercase());
        let letters = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        named.map(|name| name.replace(' ', "-").chars().filter(|&c| letters(c)).collect()).collect()
    }

    /// The arguments of every command line of this program's, in consoles and in the prose.
    fn command_lines(&self) -> Vec<String> {
        let consoles = self.blocks.iter().filter(|(language, _)| language == "console");
        let typed = consoles.flat_map(|(_, lines)| lines).filter_map(|line| line.strip_prefix("$ "));
        let arguments = |line: &str| {
            let line = line.split(" #").next()?;
            let line = line.split_once("cargo run --release -- ").or(line.split_once("layertime "));
            line.map(|(_, arguments)| arguments.to_owned())
        };
        let named = self.code().into_iter().filter_map(|code| code.strip_prefix("layertime ").map(str::to_owned));
        typed.filter_map(arguments).chain(named.filter(|line| !line.starts_with('='))).collect()
    }
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README and all of `docs/`.
fn manual() -> Vec<Page> {
    let pages = std::fs::read_dir(home().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = pages.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    pages.push(home().join("README.md"));
    pages.sort();
    pages.into_iter().map(Page::read).collect()
}

#[test]
fn the_readme_is_short() {
    let text = std::fs::read_to_string(home().join("README.md")).unwrap();
    assert!(text.lines().count() <= 180, "README.md has {} lines", text.lines().count());
    let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 120).collect();
    assert!(long.is_empty(), "longer than 120 characters: {long:#?}");
}

#[test]
fn links_lead_somewhere() {
    let others = ["CONTRIBUTING.md", "CHANGELOG.md", "gpu/README.md", "kernels/README.md", "results/README.md"];
    let mut links = 0;
    for page in manual().into_iter().chain(others.map(|file| Page::read(home().join(file)))) {
        for link in page.links().into_iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: {link} does not exist", page.path.display());
            let known = anchor.is_empty() || Page::read(target).anchors().iter().any(|known| known == anchor);
            assert!(known, "{}: {link} has no such heading", page.path.display());
            links += 1;
        }
    }
    assert!(links > 50, "only {links} links were found");
}

/// clap takes the arguments one by one and comes to `--help` only where all before it are right.
#[test]
fn command_lines_are_taken() {
    let program = Program::new();
    let mut lines = BTreeSet::new();
    for page in manual() {
        for line in page.command_lines() {
            let output = program.output(&format!("{line} --help"));
            assert!(output.status.success(), "{}: layertime {line}\n{}", page.path.display(), stderr(&output));
            lines.insert(line);
        }
    }
    assert!(lines.len() > 20, "only these were found: {lines:?}");
}

#[test]
fn options_exist() {
    let program = Program::new();
    let help: String = COMMANDS.iter().map(|command| stdout(&program.output(&format!("{command} --help")))).collect();
    let name = |word: &str| word.split(|c: char| c != '-' && !c.is_ascii_alphanumeric()).next().unwrap().to_owned();
    let known: BTreeSet<String> = help.split_whitespace().filter(|word| word.starts_with("--")).map(name).collect();
    for page in manual() {
        for option in page.code().iter().filter(|code| code.starts_with("--")).map(|code| name(code)) {
            assert!(known.contains(&option), "{}: no command has {option}", page.path.display());
        }
    }
}

#[test]
fn networks_that_are_shown_are_read() {
    let program = Program::new();
    let mut networks = 0;
    for page in manual() {
        for (_, lines) in page.blocks.iter().filter(|(_, lines)| lines.iter().any(|line| line == "[[layer]]")) {
            program.model("shown.toml", &lines.join("\n"));
            let output = program.output("inspect shown.toml");
            assert!(output.status.success(), "{}: {}", page.path.display(), stderr(&output));
            networks += 1;
        }
    }
    assert!(networks >= 3, "only {networks} networks were found");
}
