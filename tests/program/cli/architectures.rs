//! The tables and sentences of results/architectures/README.md, made anew from the runs that stand beside it and from `predict`.
//! `WRITE_DOCS=1 cargo test --test program architectures` writes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::results::{head, line};
use crate::program::{Program, Record, number, records, runs_in, stdout};

const GROUPS: [&str; 3] = ["conv", "fc", "other"];
const BATCHES: [usize; 2] = [1, 16];

/// A network's step at one batch.
struct Step {
    ms: f64,
    /// Of conv, fc and other, in percent.
    shares: [f64; 3],
}

struct Network {
    name: String,
    parameters: f64,
    /// Of forward, for one image.
    macs: f64,
    /// By batch.
    steps: Vec<Step>,
}

impl Step {
    fn of(rows: &[Record], batch: usize) -> Step {
        let row = |group: &str| {
            let wanted =
                |row: &&Record| row["batch"] == batch.to_string() && row["group"] == group && row["phase"] == "all";
            rows.iter().find(wanted)
        };
        let shares = GROUPS.map(|group| row(group).map_or(0.0, |row| number(row, "share_pct")));
        let step = row("all").unwrap();
        let us = if step["median_us"].is_empty() { number(step, "mean_us") } else { number(step, "median_us") };
        Step { ms: us / 1e3, shares }
    }

    /// The place of the longest group.
    fn leader(&self) -> &'static str {
        let longest = (0..3).max_by(|&a, &b| self.shares[a].total_cmp(&self.shares[b]));
        GROUPS[longest.unwrap()]
    }

    /// For each billion multiply-adds of the forward pass of its images.
    fn ms_per_billion(&self, macs: f64, batch: usize) -> f64 {
        self.ms / (macs * batch as f64 / 1e9)
    }
}

