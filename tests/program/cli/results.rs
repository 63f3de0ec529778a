//! The predicted tables of results/README.md, computed anew. `WRITE_DOCS=1 cargo test --test program predicted_tables` writes them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::program::{Program, Record, number, records};

const BATCHES: &str = "1,2,4,8,16,32,64,128,256,512";
const GPUS: [(&str, &str); 6] = [
    ("titan-x-maxwell", "GTX Titan X"),
    ("p100-sxm2", "P100 SXM2"),
    ("v100-sxm2", "V100 SXM2"),
    ("a100-sxm", "A100 SXM 40 GB"),
    ("h100-sxm", "H100 SXM"),
    ("h200-sxm", "H200 SXM"),
];

/// A prediction as `layertime predict --out` saves it.
struct Prediction {
    rows: Vec<Record>,
    run: Value,
}

fn predicted(options: &str) -> Prediction {
    let program = Program::new();
    let output = program.output(&format!("predict --model alexnet --batch {BATCHES} {options} --out results"));
    assert!(output.status.success(), "{output:?}");
    let folder = program.run_folder();
    let run = serde_json::from_slice(&std::fs::read(folder.join("run.json")).unwrap()).unwrap();
    Prediction { rows: records(&folder.join("summary.csv")), run }
}

impl Prediction {
    fn row(&self, batch: usize, group: &str, phase: &str) -> &Record {
        let wanted =
            |row: &&Record| row["batch"] == batch.to_string() && row["group"] == group && row["phase"] == phase;
        self.rows.iter().find(wanted).unwrap()
    }

    fn share(&self, batch: usize, group: &str, phase: &str) -> f64 {
        number(self.row(batch, group, phase), "share_pct")
    }

    /// A share and its interval.
    fn interval(&self, batch: usize, group: &str, phase: &str) -> String {
        let row = self.row(batch, group, phase);
        let [low, high] = ["share_ci95_low_pct", "share_ci95_high_pct"].map(|column| number(row, column));
        format!("{:.1} ({low:.0}–{high:.0})", number(row, "share_pct"))
    }

    /// The batch from which conv's phase takes more than fc's: shares are taken as linear in log(batch), as the program does.
    fn turn(&self, phase: &str) -> String {
        let batches: Vec<usize> = BATCHES.split(',').map(|batch| batch.parse().unwrap()).collect();
        let ahead = |batch: usize| self.share(batch, "conv", phase) - self.share(batch, "fc", phase);
        let turns = batches.windows(2).find_map(|pair| {
            let [low, high] = [ahead(pair[0]), ahead(pair[1])];
            let part = low / (low - high);
            (low * high < 0.0).then(|| pair[0] as f64 * (pair[1] as f64 / pair[0] as f64).powf(part))
        });
        match turns {
            Some(batch) => short(batch),
            None if ahead(1) > 0.0 => "nowhere".into(),
            None => "everywhere".into(),
        }
    }

    /// The batch at which fc loses the lead of the step, and the batches between which it does at 95 %.
    fn step_turns(&self) -> String {
        let crossovers = self.run["crossovers"].as_array().unwrap();
        let crossover = crossovers.iter().find(|crossover| crossover["leads_below"] == "fc").unwrap();
        let end = |index: usize| crossover["batch_ci95"][index].as_f64().map_or(String::new(), short);
        format!("{} ({}–{})", short(crossover["batch"].as_f64().unwrap()), end(0), end(1))
    }
}

fn short(batch: f64) -> String {
    if batch < 10.0 { format!("{batch:.1}") } else { format!("{batch:.0}") }
}

pub fn line(cells: impl IntoIterator<Item = String>) -> String {
    format!("| {} |\n", cells.into_iter().collect::<Vec<_>>().join(" | "))
}

pub fn head<const N: usize>(cells: [&str; N]) -> String {
    line(cells.map(String::from)) + &line([(); N].map(|()| "---".into()))
}

