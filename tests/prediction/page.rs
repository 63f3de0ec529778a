//! The tables of docs/prediction.md, computed anew. `WRITE_DOCS=1 cargo test --test prediction the_page` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use layertime::predict::{Constants, Spread};

use super::errors::{Short, of_acceptance, shares, short};
use super::fit::{is_step, named};
use super::outcome;
use super::published::{Of, Row};

const HEAD: &str = "| median | 90 % within | worst | bias | within 40 % | rows |\n";
const RULE: &str = "| --- | --- | --- | --- | --- | --- |\n";

fn cells(short: Short) -> String {
    let percent = |part: f64| format!("{:.1} %", 100.0 * part);
    format!(
        "| {} | {} | {} | {:+.1} % | {} | {} |\n",
        percent(short.median),
        percent(short.ninth),
        percent(short.worst),
        100.0 * short.bias,
        percent(short.within_40),
        short.rows
    )
}

/// Whole steps by some key, the worst median first.
fn by(title: &str, errors: &[f64], key: impl Fn(&Row) -> String) -> String {
    let mut groups = BTreeMap::<String, Vec<f64>>::new();
    for (row, error) in outcome().rows.iter().zip(errors).filter(|(row, _)| is_step(row)) {
        groups.entry(key(row)).or_default().push(*error);
    }
    let mut lines: Vec<(String, Short)> =
        groups.into_iter().filter_map(|(key, errors)| Some((key, short(errors)?))).collect();
    lines.sort_by(|(_, one), (_, other)| other.median.total_cmp(&one.median));
    let mut text = format!("| {title} {HEAD}| --- {RULE}");
    for (key, short) in lines {
        let _ = write!(text, "| {key} {}", cells(short));
    }
    text
}

fn overview() -> String {
    let outcome = outcome();
    let mut text = format!("| figures {HEAD}| --- {RULE}");
    let mut add = |name: &str, errors: &[f64], keep: &dyn Fn(&Row) -> bool| {
        let kept = outcome.rows.iter().zip(errors).filter(|(row, _)| keep(row)).map(|(_, error)| *error);
        if let Some(short) = short(kept.collect()) {
            let _ = write!(text, "| {name} {}", cells(short));
        }
    };
    let (chip, network) = (&outcome.by_chip, &outcome.by_network);
    add("AlexNet, VGG, ResNet, Inception up to Ampere, by GPU", chip, &of_acceptance);
    add("the same, by network", network, &of_acceptance);
    add("all whole steps, by GPU", chip, &is_step);
    add("whole steps below batch 8, by GPU", chip, &|row| row.of == Of::Step && row.batch < 8);
    add("parts of steps, by GPU", chip, &|row| row.of == Of::Part);
    for phase in super::published::NO_UPDATE {
        add(&format!("convolutions {}, by GPU", phase.name()), chip, &|row| row.of == Of::Conv(phase));
        add(&format!("convolutions {} at batch 8 and less", phase.name()), chip, &|row| {
            row.of == Of::Conv(phase) && row.batch <= 8
        });
        add(&format!("convolutions {} at batch 4", phase.name()), chip, &|row| {
            row.of == Of::Conv(phase) && row.batch == 4 && row.network == "DeepBench"
        });
    }
    add("products, by GPU", chip, &|row| row.of == Of::Gemm);
    add("products, 16 columns and less", chip, &|row| row.of == Of::Gemm && row.batch <= 16);
    text
}

fn share_table() -> String {
    let mut text = String::from(
        "| network (batch) | conv | fc | pool | relu | ms | error of ms |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in shares() {
        let cells = row.pairs.map(|(published, predicted)| format!("{published:.1} / {predicted:.1} %"));
        let (published, predicted) = row.total_ms;
        let error = 100.0 * (predicted / published - 1.0);
        let _ = writeln!(
            text,
            "| {} | {} | {published:.1} / {predicted:.1} | {error:+.1} % |",
            row.network,
            cells.join(" | ")
        );
    }
    text
}

fn constants() -> String {
    let mut text = String::from("| constant | value |\n| --- | --- |\n");
    for (name, value) in named(&Constants::fitted()) {
        let _ = writeln!(text, "| `{name}` | {value:.3} |");
    }
    for (name, value) in named(&Spread::fitted()) {
        let _ = writeln!(text, "| `spread.{name}` | {value:.3} |");
    }
    text
}

/// The written figures are those that come out.
#[test]
fn the_page_holds_these_tables() {
    let (chip, network) = (&outcome().by_chip, &outcome().by_network);
    let batch = |row: &Row| match row.batch {
        ..16 => "8 to 15",
        16..64 => "16 to 63",
        64..256 => "64 to 255",
        256.. => "256 and more",
    };
    let tables = [
        ("overview", overview()),
        ("gpus", by("GPU left out", chip, |row| row.gpu.title.clone())),
        ("networks", by("network left out", network, |row| row.network.clone())),
        ("generations", by("generation, GPU left out", chip, |row| format!("{:?}", row.generation()))),
        ("precisions", by("precision, GPU left out", chip, |row| row.precision.to_string())),
        ("batches", by("batch, GPU left out", chip, |row| batch(row).into())),
        ("programs", by("program, GPU left out", chip, |row| row.program.to_string())),
        ("shares", share_table()),
        ("constants", constants()),
    ];
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/prediction.md");
    let mut page = std::fs::read_to_string(&file).unwrap();
    let writes = std::env::var_os("WRITE_DOCS").is_some();
    for (name, table) in &tables {
        println!("{name}\n{table}");
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
        let from = page.find(&begin).unwrap_or_else(|| panic!("no place for {name}")) + begin.len();
        let to = page.find(&end).unwrap();
        if writes {
            page.replace_range(from..to, table);
        } else {
            assert!(&page[from..to] == table, "docs/prediction.md lacks this table:\n{table}");
        }
    }
    if writes {
        std::fs::write(file, page).unwrap();
    }
}
