//! Options of `run --resume`: the command line that began the run, with the options given now in place of its own.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, Parser};

use super::{Cli, Command, RunArgs};

/// `begun` and `now` are whole command lines. `None` when one of them is none of `run`.
pub fn options(begun: &[String], now: impl IntoIterator<Item = OsString>) -> Option<RunArgs> {
    let (begun, now) = (matches(begun.iter().map(OsString::from))?, matches(now)?);
    let merged = ["layertime".into(), "run".into()].into_iter().chain(merged(&begun, &now));
    match Cli::try_parse_from(merged).ok()?.command {
        Command::Run(args) => Some(RunArgs { resume: now.get_one("resume").cloned(), ..args }),
        _ => None,
    }
}

fn matches(line: impl IntoIterator<Item = OsString>) -> Option<ArgMatches> {
    Cli::command()
        .try_get_matches_from(line)
        .ok()?
        .remove_subcommand()
        .filter(|(name, _)| name == "run")
        .map(|(_, run)| run)
}

fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The options given now, and those of the beginning that these leave alone; never a default, which nobody gave.
fn merged(begun: &ArgMatches, now: &ArgMatches) -> Vec<OsString> {
    let mut command = RunArgs::augment_args(clap::Command::new("run"));
    command.build();
    let mut line = Vec::new();
    for option in command.get_arguments().filter(|option| option.get_id() != "resume") {
        let (id, name) = (option.get_id().as_str(), option.get_long().unwrap_or_default());
        let is_given = |matches: &&ArgMatches| is_given(matches, id);
        let others = command.get_arg_conflicts_with(option).into_iter().map(|other| other.get_id().as_str());
        if !is_given(&now) && others.into_iter().any(|other| other != "resume" && self::is_given(now, other)) {
            continue;
        }
        let Some(given) = [now, begun].into_iter().find(is_given) else { continue };
        if option.get_action().takes_values() {
            let with_value = |value: &std::ffi::OsStr| {
                let mut word = OsString::from(format!("--{name}="));
                word.push(value);
                word
            };
            line.extend(given.get_raw(id).into_iter().flatten().map(with_value));
        } else {
            line.push(format!("--{name}").into());
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resumed(begun: &str, now: &str) -> Option<RunArgs> {
        let begun: Vec<String> = begun.split(' ').map(String::from).collect();
        options(&begun, now.split(' ').map(OsString::from))
    }

    fn run(line: &str) -> RunArgs {
        match Cli::parse_from(line.split(' ')).command {
            Command::Run(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_given_now_take_the_place_of_those_at_the_beginning() {
        let begun = "layertime run --batch 1,2 --seed 7 --samples --model tiny --out there";
        let alone = resumed(begun, "layertime run --resume there/a").unwrap();
        assert_eq!(alone, RunArgs { resume: Some("there/a".into()), ..run(begun) });
        // Also where they are what is the default.
        let changed = resumed(begun, "layertime run --seed 1 --resume there/a --batch 4 --target=1%").unwrap();
        let wanted = run("layertime run --batch 4 --seed 1 --samples --model tiny --out there");
        assert_eq!(changed, RunArgs { resume: Some("there/a".into()), ..wanted });
    }

    /// A run of an earlier version had samples with `--samples` alone, and goes on as it was.
    #[test]
    fn samples_as_the_run_has_them() {
        let writes = |begun, now, stored| resumed(begun, now).unwrap().writes_samples(Some(stored));
        let [plain, with, without] = ["layertime run", "layertime run --samples", "layertime run --no-samples"];
        let now = "layertime run --resume there/a";
        assert_eq!([writes(plain, now, false), writes(plain, now, true)], [false, true]);
        assert_eq!([writes(with, now, true), writes(without, now, false)], [true, false]);
        // Given now, it counts, also against the beginning.
        assert!(writes(without, "layertime run --samples --resume there/a", false));
        assert!(!writes(with, "layertime run --no-samples --resume there/a", true));
        assert_eq!([plain, with, without].map(|line| run(line).writes_samples(None)), [true, true, false]);
    }

    #[test]
    fn only_a_run_goes_on() {
        assert_eq!(resumed("layertime predict --gpu t4", "layertime run --resume there/a"), None);
        assert_eq!(resumed("layertime run --no-such-option", "layertime run --resume there/a"), None);
    }
}