/// The batch at which fc loses the lead, by phase and in the step.
fn turns(gpus: &[Prediction]) -> String {
    let names = GPUS.map(|(_, name)| name);
    let mut text = head(["phase", names[0], names[1], names[2], names[3], names[4], names[5]]);
    for phase in ["forward", "backward_data", "backward_weights", "weight_update"] {
        text += &line([phase.to_owned()].into_iter().chain(gpus.iter().map(|gpu| gpu.turn(phase))));
    }
    text + &line(["**the step**".to_owned()].into_iter().chain(gpus.iter().map(Prediction::step_turns)))
}

/// The parts of a step.
fn parts(gpus: &[Prediction]) -> String {
    let mut text =
        head(["GPU", "batch", "conv forward", "conv backward", "fc forward", "fc backward", "fc update", "other"]);
    for (gpu, batch) in [(2, 128), (3, 1), (3, 32), (3, 128), (4, 128)] {
        let of = &gpus[gpu];
        let backward = |group: &str| {
            let phases = ["backward_data", "backward_weights"];
            format!("{:.1}", phases.map(|phase| of.share(batch, group, phase)).iter().sum::<f64>())
        };
        text += &line([
            GPUS[gpu].1.into(),
            batch.to_string(),
            of.interval(batch, "conv", "forward"),
            backward("conv"),
            of.interval(batch, "fc", "forward"),
            backward("fc"),
            of.interval(batch, "fc", "weight_update"),
            of.interval(batch, "other", "all"),
        ]);
    }
    text
}

/// conv's and fc's shares.
fn shares(gpus: &[Prediction]) -> String {
    let mut text = head(["GPU", "conv at batch 1", "fc at 1", "conv at 32", "fc at 32", "conv at 128", "fc at 128"]);
    for (gpu, (_, name)) in gpus.iter().zip(GPUS) {
        let cells =
            [1, 32, 128].into_iter().flat_map(|batch| ["conv", "fc"].map(|group| gpu.interval(batch, group, "all")));
        text += &line([name.to_owned()].into_iter().chain(cells));
    }
    text
}

/// An A100 by image size.
fn images() -> String {
    let mut text = head(["A100 SXM 40 GB, image", "conv at batch 32", "fc leads below batch"]);
    for image in [112, 160, 224, 320, 448] {
        let of = predicted(&format!("--gpu a100-sxm --image {image}"));
        text += &line([image.to_string(), format!("{} %", of.interval(32, "conv", "all")), of.step_turns()]);
    }
    text
}

/// An A100 by precision.
fn precisions() -> String {
    let mut text = head(["A100 SXM 40 GB", "fc leads below batch"]);
    for precision in ["f32", "tf32", "bf16"] {
        text += &line([precision.into(), predicted(&format!("--gpu a100-sxm --precision {precision}")).step_turns()]);
    }
    text
}

#[test]
fn predicted_tables_of_the_results() {
    let gpus = GPUS.map(|(gpu, _)| predicted(&format!("--gpu {gpu}")));
    let tables = BTreeMap::from([
        ("turns", turns(&gpus)),
        ("parts", parts(&gpus)),
        ("shares", shares(&gpus)),
        ("images", images()),
        ("precisions", precisions()),
    ]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/README.md");
    let mut page = std::fs::read_to_string(&path).unwrap();
    for (name, table) in tables {
        let begin = format!("<!-- predicted: {name} -->\n");
        let start = page.find(&begin).unwrap_or_else(|| panic!("no {begin}")) + begin.len();
        let end = start + page[start..].find("<!-- end -->").unwrap();
        if std::env::var_os("WRITE_DOCS").is_some() {
            page.replace_range(start..end, &table);
        } else {
            assert_eq!(&page[start..end], table, "`{name}` in results/README.md: WRITE_DOCS=1 writes it");
        }
    }
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(path, page).unwrap();
    }
}
