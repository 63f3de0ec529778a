//! `show`, and the width of what every command prints.

use std::path::Path;

use crate::program::{Program, QUICK, assert_refused, stderr, stdout};

fn kept(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs").join(name).display().to_string()
}

/// The tables of `run` can be had later.
#[test]
fn a_run_is_printed_again() {
    let program = Program::new();
    let output = program.output(&format!("{QUICK} --batch 1,4"));
    let printed = stdout(&output);
    let (printed, _) = printed.rsplit_once("saved in ").unwrap();
    let run = program.run_folder();
    assert_eq!(stdout(&program.output(&format!("show {}", run.display()))), printed);
    let csv = program.output(&format!("show {} --batch 4 --top 3 --format csv", run.display()));
    assert_eq!(stdout(&csv).lines().count(), 4, "{csv:?}");
    let file = std::fs::read_to_string(run.join("phases.csv")).unwrap();
    assert!(stdout(&csv).lines().all(|line| file.lines().any(|other| other == line)), "{csv:?}");
}

#[test]
fn every_form() {
    let program = Program::new();
    let run = kept("measured");
    let markdown = stdout(&program.output(&format!("show {run} --format markdown --batch 1 --top 2")));
    assert!(markdown.starts_with("**tiny on AMD EPYC, f32, nhwc**\n") && markdown.contains("\n| --- | --- | ---:"));
    let json: serde_json::Value =
        serde_json::from_slice(&program.output(&format!("show {run} {} --format json", kept("predicted"))).stdout)
            .unwrap();
    assert_eq!((json[0]["answers"][0]["batch"].as_u64(), json.as_array().unwrap().len()), (Some(2), 2));
    let csv = program.output(&format!("show {run} --format csv"));
    // The run is of an earlier program: columns that it lacks are empty.
    let file = std::fs::read_to_string(Path::new(&run).join("phases.csv")).unwrap();
    let (header, rows) = file.split_once('\n').unwrap();
    let rows: String = rows.lines().map(|row| format!("{row},,,\n")).collect();
    assert!(stdout(&csv) == format!("{header},power_capped_samples,ranks,rank_spread_pct\n{rows}"), "{csv:?}");
    assert_refused(&program.output(&format!("show {run} --batch 3")), 1, &["batch 3 was not measured", "1, 2"]);
    assert_refused(&program.output("show nowhere"), 1, &["nowhere"]);
}

#[test]
fn help_fits_in_a_terminal() {
    let program = Program::new();
    for command in ["run", "inspect", "devices", "verify", "predict", "show", "plot", "compare"] {
        let help = stdout(&program.output(&format!("{command} --help")));
        let long: Vec<&str> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(help.lines().count() > 4 && long.is_empty(), "{long:#?}");
    }
}

/// Tables are no wider than 80 columns, whatever the command; `--wide` lifts that.
#[test]
fn tables_fit_in_a_terminal() {
    let program = Program::new();
    let (run, predicted) = (kept("measured"), kept("predicted"));
    for command in [
        &format!("show {run}"),
        &format!("show {predicted}"),
        &format!("compare {run} {predicted}"),
        "predict",
        "predict --gpu t4 --precision f16",
        "inspect vgg19 --batch 512",
        "verify --model tiny --device cpu",
    ] {
        let output = program.output(command);
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        // A rule is as wide as its table; so are the lines around it.
        let lines: Vec<&str> = text.lines().collect();
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("-----")) {
            let table = lines[index - 1..].iter().take_while(|line| !line.is_empty());
            table.for_each(|line| assert!(line.chars().count() <= 80, "{command}: {line}"));
        }
        assert!(lines.iter().any(|line| line.starts_with("-----")), "{command}: {text}");
        let wide = stdout(&program.output(&format!("{command} --wide")));
        assert!(wide.lines().count() <= lines.len(), "{command}");
    }
}

/// Every command that prints figures of an imported network says what the file has left out.
#[test]
fn notes_on_an_imported_network_stand_below_every_table() {
    let program = Program::new();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/onnx/resnet18.torchscript-eval.onnx");
    let file = file.display();
    let note = "note: exported for inference: 20 batch norms are missing;";
    let inspected = stdout(&program.output(&format!("inspect {file} --image 32")));
    let run = format!("run --device cpu --model {file} --image 32 --batch 1 --max-time 10ms --target 100% --by kind");
    let ran = stdout(&program.output(&run));
    let stored = stdout(&program.output(&format!("show {} --by block", program.run_folder().display())));
    for printed in [inspected, ran, stored] {
        assert!(printed.contains(note), "{printed}");
    }
    let out = program.folder.path().join("predicted").display().to_string();
    program.output(&format!("predict --gpu a100-sxm --model {file} --batch 1 --out {out}"));
    let run = crate::program::runs_in(Path::new(&out)).remove(0);
    assert!(stdout(&program.output(&format!("show {}", run.display()))).contains(note));
}

/// Blocks and kinds have a line each, and what they hold adds up; of the longest, the others are one.
#[test]
fn lines_of_blocks_and_kinds() {
    let program = Program::new();
    let lines = |options: &str| -> Vec<Vec<String>> {
        let printed = stdout(&program.output(&format!("show {} --batch 2 {options}", kept("measured"))));
        let table = printed.lines().skip_while(|line| !line.starts_with("Layers at batch 2")).skip(2);
        let rows = table.skip_while(|line| !line.starts_with("---")).skip(1).take_while(|line| !line.is_empty());
        rows.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    };
    let total =
        |lines: &[Vec<String>]| lines.iter().map(|line| line.last().unwrap().parse::<f64>().unwrap()).sum::<f64>();
    let (layers, kinds, short) = (lines("--top all"), lines("--by kind"), lines("--top 3"));
    assert!(
        kinds.len() < layers.len() && kinds.iter().any(|line| line[0] == "conv" && line[2] == "layers"),
        "{kinds:?}"
    );
    assert_eq!((short.len(), &*short[3][1]), (4, "others"));
    for lines in [&layers, &kinds, &short] {
        assert!((total(lines) - 100.0).abs() < 1.0, "{lines:?}");
    }
    assert_refused(&program.output(&format!("show {} --by step", kept("measured"))), 2, &["layer, block, kind"]);
}