impl Network {
    fn read(program: &Program, name: &str, run: &Path) -> Network {
        let inspected = stdout(&program.output(&format!("inspect {name} --csv")));
        let mut layers = csv::Reader::from_reader(inspected.as_bytes());
        let layers: Vec<Record> = layers.deserialize().map(Result::unwrap).collect();
        let sum = |column: &str| layers.iter().map(|layer| number(layer, column)).sum();
        let rows = records(&run.join("summary.csv"));
        let steps = BATCHES.map(|batch| Step::of(&rows, batch)).into();
        Network { name: name.into(), parameters: sum("parameters"), macs: sum("macs_forward"), steps }
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results/architectures")
}

/// The built-in networks, but for that of tests.
fn names(program: &Program) -> Vec<String> {
    let help = stdout(&program.output("inspect --help")).split_whitespace().collect::<Vec<_>>().join(" ");
    let names = help.split("built-in model (").nth(1).unwrap().split(')').next().unwrap();
    names.split(", ").filter(|name| *name != "tiny").map(str::to_owned).collect()
}

/// Those whose runs stand in results/architectures/cpu.
fn measured(program: &Program) -> Vec<Network> {
    let runs = if folder().join("cpu").is_dir() { runs_in(&folder().join("cpu")) } else { Vec::new() };
    let name = |run: &PathBuf| run.file_name().unwrap().to_str().unwrap().to_owned();
    runs.iter().map(|run| Network::read(program, &name(run), run)).collect()
}

fn predicted(program: &Program) -> Vec<Network> {
    let of_name = |name: String| {
        let output = program.output(&format!("predict --gpu a100-sxm --model {name} --batch 1,16 --out {name}"));
        assert!(output.status.success(), "{output:?}");
        Network::read(program, &name, &runs_in(&program.folder.path().join(&name))[0])
    };
    names(program).into_iter().map(of_name).collect()
}

fn duration(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

/// By multiply-adds.
fn table(networks: &[Network]) -> String {
    let mut text = head([
        "network",
        "parameters",
        "multiply-adds",
        "batch 1",
        "conv",
        "fc",
        "other",
        "batch 16",
        "conv",
        "fc",
        "other",
    ]);
    for network in networks {
        let step =
            |step: &Step| [duration(step.ms)].into_iter().chain(step.shares.map(|share| format!("{share:.0} %")));
        let counts = [format!("{:.1} M", network.parameters / 1e6), format!("{:.2} G", network.macs / 1e9)];
        let steps: Vec<String> = network.steps.iter().flat_map(step).collect();
        text += &line([format!("`{}`", network.name)].into_iter().chain(counts).chain(steps));
    }
    text
}

/// Which group leads, and how far apart networks are for the same multiply-adds.
fn sentences(networks: &[Network]) -> String {
    let list = |names: Vec<&str>| match names.as_slice() {
        [] => "nowhere".to_owned(),
        names => "in ".to_owned() + &names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    };
    let led = |batch: usize, group: &str| -> Vec<&str> {
        networks.iter().filter(|one| one.steps[batch].leader() == group).map(|one| &*one.name).collect()
    };
    let [one, sixteen] = [0, 1].map(|batch| GROUPS.map(|group| led(batch, group)));
    let mut by_speed: Vec<(f64, &str)> =
        networks.iter().map(|one| (one.steps[1].ms_per_billion(one.macs, BATCHES[1]), &*one.name)).collect();
    by_speed.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (fast, slow) = (by_speed[0], by_speed[by_speed.len() - 1]);
    let count = networks.len();
    format!(
        "Convolutions take the largest part of the step in {} of {count} networks at batch 1 and in {} at batch 16. Fully connected layers lead at batch 1 {}, \
         and at batch 16 {}; the other layers, which have hardly any multiply-adds, lead at batch 1 {}, and at batch 16 {}. \
         Neither multiply-adds nor parameters are time: for each billion multiply-adds of forward a step of 16 images takes {:.1} ms in `{}` and {:.1} ms in `{}`.\n",
        one[0].len(),
        sixteen[0].len(),
        list(one[1].clone()),
        list(sixteen[1].clone()),
        list(one[2].clone()),
        list(sixteen[2].clone()),
        fast.0,
        fast.1,
        slow.0,
        slow.1,
    )
}

/// Charts, sentences and a table.
fn text(mut networks: Vec<Network>, device: &str) -> String {
    networks.sort_by(|a, b| a.macs.total_cmp(&b.macs));
    let charts =
        BATCHES.map(|batch| format!("![Step of {batch} against multiply-adds]({device}-batch-{batch}.svg)\n\n"));
    sentences(&networks) + "\n" + &charts.concat() + &table(&networks) + "\n"
}

/// The processor and the day, from a run's `run.json`.
fn title(run: &Path) -> String {
    let run: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    let started = run["started"].as_str().unwrap();
    let (cpu, argv) = (run["machine"]["cpu"]["model"].as_str().unwrap(), run["argv"].as_array().unwrap());
    let option = |name: &str| {
        let place = argv.iter().position(|argument| argument == name).unwrap();
        argv[place + 1].as_str().unwrap().to_owned()
    };
    let (time, target) = (option("--max-time"), option("--target"));
    format!(
        "## Measured on a CPU\n\n{cpu}, {} threads, {}, `run --batch 1,16 --target {target} --max-time {time}`; the runs are in [`cpu`](cpu).\n\n",
        run["setup"]["threads"],
        &started[..10]
    )
}

#[test]
fn tables_and_sentences_of_the_architectures() {
    let program = Program::new();
    let networks = measured(&program);
    let measured = match networks.first() {
        Some(first) => title(&folder().join("cpu").join(&first.name)) + &text(networks, "cpu"),
        None => String::new(),
    };
    let predicted = text(predicted(&program), "a100");
    let path = folder().join("README.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (name, text) in BTreeMap::from([("measured", measured), ("predicted", predicted)]) {
        let begin = format!("<!-- {name} -->\n");
        let start = page.find(&begin).unwrap() + begin.len();
        let end = start + page[start..].find("<!-- end -->").unwrap();
        if std::env::var_os("WRITE_DOCS").is_some() {
            page.replace_range(start..end, &text);
        } else {
            assert_eq!(&page[start..end], text, "`{name}` in results/architectures/README.md: WRITE_DOCS=1 writes it");
        }
    }
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(path, page).unwrap();
    }
}
