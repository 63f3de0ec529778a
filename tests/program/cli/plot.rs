//! `plot` on real runs and on what is none.

use std::path::Path;

use crate::program::{Program, QUICK, assert_refused, runs_in, stderr, stdout};

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn charts_and_page_of_a_real_run() {
    let program = Program::new();
    assert!(program.output(&format!("{QUICK} --batch 1,4")).status.success());
    let folder = program.run_folder();
    let output = program.output(&format!("plot {} --html", folder.display()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let charts = ["layers", "phases", "report", "roofline", "shares", "times"];
    let wanted: Vec<String> = charts
        .iter()
        .flat_map(|&name| {
            if name == "report" {
                vec!["report.html".into()]
            } else {
                vec![format!("{name}.png"), format!("{name}.svg")]
            }
        })
        .collect();
    let plots = folder.join("plots");
    assert_eq!(files(&plots), wanted);
    assert_eq!(stdout(&output).lines().count(), wanted.len());
    let bytes = std::fs::read(plots.join("shares.png")).unwrap();
    assert!(bytes.starts_with(b"\x89PNG"), "a PNG file");
    // Width in the header chunk: 900 pixels at two to one.
    assert_eq!(u32::from_be_bytes(bytes[16..20].try_into().unwrap()), 1800);
    let svg = std::fs::read_to_string(plots.join("layers.svg")).unwrap();
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("<title>Time by layer and phase at batch") && svg.contains("conv1"));

    let csv = folder.join("phases.csv");
    let bare = program.output(&format!("plot {} --batch 1 --out bare", csv.display()));
    assert_eq!(bare.status.code(), Some(0), "{bare:?}");
    assert_eq!(files(&program.folder.path().join("bare")).len(), 10);
    let bad = program.output(&format!("plot {} --batch 3 --out bare", csv.display()));
    assert_refused(&bad, 1, &["batch 3 was not measured", "1, 4"]);
    let twice = program.output(&format!("plot {0} {0} --out twice", csv.display()));
    assert_refused(&twice, 1, &["the run", "is given twice"]);
    let many = vec![csv.display().to_string(); 7].join(" ");
    assert_refused(&program.output(&format!("plot {many}")), 2, &["7 runs are too many", "up to 6"]);
    std::fs::write(program.folder.path().join("file"), "").unwrap();
    let bad = program.output(&format!("plot {} --out file/plots", csv.display()));
    assert_refused(&bad, 1, &["file/plots", "--out"]);
}

/// Of two networks there is a chart more; of more runs than can be told apart, that chart alone. Standard output has the names of the
/// files that were written, and nothing else.
#[test]
fn networks_are_compared() {
    let program = Program::new();
    let models = ["tiny", "nin", "alexnet", "vgg11", "resnet18", "squeezenet1_1", "mobilenet-v2"];
    for model in models {
        let predicted = program.output(&format!("predict --gpu t4 --model {model} --batch 1,2,4 --out {model}"));
        assert!(predicted.status.success(), "{predicted:?}");
    }
    let plotted = |models: &[&str], options: &str| {
        let runs = models.iter().map(|model| runs_in(&program.folder.path().join(model)).remove(0));
        let runs: Vec<String> = runs.map(|run| run.display().to_string()).collect();
        program.output(&format!("plot {} {options}", runs.join(" ")))
    };
    let all = plotted(&models, "--out all");
    let wanted = ["1.png", "1.svg", "4.png", "4.svg"].map(|end| format!("architectures-batch-{end}"));
    assert_eq!(files(&program.folder.path().join("all")), wanted, "{all:?}");
    let mut lines: Vec<String> = stdout(&all).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, wanted.clone().map(|name| format!("all/{name}")));
    assert_eq!(stderr(&all), "note: of more than 6 runs only the charts that compare networks are drawn\n");
    assert_refused(&plotted(&models, "--html"), 2, &["7 runs are too many for --html and --trace", "up to 6"]);
    let one = plotted(&models, "--batch 2 --out one");
    assert_eq!(stdout(&one), "one/architectures-batch-2.svg\none/architectures-batch-2.png\n");
}

#[test]
fn what_is_no_run() {
    let program = Program::new();
    assert_refused(&program.output("plot ."), 1, &["no run's folder", "phases.csv"]);
    assert_refused(&program.output("plot nowhere"), 1, &["nowhere"]);
    assert_refused(&program.output("plot"), 2, &["RUN"]);
    std::fs::write(program.folder.path().join("empty.csv"), "").unwrap();
    assert_refused(&program.output("plot empty.csv"), 1, &["empty.csv", "is empty"]);
    std::fs::write(program.folder.path().join("other.csv"), "layer,time\nconv1,3\n").unwrap();
    assert_refused(&program.output("plot other.csv"), 1, &["other.csv", "lacks run_id"]);
}
