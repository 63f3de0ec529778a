//! `completions` and `man`, and that both know all that the program knows.

use std::process::Command;

use crate::program::{Program, assert_refused, stdout};

const COMMANDS: [&str; 8] = ["run", "inspect", "devices", "verify", "predict", "show", "plot", "compare"];

fn printed(arguments: &str) -> String {
    let output = Program::new().output(arguments);
    assert!(output.status.success(), "{output:?}");
    stdout(&output)
}

/// The long options in a command's help.
fn options(command: &str) -> Vec<String> {
    let help = printed(&format!("{command} --help"));
    let words = help.lines().filter(|line| line.trim_start().starts_with('-')).flat_map(str::split_whitespace);
    let options: Vec<String> =
        words.filter(|word| word.starts_with("--")).map(|word| word.trim_end_matches(',').into()).collect();
    let name = |word: &String| word.split(['[', '=']).next().unwrap().to_owned();
    options.iter().map(name).collect()
}

#[test]
fn every_shell_gets_every_command_and_option() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = printed(&format!("completions {shell}"));
        for command in COMMANDS {
            for option in options(command) {
                let written = [option.clone(), option.replace("--", "-l ")];
                assert!(written.iter().any(|form| script.contains(form)), "{shell}: {command} {option}");
            }
        }
    }
    let program = Program::new();
    assert_refused(&program.output("completions tcsh"), 2, &["tcsh", "bash", "zsh", "fish", "powershell"]);
}

/// The words that bash offers behind these.
fn offered(words: &[&str]) -> String {
    let script = printed("completions bash");
    let asked = format!(
        "{script}\nCOMP_WORDS=({}); COMP_CWORD={}; _layertime layertime '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        words.len() - 1,
        words[words.len() - 1],
        words[words.len() - 2],
    );
    let output = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    stdout(&output).trim().to_owned()
}

#[test]
fn bash_completes() {
    assert_eq!(offered(&["layertime", "comp"]), "compare completions");
    assert_eq!(offered(&["layertime", "plot", "--tr"]), "--trace");
    assert_eq!(offered(&["layertime", "show", "--format", "mark"]), "markdown");
}

#[test]
fn man_has_a_page_for_each_command() {
    let program = Program::new();
    let output = program.output("man --out pages");
    assert!(output.status.success(), "{output:?}");
    let page = |name: &str| std::fs::read_to_string(program.folder.path().join("pages").join(name)).unwrap();
    assert_eq!(printed("man"), page("layertime.1"));
    for command in COMMANDS {
        let text = page(&format!("layertime-{command}.1"));
        assert_eq!(printed(&format!("man {command}")), text);
        assert!(
            text.contains(&format!(".TH layertime\\-{command} 1"))
                || text.contains(&format!(".TH layertime-{command} 1")),
            "{text}"
        );
        assert!(text.contains(".SH NAME\n") && text.contains(".SH OPTIONS\n"), "{text}");
        assert!(page("layertime.1").contains(&format!("layertime\\-{command}(1)")), "{command}");
        let plain = text.replace('\\', "");
        let missing: Vec<String> = options(command).into_iter().filter(|option| !plain.contains(option)).collect();
        assert!(missing.is_empty(), "{command}: {missing:?}");
    }
    assert_refused(&program.output("man everything"), 2, &["no such command", "run", "compare"]);
    std::fs::write(program.folder.path().join("file"), "").unwrap();
    assert_refused(&program.output("man --out file/pages"), 1, &["file/pages", "--out"]);
}

/// A reader that goes away is no failure.
#[test]
fn a_closed_pipe_is_no_failure() {
    for arguments in ["completions zsh", "man"] {
        let mut child = Program::new().command(arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments}");
    }
}
